"""Network architectures, built for any activation: the analogue one or spiking neurons.

Average pools throughout: they commute with the sum over windows, which max-pools do not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from toolchain.errors import TrainingError, UnknownNameError
from toolchain.training._torch import nn, torch
from toolchain.training.network import INPUT, Add, Network, Scale, Step

Activation: TypeAlias = Callable[[], Any]
"""Makes the activation of one layer."""


class Sketch:
    """A network while it is drawn: keeps the shapes, and what the next step reads.

    Attributes:
        last: Name of the latest step.
    """

    def __init__(self, sample_shape: Sequence[int]) -> None:
        self.sample_shape = tuple(sample_shape)
        self.steps: list[Step] = []
        self.shapes: dict[str, tuple[int, ...]] = {INPUT: self.sample_shape}
        self.last = INPUT

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the latest step's output for one sample."""
        return self.shapes[self.last]

    def add(self, name: str, module: Any, *inputs: str) -> str:
        """Add a step that reads ``inputs``, or the latest one, and return its name.

        Raises:
            TrainingError: The module cannot read a value of that shape.
        """
        reads = inputs or (self.last,)
        self.steps.append(Step(name, reads, module))
        self.shapes[name] = self._shape_of(name, module, [self.shapes[i] for i in reads])
        self.last = name
        return name

    def conv(self, name: str, channels: int, *, size: int = 3, stride: int = 1) -> str:
        """Add a convolution that keeps height and width, or divides them by ``stride``."""
        padding = size // 2
        made = nn.Conv2d(self.shape[0], channels, size, stride, padding, bias=False)
        self.add(f"{name}-conv", made)
        return self.add(f"{name}-norm", nn.BatchNorm2d(channels))

    def dense(self, name: str, width: int, *, with_norm: bool = False) -> str:
        """Add a dense layer, after flattening what is not flat."""
        if len(self.shape) > 1:
            self.add(f"{name}-flat", nn.Flatten())
        self.add(name, nn.Linear(self.shape[0], width, bias=not with_norm))
        return self.add(f"{name}-norm", nn.BatchNorm1d(width)) if with_norm else self.last

    def network(self, *, has_window_axis: bool) -> Network:
        """Return the network."""
        return Network(self.steps, self.sample_shape, has_window_axis=has_window_axis)

    @staticmethod
    def _shape_of(name: str, module: Any, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
        was_training = module.training
        module.eval()
        try:
            with torch.no_grad():
                if hasattr(module, "counts"):  # neurons keep the shape
                    return shapes[0]
                return tuple(module(*(torch.zeros(1, *shape) for shape in shapes)).shape[1:])
        except RuntimeError as error:
            raise TrainingError(
                f"cannot read a value of shape {shapes[0]}: {str(error).splitlines()[0]}",
                node=name,
                hint="use fewer stages, or larger samples",
            ) from None
        finally:
            module.train(was_training)


def build_network(
    name: str,
    sample_shape: Sequence[int],
    classes: int,
    activation: Activation,
    *,
    has_window_axis: bool = False,
    input_scale: float = 1.0,
    **sizes: Any,
) -> Network:
    """Return a network with new weights.

    Args:
        name: One of `ARCHITECTURES`.
        sample_shape: Of a sample without its window axis.
        classes: Number of logits.
        activation: Makes the activation of each layer.
        has_window_axis: Whether samples come with one.
        input_scale: Factor on the samples before the first layer.
        sizes: Of the architecture.

    Raises:
        UnknownNameError: There is no such architecture.
        TrainingError: Sizes and samples do not fit.
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError(
            f"there is no network {name!r}; there are {', '.join(ARCHITECTURES)}"
        )
    sketch = Sketch(sample_shape)
    if input_scale != 1.0:
        sketch.add("scaled", Scale(input_scale))
    ARCHITECTURES[name](sketch, activation, **sizes)
    sketch.dense("readout", classes)
    return sketch.network(has_window_axis=has_window_axis)


def _mlp(sketch: Sketch, activation: Activation, *, widths: Sequence[int] = (256, 256)) -> None:
    """Dense layers with batch normalization."""
    for i, width in enumerate(widths, 1):
        sketch.dense(f"dense{i}", width, with_norm=True)
        sketch.add(f"dense{i}-act", activation())


def _vgg(
    sketch: Sketch,
    activation: Activation,
    *,
    stages: Sequence[Sequence[int]] = ((64, 64), (128, 128), (256, 256, 256)),
    widths: Sequence[int] = (),
) -> None:
    """Stages of 3x3 convolutions with an average pool behind each, then dense layers."""
    _require_image(sketch)
    for i, stage in enumerate(stages, 1):
        for j, channels in enumerate(stage, 1):
            sketch.conv(f"conv{i}-{j}", channels)
            sketch.add(f"conv{i}-{j}-act", activation())
        sketch.add(f"pool{i}", nn.AvgPool2d(2))
    _mlp(sketch, activation, widths=widths)


def _resnet(
    sketch: Sketch,
    activation: Activation,
    *,
    width: int = 16,
    blocks: Sequence[int] = (3, 3, 3),
    stem: Sequence[int] = (3, 1),
) -> None:
    """ResNet: ResNet-20 with the defaults. Activations follow the sums.

    ``stem`` is size and stride of the first convolution.
    """
    _require_image(sketch)
    sketch.conv("stem", width, size=stem[0], stride=stem[1])
    sketch.add("stem-act", activation())
    for i, j, channels, stride in _blocks(width, blocks):
        block, entry = f"block{i}-{j}", sketch.last
        sketch.conv(f"{block}-1", channels, stride=stride)
        sketch.add(f"{block}-1-act", activation())
        body = sketch.conv(f"{block}-2", channels)
        shortcut = _shortcut(sketch, block, entry, channels, stride)
        sketch.add(f"{block}-sum", Add(), body, shortcut)
        sketch.add(f"{block}-act", activation())
    sketch.add("pool", nn.AvgPool2d(sketch.shape[1:]))


def _ms_resnet(
    sketch: Sketch,
    activation: Activation,
    *,
    width: int = 16,
    blocks: Sequence[int] = (3, 3, 3),
    stem: Sequence[int] = (3, 1),
) -> None:
    """ResNet whose sums are of input currents: neurons come first in each branch.

    Where a stage halves the image, the shortcut convolves what the first neurons of the block
    send, not the sum itself as in the original, so that all weights read spikes.
    """
    _require_image(sketch)
    total = sketch.conv("stem", width, size=stem[0], stride=stem[1])
    for i, j, channels, stride in _blocks(width, blocks):
        block = f"block{i}-{j}"
        sent = sketch.add(f"{block}-1-act", activation(), total)
        sketch.conv(f"{block}-1", channels, stride=stride)
        sketch.add(f"{block}-2-act", activation())
        body = sketch.conv(f"{block}-2", channels)
        is_same = stride == 1 and sketch.shapes[total] == sketch.shapes[body]
        shortcut = total if is_same else _shortcut(sketch, block, sent, channels, stride)
        total = sketch.add(f"{block}-sum", Add(), body, shortcut)
    sketch.add("last-act", activation())
    sketch.add("pool", nn.AvgPool2d(sketch.shape[1:]))


ARCHITECTURES: dict[str, Callable[..., None]] = {
    "mlp": _mlp,
    "vgg": _vgg,
    "resnet": _resnet,
    "ms-resnet": _ms_resnet,
}
"""By name: functions that draw the network up to its logits; their keywords are the sizes."""


def sizes_of(name: str) -> tuple[str, ...]:
    """Return the names of the sizes that an architecture has."""
    parameters = inspect.signature(ARCHITECTURES[name]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def _blocks(width: int, blocks: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Return stage, block, channels and stride; every stage but the first halves the image."""
    return [
        (i + 1, j + 1, width * 2**i, 2 if i and not j else 1)
        for i, count in enumerate(blocks)
        for j in range(count)
    ]


def _shortcut(sketch: Sketch, block: str, entry: str, channels: int, stride: int) -> str:
    if stride == 1 and sketch.shapes[entry][0] == channels:
        return entry
    sketch.last = entry
    return sketch.conv(f"{block}-short", channels, size=1, stride=stride)


def _require_image(sketch: Sketch) -> None:
    if len(sketch.sample_shape) != 3:
        raise TrainingError(
            f"samples have shape {sketch.sample_shape}; this network reads (C, H, W)",
            hint="use the network 'mlp', or reshape the samples",
        )
