r"""What a population gets beside its input, and its own inhibition, as currents at known steps.

No input arrives while a population of the temporal lowering fires, in the steps :math:`f` to
:math:`f + L - 1`, and a neuron that has not spiked once will not spike again. So a threshold
:math:`\theta` may be subtracted from all neurons in each of these steps instead of from those
that spiked: the :math:`j`-th spike comes iff :math:`u_f > (j - 1) \theta` either way. The
current :math:`-C` that closes the population, where :math:`C \ge u_f`, then is the rest:
:math:`\min(j \theta, C)` has been subtracted after :math:`j` steps, and :math:`C` in the end.
So :math:`u` goes no further down than it did.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from targets.netx.chain import LAVA, constant_sources
from targets.netx.weights import effective_weight
from toolchain.errors import EmitError
from toolchain.fixedpoint import DECAY_UNITY
from toolchain.ir.mapped import Circuit, DenseSynapse, IntArray, Lif, SparseSynapse, Window

Steps: TypeAlias = tuple[int, ...]
Currents: TypeAlias = Mapping[Steps, IntArray]
"""Currents ``(neurons,)`` by the steps in which they are sent, one before they arrive."""


class Gates(NamedTuple):
    """Constant sources of a population, side by side.

    Attributes:
        weight: ``(neurons, channels)``.
        payloads: ``(channels,)``, by step.
    """

    weight: IntArray
    payloads: Mapping[int, IntArray]


def currents_of(circuit: Circuit, population: Lif, before: str, depth: int) -> Currents:
    """Return all that reaches a population but its input, loops included.

    Args:
        circuit: A chain but for constant sources and loops.
        population: Of shape ``(N,)``.
        before: Name of the source or population that is its input.
        depth: Populations before it. What is sent in an earlier step is sent in that step.

    Raises:
        EmitError: Spikes would not be the same.
    """
    gates = _gates(circuit, population)
    threshold = _threshold(circuit, population)
    if threshold is not None or min(gates.payloads, default=depth) < depth:
        require_integrating(population)
    gates = _postponed(gates, population, depth)
    subtracted: Iterable[tuple[Steps, IntArray]] = ()
    if threshold is not None:
        window = _window(circuit, population, before)
        gates, closing = _without_closing(gates, population, window)
        subtracted = _subtraction(threshold, closing, window)
    currents: dict[Steps, IntArray] = {}
    for steps, current in itertools.chain(_sent(gates), subtracted):
        currents[steps] = currents.get(steps, 0) + current
    return {steps: currents[steps] for steps in sorted(currents) if currents[steps].any()}


def require_integrating(population: Lif) -> None:
    """Check that ``v`` is all that has ever arrived.

    Raises:
        EmitError: It is not.
    """
    if (
        np.any(population.decay_u)
        or np.any(np.not_equal(population.decay_v, DECAY_UNITY))
        or np.any(population.bias_mantissa)
    ):
        raise EmitError(
            "has a decay of u, a memory of v or a bias; where there are gates, neurons that "
            "only integrate are allowed",
            node=population.name,
            hint=LAVA,
        )


def _gates(circuit: Circuit, population: Lif) -> Gates:
    weights: list[IntArray] = [np.zeros((*population.shape, 0), np.int64)]
    events: list[tuple[int, slice, IntArray]] = []
    constants = {source.name: source for source in constant_sources(circuit)}
    for synapse in circuit.into(population.name):
        source = constants.get(synapse.source)
        if source is None or not isinstance(synapse, DenseSynapse | SparseSynapse):
            continue
        weights.append(effective_weight(synapse))
        end = sum(weight.shape[1] for weight in weights)
        channels = slice(end - weights[-1].shape[1], end)
        events += [(step, channels, values.ravel()) for step, values in source.events]
    weight = np.hstack(weights)
    payloads: dict[int, IntArray] = {}
    for step, channels, values in events:
        payloads.setdefault(step, np.zeros(weight.shape[1], np.int64))[channels] += values
    return Gates(weight, payloads)


def _postponed(gates: Gates, population: Lif, depth: int) -> Gates:
    u = np.zeros(population.shape, np.int64)
    payloads: dict[int, IntArray] = {}
    for step, values in sorted(gates.payloads.items()):
        u = u + gates.weight @ values
        if step < depth and np.any(u > population.threshold):
            raise EmitError(
                f"can spike in step {step + 1}, before spikes can have come all the way from "
                f"the input; in a netx file it can from step {depth + 1} on",
                node=population.name,
                hint=LAVA,
            )
        at = max(step, depth)
        payloads[at] = payloads.get(at, np.zeros_like(values)) + values
    return Gates(gates.weight, payloads)


def _threshold(circuit: Circuit, population: Lif) -> IntArray | None:
    """Return what a spike of each neuron takes back from it; `None` if there is no loop."""
    total: IntArray | None = None
    for synapse in circuit.into(population.name):
        if synapse.source != population.name:
            continue
        weight = effective_weight(synapse) if isinstance(synapse, SparseSynapse) else None
        if weight is None or np.any(weight != np.diag(np.diag(weight))) or np.any(weight > 0):
            raise EmitError(
                "is more than self-inhibition, as between the windows of a neuron; a netx file "
                "has none of that where there are gates",
                node=synapse.name,
                hint=LAVA,
            )
        total = (0 if total is None else total) - np.diag(weight)
    if total is not None and np.any(total < 1):
        raise EmitError(
            "has self-inhibition for some neurons only; all or none are allowed",
            node=population.name,
            hint=LAVA,
        )
    return total


def _window(circuit: Circuit, population: Lif, before: str) -> Window:
    window = circuit.windows.get(population.name)
    feeding = circuit.windows.get(before, Window(0, 1))
    if window is None or feeding.start + feeding.length > window.start:
        raise EmitError(
            "spikes while input arrives; in a netx file a population that inhibits itself "
            "integrates first and then fires",
            node=population.name,
            hint=LAVA,
        )
    return window


def _without_closing(gates: Gates, population: Lif, window: Window) -> tuple[Gates, IntArray]:
    """Return all but the last event, and what that takes from each neuron."""
    payloads = dict(gates.payloads)
    last = window.start + window.length - 1
    final = payloads.pop(last, None)
    closing = np.array([-1]) if final is None else -(gates.weight @ final)
    if max(payloads, default=0) >= window.start or closing.min() < 0:
        raise EmitError(
            f"has to be open for all of its neurons from step {window.start} on, and closed "
            f"for good from step {last + 1} on",
            node=population.name,
            hint=LAVA,
        )
    return Gates(gates.weight, payloads), closing


def _subtraction(
    threshold: IntArray, closing: IntArray, window: Window
) -> Iterator[tuple[Steps, IntArray]]:
    """Yield currents that take thresholds, step by step, until ``closing`` has been taken."""
    times = np.minimum(closing // threshold, window.length - 1)
    rest = closing - times * threshold
    for count in np.unique(times).tolist():
        end = window.start + count
        if count:
            yield tuple(range(window.start, end)), np.where(times == count, -threshold, 0)
        yield (end,), np.where(times == count, -rest, 0)


def _sent(gates: Gates) -> Iterator[tuple[Steps, IntArray]]:
    """Yield each payload of each channel with all steps in which it is sent."""
    for channel, weight in enumerate(gates.weight.T):
        payloads = {step: int(values[channel]) for step, values in gates.payloads.items()}
        for payload in sorted(set(payloads.values()) - {0}):
            steps = tuple(sorted(step for step in payloads if payloads[step] == payload))
            yield steps, payload * weight
