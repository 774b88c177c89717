"""What the activations of the analogue network look like on the user's samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from toolchain.errors import ConversionError
from toolchain.ir.ann import Relu
from toolchain.ir.graph import Graph
from toolchain.ir.reference import encode
from toolchain.onnx_export import export_onnx

Floats: TypeAlias = npt.NDArray[np.float64]

_VALUES_PER_CHANNEL = 8192
_VALUES_BYTES = 16 * 2**20
"""Of the chosen values of all channels; from many channels fewer are chosen."""

_VALUES_LEAST = 1024
_BATCH_BYTES = 32 * 2**20
_SEED = 0


@dataclass(frozen=True)
class Activation:
    """Statistics of one rectifier, per channel (per neuron where there are no channels).

    Attributes:
        maximum: ``(C,)``, over all samples and positions.
        mean: ``(C,)``, likewise.
        values: ``(C, K)``, a random choice of K values, the same positions for all channels;
            none once thresholds have been chosen.
    """

    maximum: Floats
    mean: Floats
    values: npt.NDArray[np.float32]

    def as_one_channel(self) -> Activation:
        """Return the statistics of all channels together."""
        return Activation(
            self.maximum.max(keepdims=True),
            self.mean.mean(keepdims=True),
            self.values.reshape(1, -1),
        )


@dataclass(frozen=True)
class Calibration:
    """Statistics of a prepared analogue network on calibration samples.

    Attributes:
        x: The samples, ``(samples, *source_shape)``, in the units of the model's input.
        activations: Per `Relu`, by its name.
    """

    x: npt.NDArray[np.generic]
    activations: Mapping[str, Activation] = field(default_factory=dict)

    def without_values(self) -> Calibration:
        """Return what is needed once thresholds have been chosen; the values take the most."""
        return Calibration(
            self.x,
            {
                name: replace(activation, values=activation.values[:, :0].copy())
                for name, activation in self.activations.items()
            },
        )


def session(model: Path | bytes, *, as_written: bool = False) -> onnxruntime.InferenceSession:
    """Return an onnxruntime session on the CPU that shares its cores with other sessions.

    Args:
        model: Its file, or serialized.
        as_written: Run the nodes one by one as the file has them. Fusion is faster, and wrong
            for some models: onnxruntime 1.31 merges zero padding into a max-pool.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # it keeps the most that it has ever held
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")  # whatever its suffix
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def calibrate(graph: Graph, x: npt.NDArray[np.generic]) -> Calibration:
    """Run the analogue network in onnxruntime and collect its activations.

    Args:
        graph: After `Phase.PREPARE`.
        x: ``(samples, *source_shape)``, at least one sample.

    Raises:
        ConversionError: A layer is dead: none of its activations is ever positive.
    """
    names = [node.name for node in graph.of_type(Relu)]
    if not names:
        return Calibration(x)
    collected: dict[str, list[tuple[Floats, Floats, npt.NDArray[np.float32]]]] = {
        name: [] for name in names
    }
    random = np.random.default_rng(_SEED)
    wanted = -(-_values_per_channel(graph, names, len(x)) // len(x))
    for values in activation_batches(graph, x, names):
        for name, value in zip(names, values, strict=True):
            collected[name].append(_statistics(value, wanted, len(x), random))
    activations = {name: _merge(collected.pop(name)) for name in names}
    for name, activation in activations.items():
        if activation.maximum.max() <= 0:
            raise ConversionError(
                f"the layer is dead: no activation is above 0 on {len(x)} calibration samples",
                node=graph[name].origin[0] if graph[name].origin else name,
                hint="calibrate on real samples, in the units that the model expects",
            )
    return Calibration(x, activations)


def activation_batches(
    graph: Graph, x: npt.NDArray[np.generic], names: list[str]
) -> Iterator[list[npt.NDArray[np.float32]]]:
    """Yield the values of the named nodes, ``(batch, *shape)`` each, batch after batch."""
    exported = export_onnx(graph, names)
    runner = session(exported.model)
    bytes_per_sample = 4 * sum(int(np.prod(graph.shapes[name])) for name in names)
    batch = int(np.clip(_BATCH_BYTES // bytes_per_sample, 1, 256))
    for start in range(0, len(x), batch):
        chunk = x[start : start + batch]
        fed = {node.name: encode(node, chunk).astype(np.float32) for node in graph.inputs}
        yield runner.run(names, {**fed, **exported.weights})


def _values_per_channel(graph: Graph, names: list[str], samples: int) -> int:
    """Return how many values are chosen of each channel, as far as there are so many."""
    shapes = [graph.shapes[name] for name in names]
    values = sum(
        shape[0] * min(_VALUES_PER_CHANNEL, samples * int(np.prod(shape[1:])))
        for shape in shapes
    )
    share = _VALUES_BYTES / (values * np.dtype(np.float32).itemsize)
    if share >= 1:
        return _VALUES_PER_CHANNEL
    return max(_VALUES_LEAST, int(_VALUES_PER_CHANNEL * share))


def _statistics(
    value: npt.NDArray[np.float32], wanted: int, samples: int, random: np.random.Generator
) -> tuple[Floats, Floats, npt.NDArray[np.float32]]:
    """Return maximum ``(C,)``, sum over samples of the mean ``(C,)`` and chosen values.

    Args:
        value: Of one batch, ``(batch, *shape)``.
        wanted: Values of each channel and sample.
        samples: Of all batches.
        random: Chooses positions.
    """
    per_channel = value.reshape(*value.shape[:2], -1)
    positions = per_channel.shape[2]
    if positions > wanted:
        chosen = per_channel[:, :, np.sort(random.choice(positions, wanted, replace=False))]
    else:
        chosen = per_channel
    values = chosen.transpose(1, 0, 2).reshape(value.shape[1], -1)
    total = per_channel.mean(axis=2, dtype=np.float64).sum(axis=0)
    return per_channel.max(axis=(0, 2)).astype(np.float64), total / samples, values


def _merge(batches: list[tuple[Floats, Floats, npt.NDArray[np.float32]]]) -> Activation:
    maxima, means, values = zip(*batches, strict=True)
    return Activation(
        np.max(maxima, axis=0), np.sum(means, axis=0), np.concatenate(values, axis=1)
    )
