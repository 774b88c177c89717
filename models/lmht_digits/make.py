"""Train the LM-HT network of this folder and write its files.

    python make.py [--out OUT]

The data is `sklearn.datasets.load_digits`, which comes with scikit-learn; nothing is
downloaded. `model.onnx`, `calibration.npz` and `test.npz` are written to OUT, by default the
folder of this script, and the measured accuracy is printed.

A stratified quarter of the images is the test set, the same as that of `digits_mlp`. The best
epoch is the one with the highest accuracy on 150 images held out of the rest. The test set is
looked at once, after that choice.

Requires: scikit-learn, `pip install 'snn-compile[train]'`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from toolchain.training.command import main as train

SEED = 20
RECIPE = """
[data]
source = "npz"
path = "train.npz"
test = "all-test.npz"
validation = 150

[network]
name = "mlp"
widths = [48, 32]

[neuron]
levels = 2
windows = 3
mixing = "full"

[training]
epochs = 60
batch = 32
learning_rate = 0.01
seed = 20
threads = 1
"""
FILES = ("model.onnx", "calibration.npz", "test.npz")


def main() -> None:
    """Train, and keep what a bundled model is made of."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    run = arguments.out / "run"
    run.mkdir(parents=True, exist_ok=True)
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x, y, test_size=0.25, stratify=y, random_state=SEED)
    x_train, x_test, y_train, y_test = parts
    np.savez(run / "train.npz", x=x_train.astype(np.uint8), y=y_train.astype(np.int64))
    np.savez(run / "all-test.npz", x=x_test.astype(np.uint8), y=y_test.astype(np.int64))
    recipe = run / "recipe.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    if train([str(recipe), "--output", str(run), "--resume"]) == 0:
        for name in FILES:
            shutil.move(run / name, arguments.out / name)
        shutil.rmtree(run)


if __name__ == "__main__":
    main()
