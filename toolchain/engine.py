"""Ways to run a compiled network: what they are given and what they give back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit
from toolchain.registry import Registry

Ints: TypeAlias = npt.NDArray[np.int64]


class Program:
    """A compiled network.

    Attributes:
        graph: After `Phase.QUANTIZE`.
        folder: Where its artifacts are; `None` before they are written.
    """

    def __init__(
        self,
        graph: Graph,
        circuit: Circuit | Callable[[], Circuit],
        folder: Path | None = None,
    ) -> None:
        """Put a network together.

        Args:
            graph: See the attributes.
            circuit: What it was mapped to, or a function that reads that.
            folder: See the attributes.
        """
        self.graph, self.folder = graph, folder
        self._circuit = circuit

    @cached_property
    def circuit(self) -> Circuit:
        """What the graph was mapped to; read when it is asked for, as not all engines do."""
        return self.read_circuit()

    def read_circuit(self) -> Circuit:
        """Return the circuit for a single use: if it is read, it is not kept."""
        return self._circuit() if callable(self._circuit) else self._circuit

    def __reduce__(self) -> tuple[type[Program], tuple[Graph, Circuit, Path | None]]:
        """Take the circuit along to processes that may not have its file."""
        return Program, (self.graph, self.circuit, self.folder)


@dataclass(frozen=True, eq=False)
class Sent:
    """What a population sent for each sample, with others that repeat its spikes.

    Attributes:
        spikes: By window, ``(samples, windows)``.
        synaptic_operations: What they caused, ``(samples,)``.
    """

    spikes: Ints
    synaptic_operations: Ints

    def __add__(self, other: Sent) -> Sent:
        """Return what both sent."""
        operations = self.synaptic_operations + other.synaptic_operations
        return Sent(self.spikes + other.spikes, operations)


@dataclass(frozen=True, kw_only=True, eq=False)
class Execution:
    """What an engine found for some samples.

    Attributes:
        readout: What leaves the chip, ``(samples, *shape)``, in weight units.
        counts: Spike counts ``(samples, *shape)`` by population of the graph.
        activity: What each population of the circuit sent, by the node of the graph that it
            stands for if there is one; empty if not counted. Totals have inputs and constants
            besides.
        spikes: Single spikes ``(samples, latency, *shape)`` by population of the circuit, if
            they were asked for and the engine has any.
        spikes_total: Spikes and payloads sent, per sample; `None` if not counted.
        synaptic_operations: Spikes times the weights other than 0 that they meet, per sample;
            `None` if not counted.
        graded_operations: Those of them that graded spikes caused, likewise.
        saturations: Times a register left its range, over all samples.
    """

    readout: npt.NDArray[Any]
    counts: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    activity: Mapping[str, Sent] = field(default_factory=dict)
    spikes: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    spikes_total: Ints | None = None
    synaptic_operations: Ints | None = None
    graded_operations: Ints | None = None
    saturations: int = 0


@dataclass(frozen=True)
class Selection:
    """What of a run is traced.

    Attributes:
        registers: Of ``spikes``, ``u`` and ``v``, one or more.
        populations: Names in the circuit; empty for all that stand for one of the graph.
        neurons: Numbers within each population, channels first; empty for all.
    """

    registers: tuple[str, ...] = ("spikes",)
    populations: tuple[str, ...] = ()
    neurons: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationTrace:
    """What one population did for each sample.

    Arrays are ``(samples, steps, *shape)``, or ``(samples, steps, neurons)`` where neurons were
    chosen; `None` where a register was not asked for.

    Attributes:
        first_step: Time step of the first entry of ``spikes``: they cover the population's
            window, or all steps if the sample causes spikes outside of it.
        spikes: Spikes as booleans, payloads as integers.
        u: Synaptic current after each step of the sample, from step 0 on, as the register
            holds it.
        v: Membrane potential, likewise.
    """

    first_step: int = 0
    spikes: npt.NDArray[Any] | None = None
    u: npt.NDArray[np.int32] | None = None
    v: npt.NDArray[np.int32] | None = None


Trace: TypeAlias = Callable[[Program, Ints, Selection], Mapping[str, PopulationTrace]]
"""Trace populations for encoded samples ``(samples, *input shape)``."""


class Run(Protocol):
    """The function of an engine."""

    def __call__(self, program: Program, inputs: Ints, *, trace: bool) -> Execution:
        """Run encoded samples ``(samples, *input shape)``.

        ``trace`` asks for single spikes; an engine that has none counts those of all neurons
        in the same run, which it else does when counts are read.
        """
        ...


@dataclass(frozen=True)
class Engine:
    """A way to run a compiled network.

    Attributes:
        name: As on the command line and in the ladder.
        run: Runs samples.
        missing: Returns why it cannot run here and how to mend that; `None` if it can.
        artifact: Name of the format it runs; `None` if it runs the program itself.
        samples_max: How many samples the ladder gives it; `None` for all.
        trace: Traces chosen populations for encoded samples; `None` if it cannot.
        measure: Runs samples and counts spikes and synaptic operations, which ``run`` leaves
            out to be faster; `None` where ``run`` counts what it can.
        forget: Frees what it keeps for more samples of the networks that it ran last.
    """

    name: str
    run: Run
    missing: Callable[[], str | None] = lambda: None
    artifact: str | None = None
    samples_max: int | None = None
    trace: Trace | None = None
    measure: Run | None = None
    forget: Callable[[], None] = lambda: None


RunNetworkFile: TypeAlias = Callable[[Path, npt.NDArray[Any]], npt.NDArray[Any]]
"""Run samples ``(samples, ...)`` through a file; return answers ``(samples, *shape)``."""

ENGINES: Registry[Engine] = Registry("engine", "targets.engines")

NETWORK_FILES: Registry[RunNetworkFile] = Registry(
    "network file (by its suffix)", "targets.network_files"
)
