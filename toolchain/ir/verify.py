"""What must hold of a graph in each phase; checked after every pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from toolchain.errors import VerifyError
from toolchain.ir.ann import (
    Add,
    Affine,
    Concat,
    Conv,
    Dense,
    HostOp,
    Input,
    MaxPool,
    Output,
    Rearrange,
    Relu,
    SumPool,
)
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import (
    IntegrateFire,
    LmHt,
    MultiThreshold,
    OrPool,
    RadixFire,
    RadixPool,
    Spiking,
    ThresholdBank,
)
from toolchain.ir.staircase import Staircase

_LINEAR = (Dense, Conv)
_FRAME = (Input, Output, Dense, Conv, Add, Rearrange)
_ACTIVATIONS = (Relu, Staircase, LmHt, Spiking)
_SINGLE = (OrPool, IntegrateFire, ThresholdBank, RadixPool, RadixFire)

ALLOWED: Mapping[Phase, tuple[type[Node], ...]] = {
    Phase.IMPORT: (
        *_FRAME,
        Concat,
        SumPool,
        MaxPool,
        Affine,
        Relu,
        Smooth,
        Staircase,
        LmHt,
        HostOp,
    ),
    Phase.PREPARE: (*_FRAME, MaxPool, Relu, Staircase, LmHt),
    Phase.CONVERT: (*_FRAME, MaxPool, MultiThreshold),
    Phase.LOWER: (*_FRAME, *_SINGLE),
    Phase.QUANTIZE: (*_FRAME, *_SINGLE),
}

_HINTS = {
    Affine: "scale all positions of a channel alike, or put the normalization directly before "
    "or after a layer",
    HostOp: "keep it at the end of the model, where the host runs it",
    SumPool: "use a pool whose windows cover its input exactly",
    MaxPool: "pool behind an activation",
}


def verify(graph: Graph) -> None:
    """Check what holds of every graph: order, shapes, and that no node of the model is lost.

    Raises:
        VerifyError: Something does not; the error names the node.
    """
    for node in graph:
        _verify_inputs(node)
    graph.shapes  # noqa: B018  (computing the shapes checks order and fit)
    for kind in (Input, Output):
        if not graph.of_type(kind):
            raise VerifyError(f"no node is {kind.__name__}")
    _verify_offsets(graph)
    _verify_nothing_dropped(graph)


def _verify_offsets(graph: Graph) -> None:
    """Check that a sample consists of the inputs, one after the other."""
    end = 0
    for node in graph.inputs:
        if node.offset != end:
            raise VerifyError(f"begins at {node.offset}; it must at {end}", node=node.name)
        if node.windows > 1 and len(graph.inputs) > 1:
            raise VerifyError("has windows, and is one of several inputs", node=node.name)
        end += math.prod(node.source_shape)


def _verify_inputs(node: Node) -> None:
    """Check how many others a node reads: sums several, an input none, the others one."""
    is_several = isinstance(node, (Add, Concat)) and bool(node.inputs)
    if not is_several and len(node.inputs) != (0 if isinstance(node, Input) else 1):
        raise VerifyError(f"reads {len(node.inputs)} nodes", node=node.name)


def verify_phase(graph: Graph) -> None:
    """Check a graph, and the invariants of the phase that it has been through.

    Raises:
        VerifyError: One is broken; the error names the node.
    """
    verify(graph)
    for problem in phase_problems(graph):
        raise problem


def phase_problems(graph: Graph) -> Iterator[VerifyError]:
    """Yield what breaks the invariants of the phase that a graph has been through."""
    if graph.phase is not Phase.IMPORT:
        for node in graph:
            yield from _wrong_kind(node, graph.phase)
        yield from _wrong_readers_of_spikes(graph)
        yield from _wrong_turns(graph)
        yield from _mixed_activations(graph)
    if graph.phase is Phase.QUANTIZE:
        yield from _not_integers(graph)


def accounted(graph: Graph) -> frozenset[str]:
    """Return the names of the model's nodes that the graph stands for."""
    held = {name for node in graph for name in node.origin}
    return frozenset(held | set(graph.constants)) & frozenset(graph.source_nodes)


