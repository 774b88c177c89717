"""Train the Fashion-MNIST network of this folder and write its files.

    python make.py FOLDER [--out OUT]

FOLDER holds the four gzipped idx files of Fashion-MNIST (the Debian package
`dataset-fashion-mnist` puts them under `/usr/share/datasets/fashion-mnist`); nothing is
downloaded. `model.onnx`, `calibration.npz` and `test.npz` are written to OUT, by default the
folder of this script, and the measured accuracy is printed.

The best epoch is the one with the lowest loss on 5000 images held out of the training set.
The test set is looked at once, after that choice. All randomness is seeded: the same versions
of torch and numpy on the same kind of processor write the same bytes.

Requires: torch 2.13, numpy, onnx, onnxruntime.
"""

from __future__ import annotations

import argparse
import copy
import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch  # type: ignore[import-not-found, unused-ignore]
from onnx import TensorProto, helper, numpy_helper
from torch import nn

SEED = 20
EPOCHS = 30
BATCH = 128
PEAK_LEARNING_RATE = 4e-3
WEIGHT_DECAY = 5e-2
VALIDATION_IMAGES = 5000
CALIBRATION_IMAGES = 256
TEST_IMAGES = 1000
THREADS = 2

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def read_idx(path: Path) -> Images:
    """Return the array of one gzipped idx file of bytes."""
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    shape = np.frombuffer(content, ">u4", count=rank, offset=4)
    pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    return pixels.reshape(shape.tolist()).copy()


def read_part(folder: Path, part: str) -> tuple[Images, Labels]:
    """Return images `(N, 1, 28, 28)`, 0 to 255, and labels `(N,)` of `train` or `t10k`."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")[:, None]
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)
    return images, labels


def network() -> nn.Sequential:
    """Build the network on inputs 0 to 1; the division by 255 is added at export."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1568, 10),
    )


def augmented(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror half of the images left to right."""
    mirror = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(mirror[:, None, None, None], x.flip(3), x)


def loss_and_accuracy(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Return mean cross entropy and the fraction classified correctly, without gradients."""
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net(part) for part in x.split(1000)])
    net.train()
    loss = nn.functional.cross_entropy(logits, y).item()
    return loss, (logits.argmax(1) == y).double().mean().item()


def train(
    net: nn.Sequential, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator
) -> nn.Sequential:
    """Return the network of the best epoch, chosen on the last images of `x`."""
    x, x_valid = x[:-VALIDATION_IMAGES], x[-VALIDATION_IMAGES:]
    y, y_valid = y[:-VALIDATION_IMAGES], y[-VALIDATION_IMAGES:]
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, steps)
    best_loss, best = float("inf"), copy.deepcopy(net)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            logits = net(augmented(x[rows], generator))
            nn.functional.cross_entropy(logits, y[rows]).backward()
            optimizer.step()
            schedule.step()
        loss, accuracy = loss_and_accuracy(net, x_valid, y_valid)
        print(f"epoch {epoch + 1:2}: validation loss {loss:.4f}, accuracy {accuracy:.4f}")
        if loss < best_loss:
            best_loss, best = loss, copy.deepcopy(net)
    return best


def onnx_model(net: nn.Sequential) -> onnx.ModelProto:
    """Write `net` as ONNX, opset 17, with the division by 255 in front."""
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    names = {"0": "conv1", "3": "conv2", "7": "dense"}
    initializers = [numpy_helper.from_array(np.float32(255), "pixel_maximum")]
    for key, value in weights.items():
        index, kind = key.split(".")
        initializers.append(numpy_helper.from_array(value, f"{names[index]}.{kind}"))

    def node(kind: str, name: str, *inputs: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(kind, list(inputs), [name], name=name, **attributes)

    def synapses(kind: str, name: str, source: str, **attributes: object) -> onnx.NodeProto:
        return node(kind, name, source, f"{name}.weight", f"{name}.bias", **attributes)

    kernel = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("Div", "scaled", "image", "pixel_maximum"),
        synapses("Conv", "conv1", "scaled", **kernel),
        node("Relu", "relu1", "conv1"),
        node("MaxPool", "pool1", "relu1", **window),
        synapses("Conv", "conv2", "pool1", **kernel),
        node("Relu", "relu2", "conv2"),
        node("MaxPool", "pool2", "relu2", **window),
        node("Flatten", "flatten", "pool2", axis=1),
        synapses("Gemm", "dense", "flatten", transB=1),
    ]
    nodes[-1].output[0] = "logits"
    graph = helper.make_graph(
        nodes,
        "fashion_mnist_cnn",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        initializers,
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(
        graph, opset_imports=[opset], ir_version=8, producer_name="snn-compile"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def run_onnx(path: Path, images: Images) -> npt.NDArray[np.float32]:
    """Return the logits `(N, 10)` of onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    parts = np.array_split(images.astype(np.float32), -(-len(images) // 1000))
    return np.concatenate([session.run(None, {"image": part})[0] for part in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the four gzipped idx files")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)

    images, labels = read_part(arguments.folder, "train")
    order = np.random.default_rng(SEED).permutation(len(images))
    images, labels = images[order], labels[order]
    net = train(
        network(), torch.from_numpy(images).float() / 255, torch.from_numpy(labels), generator
    )

    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "model.onnx"
    onnx.save(onnx_model(net.eval()), path)
    np.savez_compressed(arguments.out / "calibration.npz", x=images[:CALIBRATION_IMAGES])

    images, labels = read_part(arguments.folder, "t10k")
    x, y = images[:TEST_IMAGES], labels[:TEST_IMAGES]
    np.savez_compressed(arguments.out / "test.npz", x=x, y=y)
    logits = run_onnx(path, images)
    with torch.no_grad():
        reference = net(torch.from_numpy(x).float() / 255).numpy()
    np.testing.assert_allclose(logits[:TEST_IMAGES], reference, rtol=1e-4, atol=1e-4)
    correct = logits.argmax(1) == labels
    print(f"test accuracy, all {len(correct)}: {correct.mean():.4f}")
    print(f"test accuracy, first {TEST_IMAGES}: {correct[:TEST_IMAGES].mean():.4f}")


if __name__ == "__main__":
    main()
