"""Registers and spikes of chosen populations in every step of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from targets.simulator._layout import from_rows
from targets.simulator._machine import Machine
from toolchain.errors import UnknownNameError
from toolchain.ir.mapped import Circuit, Lif, Population
from toolchain.ir.radix import Radix, RadixMax
from toolchain.ir.sigma_delta import Delta

Record: TypeAlias = Mapping[str, Collection[str]]

SPIKES = "spikes"


def recordable(population: Population) -> tuple[str, ...]:
    """Return what can be recorded of ``population``."""
    if isinstance(population, Lif | Radix | RadixMax):
        return ("u", "v", SPIKES)
    return (SPIKES,) if isinstance(population, Delta) else ("v", SPIKES)


class Recorder:
    """Arrays ``(batch, time_steps, neurons)`` that fill up as the machine runs."""

    def __init__(self, machine: Machine, record: Record, batch: int, time_steps: int) -> None:
        self._machine = machine
        self._arrays: dict[str, dict[str, npt.NDArray[Any]]] = {"u": {}, "v": {}, SPIKES: {}}
        for name, what in record.items():
            is_binary = isinstance(machine.circuit.nodes[name], Lif | Radix | RadixMax)
            kind = np.bool_ if is_binary else np.int32
            for register in what:
                self._arrays[register][name] = np.zeros(
                    (batch, time_steps, machine.neurons[name]),
                    kind if register == SPIKES else np.int32,
                )

    def add(self, t: int) -> None:
        """Take down the state after step ``t``."""
        for register, arrays in self._arrays.items():
            for name, array in arrays.items():
                if register != SPIKES:
                    array[:, t] = getattr(self._machine.states[name], register)
                elif (sent := self._machine.sent[name]) is not None:
                    array[:, t] = sent.values

    def arrays(self, register: str) -> dict[str, npt.NDArray[Any]]:
        """Return the traces of one register, ``(batch, time_steps, *shape)`` by population."""
        nodes = self._machine.circuit.nodes
        return {
            name: from_rows(array, nodes[name].shape)
            for name, array in self._arrays[register].items()
        }


def check_record(circuit: Circuit, record: Record) -> None:
    """Check that everything in ``record`` exists.

    Raises:
        UnknownNameError: There is no population of that name, or it has no such register.
    """
    populations = {population.name: population for population in circuit.populations}
    for name, what in record.items():
        if name not in populations:
            known = ", ".join(sorted(populations))
            raise UnknownNameError(f"no population is called {name!r}; known: {known}")
        known_registers = recordable(populations[name])
        for register in what:
            if register not in known_registers:
                raise UnknownNameError(
                    f"{register!r} cannot be recorded; known: {', '.join(known_registers)}",
                    node=name,
                )
