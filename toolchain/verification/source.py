"""The source model in onnxruntime, and what its spiking neurons send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from toolchain.calibration import session
from toolchain.errors import ImportModelError
from toolchain.frontend import ImportedModel
from toolchain.ir.graph import Graph
from toolchain.ir.packing import pack
from toolchain.ir.reference import Value, Windows
from toolchain.ir.snn import LmHt
from toolchain.verification.quantizers import quantizers, steps_in

Floats: TypeAlias = npt.NDArray[np.float64]
Array: TypeAlias = npt.NDArray[Any]


def source_runner(model: ImportedModel) -> Callable[[Array], Floats]:
    """Return a function that runs the source model in onnxruntime on ``(samples, ...)``.

    Raises:
        ImportModelError: This onnxruntime cannot run the model, or its file has changed.
    """
    runner = _Source(model, model.source.runnable())

    def run(x: Array) -> Floats:
        return _packed(runner.run(x, model.output_names))

    return run


def spike_source(
    model: ImportedModel, graph: Graph
) -> Callable[[Array], tuple[Floats, Mapping[str, Value]]]:
    """Return a function that runs the source model as `source_runner` does, and its neurons.

    Args:
        model: As imported.
        graph: Made of it; its trained neurons say which values of the model are theirs.

    Returns:
        Of a function of ``(samples, ...)``: the outputs, and by the name of each `LmHt` what it
        sends to the next layer, in whole multiples of its threshold; of quantizers, steps.

    Raises:
        ImportModelError: This onnxruntime cannot run the model, or its file has changed.
    """
    neurons = [node for node in graph.of_type(LmHt) if node.tensor]
    stairs = quantizers(graph)
    tensors = dict.fromkeys([*(node.tensor for node in neurons), *stairs.values()])
    wanted = [tensor for tensor in tensors if tensor not in model.output_names]
    source = _Source(model, _returning(model, wanted))
    names = [*model.output_names, *wanted]

    def run(x: Array) -> tuple[Floats, Mapping[str, Value]]:
        values = dict(zip(names, source.run(x, names), strict=True))
        sent: dict[str, Value] = {
            node.name: _sent(node, values[node.tensor], graph.shapes[node.name])
            for node in neurons
        }
        for name, tensor in stairs.items():
            sent[name] = steps_in(graph, name, values[tensor])
        return _packed([values[name] for name in model.output_names]), sent

    return run


def _packed(outputs: Sequence[Array]) -> Floats:
    return pack([y.astype(np.float64) for y in outputs])


def _returning(model: ImportedModel, values: Sequence[str]) -> Path | bytes:
    """Return the model, for onnxruntime, with more of its values among its outputs."""
    if not values:
        return model.source.runnable()
    more = onnx.ModelProto()
    more.graph.output.extend(onnx.ValueInfoProto(name=name) for name in values)
    # Serialized messages merge where one follows the other: neither need be taken apart.
    return model.source.content() + bytes(more.SerializeToString())


def _sent(node: LmHt, value: Array, shape: tuple[int, ...]) -> Windows:
    """Return what neurons send, of the ONNX value ``(samples * windows, *)`` that holds it."""
    rows = value.reshape(len(value), -1)
    if node.tensor_order is not None:
        rows = rows[:, node.tensor_order.ravel()]
    counts = np.rint(rows / node.threshold)
    return Windows((counts * node.threshold).reshape(-1, node.windows, *shape))


class _Source:
    def __init__(self, model: ImportedModel, source: Path | bytes) -> None:
        self.model = model
        try:
            self.runner = session(source, as_written=True)
        except Exception as error:
            raise self._cannot_run(error) from error

    def run(self, x: Array, names: Sequence[str]) -> list[Array]:
        """Return values ``(samples, ...)``, or ``(samples * windows, ...)`` of neurons."""
        model = self.model
        batches = np.split(x, len(x)) if model.has_fixed_batch else [x]
        try:
            results = [self.runner.run(list(names), model.feeds(batch)) for batch in batches]
        except Exception as error:
            raise self._cannot_run(error) from error
        return [np.concatenate(values) for values in zip(*results, strict=True)]

    def _cannot_run(self, error: Exception) -> ImportModelError:
        return ImportModelError(
            f"onnxruntime {onnxruntime.__version__} cannot run the model, of opset "
            f"{self.model.opset}: {str(error).splitlines()[0]}",
            node=str(self.model.source.path),
            hint="update onnxruntime, or export the model at an older opset",
        )
