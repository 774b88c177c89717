"""Train the LM-HT network of this folder and write its files.

    python make.py FOLDER [--out OUT]

FOLDER holds the four gzipped idx files of Fashion-MNIST (the Debian package
`dataset-fashion-mnist` puts them under `/usr/share/datasets/fashion-mnist`); nothing is
downloaded. `model.onnx`, `calibration.npz` and `test.npz` are written to OUT, by default the
folder of this script, and the measured accuracy is printed. An interrupted run goes on where it
was if the same OUT is given.

The best epoch is the one with the highest accuracy on 5000 images held out of the training set.
The test set is looked at once, after that choice.

Requires: `pip install 'snn-compile[train]'`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from toolchain.training.command import main as train

RECIPE = """
[data]
source = "fashion-mnist"
path = "{folder}"
validation = 5000
augment = ["mirror"]

[network]
name = "vgg"
stages = [[16], [32]]

[neuron]
levels = 2
windows = 2
mixing = "lower"

[training]
epochs = 6
batch = 64
learning_rate = 0.004
seed = 20
threads = 2
"""
FILES = ("model.onnx", "calibration.npz", "test.npz")


def main() -> None:
    """Train, and keep what a bundled model is made of."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    run = arguments.out / "run"
    run.mkdir(parents=True, exist_ok=True)
    recipe = run / "recipe.toml"
    recipe.write_text(RECIPE.format(folder=arguments.folder.resolve()), encoding="utf-8")
    if train([str(recipe), "--output", str(run), "--resume"]) == 0:
        for name in FILES:
            shutil.move(run / name, arguments.out / name)
        shutil.rmtree(run)


if __name__ == "__main__":
    main()
