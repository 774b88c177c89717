"""Every bundled model is small and valid, and its accuracy and data are as its card says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

MODELS = Path(__file__).parents[2] / "models"
FILES = {"model.onnx", "calibration.npz", "test.npz", "card.md", "make.py"}
CALIBRATION_SAMPLES = 256
MODEL_LIMIT_BYTES = 300_000
TOTAL_LIMIT_BYTES = 2_000_000


@dataclass(frozen=True)
class Card:
    """What the card of one model promises."""

    name: str
    shape: tuple[int, ...]
    pixel_maximum: int
    operators: str
    correct: int
    samples: int

    @property
    def folder(self) -> Path:
        return MODELS / self.name

    def samples_of(self, part: str) -> npt.NDArray[np.uint8]:
        with np.load(self.folder / f"{part}.npz") as arrays:
            samples: npt.NDArray[np.uint8] = arrays["x"]
        return samples

    def labels(self) -> npt.NDArray[np.int64]:
        with np.load(self.folder / "test.npz") as arrays:
            labels: npt.NDArray[np.int64] = arrays["y"]
        return labels

    def logits(self, samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        session: Any = onnxruntime.InferenceSession(
            self.folder / "model.onnx", providers=["CPUExecutionProvider"]
        )
        outputs: list[npt.NDArray[np.float32]] = session.run(
            None, {session.get_inputs()[0].name: samples.astype(np.float32)}
        )
        return outputs[0]


CARDS = (
    Card(
        name="fashion_mnist_cnn",
        shape=(1, 28, 28),
        pixel_maximum=255,
        operators="Div Conv Relu MaxPool Conv Relu MaxPool Flatten Gemm",
        correct=932,
        samples=1000,
    ),
    Card(
        name="digits_mlp",
        shape=(64,),
        pixel_maximum=16,
        operators="Gemm Relu Gemm Relu Gemm",
        correct=439,
        samples=450,
    ),
    Card(
        name="lmht_fashion_mnist",
        shape=(1, 28, 28),
        pixel_maximum=255,
        operators="RepeatWindows Mul Conv MultiThreshold AveragePool Conv MultiThreshold "
        "AveragePool Flatten Gemm AverageWindows",
        correct=935,
        samples=1000,
    ),
    Card(
        name="lmht_digits",
        shape=(64,),
        pixel_maximum=16,
        operators="RepeatWindows Mul Gemm MultiThreshold Gemm MultiThreshold Gemm "
        "AverageWindows",
        correct=444,
        samples=450,
    ),
)
each_model = pytest.mark.parametrize("card", CARDS, ids=[card.name for card in CARDS])


def test_every_folder_is_in_the_table() -> None:
    folders = {path.name for path in MODELS.iterdir() if path.is_dir()}

    assert folders == {card.name for card in CARDS}


@each_model
def test_a_folder_holds_the_five_files(card: Card) -> None:
    names = {path.name for path in card.folder.iterdir() if path.name != "__pycache__"}

    assert names == FILES


@each_model
def test_a_network_is_valid_onnx(card: Card) -> None:
    onnx.checker.check_model(card.folder / "model.onnx", full_check=True)


@each_model
def test_a_network_has_the_operators_of_its_card(card: Card) -> None:
    model = onnx.load(card.folder / "model.onnx")

    assert [node.op_type for node in model.graph.node] == card.operators.split()


@each_model
def test_the_batch_axis_is_free_and_the_sample_shape_is_stated(card: Card) -> None:
    [image] = onnx.load(card.folder / "model.onnx").graph.input
    axes = image.type.tensor_type.shape.dim

    assert image.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert axes[0].dim_param == "N"
    assert tuple(axis.dim_value for axis in axes[1:]) == card.shape


@each_model
def test_a_sample_gives_the_same_logits_alone_as_in_a_batch(card: Card) -> None:
    samples = card.samples_of("test")[:3]

    together = card.logits(samples)
    alone = np.concatenate([card.logits(sample[None]) for sample in samples])

    assert together.shape == (3, 10)
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-5)


@each_model
def test_a_network_is_as_accurate_as_its_card_says(card: Card) -> None:
    predicted = card.logits(card.samples_of("test")).argmax(axis=1)

    accuracy = float(np.mean(predicted == card.labels()))

    assert accuracy >= card.correct / card.samples - 1e-9


@each_model
def test_a_card_states_the_accuracy_of_the_table(card: Card) -> None:
    text = (card.folder / "card.md").read_text(encoding="utf-8")

    stated = f"| {card.correct} of {card.samples} | {100 * card.correct / card.samples:.2f} % |"

    assert stated in text


@each_model
def test_test_samples_are_raw_pixels_with_one_label_each(card: Card) -> None:
    samples, labels = card.samples_of("test"), card.labels()

    assert (samples.dtype.name, samples.shape) == ("uint8", (card.samples, *card.shape))
    assert (labels.dtype.name, labels.shape) == ("int64", (card.samples,))
    assert (samples.min(), samples.max()) == (0, card.pixel_maximum)
    assert set(labels.tolist()) == set(range(10))


@each_model
def test_calibration_samples_are_raw_pixels(card: Card) -> None:
    samples = card.samples_of("calibration")

    assert (samples.dtype.name, samples.shape) == ("uint8", (CALIBRATION_SAMPLES, *card.shape))
    assert (samples.min(), samples.max()) == (0, card.pixel_maximum)


@each_model
def test_no_calibration_sample_is_a_test_sample(card: Card) -> None:
    test = {sample.tobytes() for sample in card.samples_of("test")}
    calibration = {sample.tobytes() for sample in card.samples_of("calibration")}

    assert len(calibration) == CALIBRATION_SAMPLES
    assert not test & calibration


@each_model
def test_a_network_is_small(card: Card) -> None:
    assert (card.folder / "model.onnx").stat().st_size < MODEL_LIMIT_BYTES


def test_all_models_together_are_small() -> None:
    sizes = [(card.folder / name).stat().st_size for card in CARDS for name in FILES]

    assert sum(sizes) < TOTAL_LIMIT_BYTES
