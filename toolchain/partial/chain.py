"""Segments run one after the other, on the chip's engines and in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from toolchain.calibration import session
from toolchain.data import Samples
from toolchain.engine import Program
from toolchain.errors import ImportModelError, InputDataError
from toolchain.evaluation.piece_result import Tally, run_piece
from toolchain.ir.node import Shape
from toolchain.ir.packing import pack, unpack
from toolchain.metrics import Head

Array: TypeAlias = npt.NDArray[Any]
Values: TypeAlias = Mapping[str, Array]
Run: TypeAlias = Callable[[Values], Values]
"""Of values ``(samples, ...)`` by name that a segment reads to those that it makes."""

_PIECE_BYTES = 128 * 2**20
_PIECE_MAX = 256


class HostRun:
    """Runs a model in onnxruntime, node by node as it is written.

    A model whose inputs have a first axis of length 1 is given samples one by one.
    """

    def __init__(self, name: str, model: bytes, outputs: Sequence[str]) -> None:
        """Load a serialized model.

        Args:
            name: For messages.
            model: Serialized.
            outputs: Values to return.

        Raises:
            ImportModelError: This onnxruntime cannot run it.
        """
        self._name, self._outputs = name, list(outputs)
        try:
            self._session = session(model, as_written=True)
        except Exception as error:
            raise self._cannot_run(error) from error

    def __call__(self, values: Values) -> Values:
        """Run the model.

        Raises:
            ImportModelError: onnxruntime cannot.
        """
        inputs = self._session.get_inputs()
        given = {put.name: values[put.name] for put in inputs}
        if not any(put.shape[:1] == [1] for put in inputs):
            return self._made(given)
        parts = [
            self._made({name: value[i : i + 1] for name, value in given.items()})
            for i in range(len(next(iter(given.values()))))
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _made(self, given: Values) -> Values:
        try:
            made = self._session.run(self._outputs, dict(given))
        except Exception as error:
            raise self._cannot_run(error) from error
        return dict(zip(self._outputs, made, strict=True))

    def _cannot_run(self, error: Exception) -> ImportModelError:
        why = str(error).splitlines()[0]
        return ImportModelError(
            f"onnxruntime {onnxruntime.__version__} cannot run it: {why}",
            node=self._name,
            hint="update onnxruntime, or export the model at an older opset",
        )


class ChipRun:
    """Runs a compiled segment through an engine, and counts what it does.

    Attributes:
        program: The segment.
        tally: Of all samples so far; `None` before the first.
    """

    tally: Tally | None = None

    def __init__(self, program: Program, engine: str) -> None:
        """Run a network whose inputs and outputs are named after values of the model."""
        self.program, self._engine = program, engine

    def __call__(self, values: Values) -> Values:
        """Run the segment."""
        graph = self.program.graph
        x = pack([values[node.tensor] for node in graph.inputs])
        result = run_piece(self.program, self._engine, Samples(x))
        self.tally = result.tally if self.tally is None else self.tally + result.tally
        parts = unpack(result.y, [graph.shapes[node.name] for node in graph.outputs])
        return {
            node.tensor: part.astype(node.dtype)
            for node, part in zip(graph.outputs, parts, strict=True)
        }


@dataclass(frozen=True)
class Source:
    """An input of the model.

    Attributes:
        name: Of the ONNX value.
        dtype: Its element type.
        shape: Of one sample.
    """

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class Chain:
    """Segments in an order in which they can run.

    Attributes:
        sources: The inputs of the model, of which a sample consists.
        runs: The segments.
        is_one_by_one: Whether all of them take one sample at a time.
    """

    sources: tuple[Source, ...]
    runs: tuple[Run, ...]
    is_one_by_one: bool

    def values(self, x: Array, wanted: Sequence[str]) -> dict[str, Array]:
        """Return values ``(samples, ...)`` for a few samples, packed if of several inputs."""
        pieces = np.split(x, len(x)) if self.is_one_by_one else [x]
        parts = [self._values(piece, wanted) for piece in pieces]
        return {name: np.concatenate([part[name] for part in parts]) for name in wanted}

    def answers(self, x: Array, heads: Mapping[str, Head]) -> Array:
        """Return the outputs of the model for a few samples, see `packed`."""
        return packed(self.values(x, list(heads)), heads)

    def _values(self, x: Array, wanted: Sequence[str]) -> dict[str, Array]:
        parts = unpack(x, [source.shape for source in self.sources])
        held = {
            source.name: part.astype(source.dtype)
            for source, part in zip(self.sources, parts, strict=True)
        }
        for run in self.runs:
            held.update(run(held))
        return {name: held[name] for name in wanted}


def packed(values: Values, heads: Mapping[str, Head]) -> Array:
    """Return the outputs of a model as one array ``(samples, *shape)``; several are packed.

    Args:
        values: Among them the outputs.
        heads: The outputs, by name.

    Raises:
        InputDataError: One has another shape than the model says.
    """
    for name, head in heads.items():
        found = values[name].shape[1:]
        if found != head.shape:
            raise InputDataError(
                f"has shape {found} in each sample; the model says {head.shape}",
                node=name,
                hint="compile the network again",
            )
    return pack([values[name] for name in heads])


def pieces_of(x: Array, shapes: Iterable[Shape]) -> Iterator[slice]:
    """Yield slices of samples for which values of some shapes do not take too much memory."""
    bytes_per_sample = 8 * sum(int(np.prod(shape)) for shape in shapes)
    size = int(np.clip(_PIECE_BYTES // max(bytes_per_sample, 1), 1, _PIECE_MAX))
    for start in range(0, len(x), size):
        yield slice(start, min(start + size, len(x)))
