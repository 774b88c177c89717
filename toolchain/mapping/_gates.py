"""Gates: when populations fire, and the source that tells them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse

from toolchain.fixedpoint import DIGIT_BITS
from toolchain.ir.mapped import Source, SparseSynapse
from toolchain.ir.snn import Spiking
from toolchain.mapping._draft import Draft, Layers
from toolchain.mapping._synapses import mantissas, spread

Ints: TypeAlias = npt.NDArray[np.int64]


def starts_of(draft: Draft, node: Spiking, layers: Layers, length: int) -> tuple[int, ...]:
    """Return the first fire step of each window: when all it reads has arrived.

    Args:
        draft: With all populations before this one.
        node: The population.
        layers: That feed it.
        length: Steps that a window fires for.
    """
    starts: list[int] = []
    for window, ready in enumerate(draft.ready_windows(layers, node.windows)):
        inhibiting = [
            start + length
            for earlier, start in enumerate(starts)
            if node.lateral[window, earlier].any()
        ]
        starts.append(max([ready, *inhibiting]))
    return tuple(starts)


def add_gate(draft: Draft, name: str, start: Ints, gate: int) -> None:
    """Add the source that sets, opens and closes the last population, with its synapse.

    Args:
        draft: The population is its last, and when it fires is noted.
        name: Of the population.
        start: What ``u`` holds at first, ``(channels, 1 or positions)``.
        gate: What is taken from it while it is closed.
    """
    population, starts = draft.populations[-1], draft.starts[name]
    positions = int(np.prod(population.shape)) // len(start)
    start = np.broadcast_to(start, (len(start), positions)).ravel()
    digits = spread(start)
    own_window = np.repeat(
        np.eye(len(starts), dtype=np.int64), start.size // len(starts), axis=0
    )
    mantissa, exponent = mantissas(np.column_stack([*digits, own_window]))
    units = [1 << DIGIT_BITS * place for place in range(len(digits))]
    events = _gate_events(units, gate, starts, draft.length[name])
    bits = max(int(np.abs(values).max()) for values in events.values()).bit_length() + 1
    draft.require_message(bits, name)
    draft.sources.append(
        Source(
            name=f"{name}/gate",
            shape=(len(units) + len(starts),),
            message_bits=bits,
            events=tuple(sorted(events.items())),
        )
    )
    draft.synapses.append(
        SparseSynapse(
            name=f"{name}/gate/synapse",
            source=f"{name}/gate",
            target=name,
            weight=scipy.sparse.csr_matrix(mantissa),
            weight_exponent=exponent,
        )
    )


def _gate_events(
    units: list[int], gate: int, starts: tuple[int, ...], length: int
) -> dict[int, Ints]:
    """Return what the source sends, by step: digits' units, then one gate for each window."""
    events: dict[int, Ints] = {}

    def send(step: int, index: int, value: int) -> None:
        nothing = np.zeros(len(units) + len(starts), np.int64)
        events.setdefault(step, nothing)[index] += value

    for index, unit in enumerate(units):
        send(0, index, unit)
    for index, start in enumerate(starts, len(units)):
        if start > 1:
            send(0, index, -gate)
            send(start - 1, index, gate)
        send(start + length - 1, index, -gate)
    return events
