"""Count mode: the twin in onnxruntime, without single spikes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from targets.simulator.lazy_counts import LazyCounts
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program
from toolchain.errors import EmitError
from toolchain.heap import trim_heap
from toolchain.ir.ann import Input, Output
from toolchain.ir.counts import count
from toolchain.ir.ends import encoded_inputs
from toolchain.ir.graph import Graph
from toolchain.ir.packing import pack
from toolchain.ir.reference import Floats
from toolchain.ir.snn import Spiking

if TYPE_CHECKING:
    from targets.twin.counting import CountingNetwork
    from targets.twin.measuring import Measuring

Counts: TypeAlias = npt.NDArray[Any]


def _run(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    graph = program.graph
    try:
        network = _network(graph)
    except EmitError:  # sums that ONNX has no exact layer for
        return _plain(graph, inputs)
    names = [node.name for node in graph.of_type(Spiking)]
    if trace and not network.is_for_openvino(len(inputs)):
        sums, counts = network.sums_and_counts(inputs, names)
        return Execution(readout=sums, counts=counts)
    return Execution(
        readout=network.sums(inputs), counts=LazyCounts(names, lambda: network.counts(inputs))
    )


def spike_counts(graph: Graph, inputs: Ints, names: Sequence[str]) -> Mapping[str, Counts]:
    """Return the spike counts ``(samples, *shape)`` of chosen populations of neurons.

    Args:
        graph: Quantized.
        inputs: Encoded samples ``(samples, *encoded shape)``.
        names: Of the populations.
    """
    try:
        network = _network(graph)
    except EmitError:
        counts = _plain(graph, inputs).counts
        return {name: counts[name] for name in names}
    return network.sums_and_counts(inputs, names)[1]


def _measure(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    try:
        measuring = _measuring(program)
    except EmitError:
        measuring = None
    return _run(program, inputs, trace=trace) if measuring is None else measuring(inputs)


@functools.lru_cache(maxsize=2)
def _network(graph: Graph) -> CountingNetwork:
    """Return the network, written and tested for the first of many pieces of a data set."""
    from targets.twin.counting import CountingNetwork, trusted_layout

    return CountingNetwork(trusted_layout(graph))


@functools.lru_cache(maxsize=2)
def _measuring(program: Program) -> Measuring | None:
    from targets.twin.measuring import measuring_of

    measuring = measuring_of(_network(program.graph), program.read_circuit())
    trim_heap()  # the circuit has been read for this alone
    return measuring


def _forget() -> None:
    _measuring.cache_clear()
    _network.cache_clear()
    trim_heap()


def _plain(graph: Graph, inputs: Ints) -> Execution:
    """Run samples in the plain way, in float64."""
    values: dict[str, Floats] = {**encoded_inputs(graph, inputs.astype(np.float64))}
    for node in graph:
        if not isinstance(node, (Input, Output)):
            values[node.name] = count(node, *(values[name] for name in node.inputs))
    return Execution(
        readout=pack([values[node.inputs[0]].astype(np.int64) for node in graph.outputs]),
        counts={node.name: values[node.name] for node in graph.of_type(Spiking)},
    )


ENGINES.register("count")(Engine("count", _run, measure=_measure, forget=_forget))
