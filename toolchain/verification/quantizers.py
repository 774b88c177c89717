"""What the quantizers of a source model send, and whether ours would send the same.

A quantizer is a staircase like that of a neuron, so that a rounding error may end on another
step (`toolchain.verification.ties`). It stands in one of three places: inside, as neurons; at
the input, whose encoding it is; at the output, where the host rounds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Input, Output
from toolchain.ir.graph import Graph
from toolchain.ir.packing import pack
from toolchain.ir.reference import Floats, Value, counts_of, decode, encode
from toolchain.ir.staircase import Staircase

Bools: TypeAlias = npt.NDArray[np.bool_]


def quantizers(graph: Graph) -> dict[str, str]:
    """Return the names of ONNX values that hold the steps of quantizers, by their own."""
    found: dict[str, str] = {node.name: node.tensor for node in graph.of_type(Staircase)}
    found |= {step.name: step.tensor for node in graph.outputs for step in node.tail}
    for entry in graph.inputs:
        if entry.encoding is not None:
            found[entry.name] = entry.encoding.tensor
    return {name: tensor for name, tensor in found.items() if tensor}


def steps_in(graph: Graph, name: str, value: npt.NDArray[Any]) -> Floats:
    """Return the steps of a quantizer, of the ONNX value ``(samples, *)`` that holds them."""
    rows = value.reshape(len(value), -1).astype(np.float64)
    for output in graph.outputs:
        for step in (step for step in output.tail if step.name == name):
            steps = np.clip(value - float(step.tensor_zero), step.low, step.high)
            is_reduced = rows.shape[1] != math.prod(output.shape)  # by an argmax before it
            return steps if is_reduced else steps.reshape(len(value), *output.shape)
    node = graph[name]
    if isinstance(node, Input) and node.encoding is not None:
        order, limits = node.order, node.encoding
        low, high, zero = float(limits.low), float(limits.high), limits.tensor_zero
    elif isinstance(node, Staircase):
        order, low, high, zero = node.tensor_order, node.low, node.high, node.tensor_zero
    else:
        raise TypeError(f"{name} is no quantizer")
    rows = rows if order is None else rows[:, order.ravel()]
    return np.clip(rows - zero, low, high).reshape(len(value), *graph.shapes[name])


@dataclass(frozen=True, eq=False)
class Judgement:
    """Steps of a quantizer that reads what the source sends.

    Attributes:
        name: Of the quantizer.
        ours: Steps that it makes.
        theirs: Steps that the source makes.
        is_near: Whether these are the steps of a value within the tolerance.
    """

    name: str
    ours: Floats
    theirs: Floats
    is_near: Bools


def judgements(
    graph: Graph,
    x: npt.NDArray[np.generic],
    values: Mapping[str, Value],
    sent: Mapping[str, Value],
    tolerance: float,
) -> list[Judgement]:
    """Return one for each quantizer of which the source's steps are known.

    Args:
        graph: Prepared.
        x: ``(samples, *source_shape)``.
        values: Of all nodes, where those sent are as they were sent.
        sent: By name of the quantizer.
        tolerance: Of a value, as a share of the largest, and at least of a step.
    """
    found = []
    for entry in graph.inputs:
        if entry.name in sent and entry.encoding is not None:
            unrounded = dataclasses.replace(entry, encoding=None)
            steps = encode(unrounded, x) / entry.encoding.scale
            low, high = float(entry.encoding.low), float(entry.encoding.high)
            found.append(_judged(entry.name, steps, sent[entry.name], tolerance, low, high))
    for node in graph.of_type(Staircase):
        if node.name in sent:
            steps = counts_of(values[node.inputs[0]])
            found.append(
                _judged(
                    node.name,
                    steps,
                    sent[node.name],
                    tolerance,
                    node.low,
                    node.high,
                    rounds_down=node.rounds_down,
                )
            )
    for output in graph.outputs:
        for position, step in enumerate(output.tail):
            if step.name in sent:
                before = dataclasses.replace(output, tail=output.tail[:position])
                steps = decode(before, counts_of(values[output.inputs[0]]))
                found.append(
                    _judged(step.name, steps, sent[step.name], tolerance, step.low, step.high)
                )
    return found


def _judged(
    name: str,
    steps: Floats,
    sent: Value,
    tolerance: float,
    low: float,
    high: float,
    *,
    rounds_down: bool = False,
) -> Judgement:
    def rounded(values: Floats) -> Floats:
        return np.clip(np.floor(values) if rounds_down else np.rint(values), low, high)

    theirs = counts_of(sent)
    slack = tolerance * max(1.0, float(np.abs(steps).max()))
    is_near = (rounded(steps - slack) <= theirs) & (theirs <= rounded(steps + slack))
    return Judgement(name, rounded(steps), theirs, is_near)


def first_step(judged: Judgement, first_sample: int) -> str:
    """Return where steps first differ by more than the tolerance."""
    where = np.unravel_index(int((~judged.is_near).argmax()), judged.is_near.shape)
    sample, *neuron = (int(i) for i in where)
    return (
        f"quantizer {judged.name!r}, value {tuple(neuron)}, sample {first_sample + sample}: "
        f"{judged.ours[where]:.0f} steps against {judged.theirs[where]:.0f}"
    )


def outputs(graph: Graph, values: Mapping[str, Value], sent: Mapping[str, Value]) -> Floats:
    """Return the answers, where the host rounds as the source does."""
    return pack([_answer(node, values, sent) for node in graph.outputs])


def _answer(node: Output, values: Mapping[str, Value], sent: Mapping[str, Value]) -> Floats:
    for position, step in enumerate(node.tail):
        if step.name in sent:
            steps = counts_of(sent[step.name])
            after = Output(name="", shape=steps.shape[1:], tail=node.tail[position + 1 :])
            return decode(after, steps)
    return counts_of(values[node.name])
