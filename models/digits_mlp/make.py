"""Train the digits network of this folder and write its files.

    python make.py [--out OUT]

The data is `sklearn.datasets.load_digits`, which comes with scikit-learn; nothing is
downloaded. `model.onnx`, `calibration.npz` and `test.npz` are written to OUT, by default the
folder of this script, and the measured accuracy is printed.

A stratified quarter of the images is the test set. The best epoch is the one with the highest
accuracy on a stratified tenth of the rest, which is not trained on. The test set is looked at
once, after that choice. All randomness is seeded: the same versions of scikit-learn and numpy
on the same kind of processor write the same bytes.

Requires: scikit-learn, numpy, onnx, onnxruntime.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = 20
HIDDEN = (96, 48)
PIXEL_MAXIMUM = 16
CALIBRATION_IMAGES = 256


def train(x: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> MLPClassifier:
    """Return a perceptron for inputs 0 to 1, of the epoch best on a tenth of `x`."""
    return MLPClassifier(
        HIDDEN,
        alpha=1e-2,
        batch_size=32,
        learning_rate_init=2e-3,
        max_iter=200,
        early_stopping=True,
        n_iter_no_change=40,
        random_state=SEED,
    ).fit(x, y)


def onnx_model(classifier: MLPClassifier) -> onnx.ModelProto:
    """Write the perceptron as ONNX, opset 17, on pixels 0 to 16.

    The division by 16 is part of the first weights: it is exact in floating point.
    """
    nodes, initializers = [], []
    source, last = "image", len(classifier.coefs_)
    parameters = zip(classifier.coefs_, classifier.intercepts_, strict=True)
    for index, (weight, bias) in enumerate(parameters, start=1):
        name, scale = f"dense{index}", PIXEL_MAXIMUM if index == 1 else 1
        values = {f"{name}.weight": weight.T / scale, f"{name}.bias": bias}
        initializers += [
            numpy_helper.from_array(value.astype(np.float32), key)
            for key, value in values.items()
        ]
        output = "logits" if index == last else name
        nodes.append(helper.make_node("Gemm", [source, *values], [output], name, transB=1))
        if index < last:
            source = f"relu{index}"
            nodes.append(helper.make_node("Relu", [name], [source], source))
    graph = helper.make_graph(
        nodes,
        "digits_mlp",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        initializers,
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(
        graph, opset_imports=[opset], ir_version=8, producer_name="snn-compile"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()

    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.data.astype(np.uint8),
        digits.target.astype(np.int64),
        stratify=digits.target,
        random_state=SEED,
    )
    classifier = train(x_train / PIXEL_MAXIMUM, y_train)

    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "model.onnx"
    onnx.save(onnx_model(classifier), path)
    np.savez_compressed(arguments.out / "calibration.npz", x=x_train[:CALIBRATION_IMAGES])
    np.savez_compressed(arguments.out / "test.npz", x=x_test, y=y_test)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"image": x_test.astype(np.float32)})[0]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    reference = classifier.predict_proba(x_test / PIXEL_MAXIMUM)
    np.testing.assert_allclose(probabilities, reference, rtol=1e-3, atol=1e-6)
    print(f"best validation accuracy: {classifier.best_validation_score_:.4f}")
    print(f"test accuracy, all {len(y_test)}: {np.mean(logits.argmax(1) == y_test):.4f}")


if __name__ == "__main__":
    main()