def _verify_nothing_dropped(graph: Graph) -> None:
    held = accounted(graph)
    dropped = [name for name in graph.source_nodes if name not in held]
    if dropped:
        raise VerifyError("no node of the graph accounts for it any more", node=dropped[0])


def _wrong_kind(node: Node, phase: Phase) -> Iterator[VerifyError]:
    if not isinstance(node, ALLOWED[phase]) or (type(node) is MaxPool and phase >= Phase.LOWER):
        yield VerifyError(
            f"{node.kind} is left after {phase.name.lower()}; what may be is "
            + ", ".join(kind.__name__ for kind in ALLOWED[phase]),
            node=node.origin[0] if node.origin else node.name,
            hint=_HINTS.get(type(node)),
        )


def _wrong_turns(graph: Graph) -> Iterator[VerifyError]:
    """Yield where layers, or sums of layers, and activations do not take turns."""
    for node in graph:
        source = graph.feeder(node) if len(node.inputs) == 1 else None
        if isinstance(node, _LINEAR) and isinstance(source, (*_LINEAR, Add)):
            yield VerifyError(
                f"reads the linear layer {source.name!r} with no activation between them",
                node=node.name,
                hint="merge the two layers, or put a Relu between them",
            )
        if isinstance(node, _ACTIVATIONS) and not graph.layers_into(node):
            yield VerifyError(
                "is an activation that no convolution or dense layer feeds",
                node=node.name,
                hint="remove it, or put a layer before it",
            )
        if isinstance(node, Staircase) and not (node.low == 0 and np.isfinite(node.high)):
            yield VerifyError(
                f"rounds to the steps {node.low:g} to {node.high:g}; neurons count from 0 to a "
                "limit",
                node=node.name,
                hint="put a Clip with whole limits behind the rounding",
            )
        if isinstance(node, Output) and not graph.layers_into(node):
            yield VerifyError(
                "the output is not that of a convolution or dense layer",
                node=node.name,
                hint="end the network with a dense layer",
            )
        if isinstance(node, (*_LINEAR, Add)) and graph.only_user(node.name) is None:
            yield VerifyError(
                f"is a sum that {len(graph.users(node.name))} nodes read; one population can",
                node=node.name,
                hint="put a Relu behind it",
            )


def _wrong_readers_of_spikes(graph: Graph) -> Iterator[VerifyError]:
    """Yield pools and rearrangements that read no activations, whose spikes they pass on."""
    for node in graph:
        where = node.origin[0] if node.origin else node.name
        if isinstance(node, MaxPool) and not isinstance(graph.feeder(node), _ACTIVATIONS):
            yield VerifyError(
                "pools what is no activation, and only spikes can be pooled",
                node=where,
                hint=_HINTS[MaxPool],
            )
        if isinstance(node, Rearrange) and not (
            isinstance(graph.feeder(node), _ACTIVATIONS)
            or (
                node.order is None
                and all(isinstance(user, Dense) for user in graph.users(node.name))
            )
        ):
            yield VerifyError(
                "rearranges what is no activation, and only spikes can be relayed",
                node=where,
                hint="rearrange behind an activation, or where a dense layer follows",
            )


def _mixed_activations(graph: Graph) -> Iterator[VerifyError]:
    """Yield rectifiers that stand among trained neurons, which are not calibrated."""
    for node in graph.of_type(Relu):
        if graph.of_type(LmHt):
            yield VerifyError(
                "is a rectifier in a network of trained spiking neurons",
                node=node.origin[0] if node.origin else node.name,
                hint="train all activations as spiking neurons, or none",
            )


def _not_integers(graph: Graph) -> Iterator[VerifyError]:
    for node in graph:
        for name in ("weight", "bias", "threshold", "initial", "lateral"):
            value = getattr(node, name, None)
            if value is not None and np.asarray(value).dtype.kind != "i":
                yield VerifyError(f"{name} is not an integer", node=node.name)
