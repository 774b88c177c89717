"""What a check finds, as data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypeAlias

from toolchain.errors import CompileError

Verdict: TypeAlias = Literal["on chip", "folded", "host", "stopped", "not reached"]
VERDICTS: tuple[Verdict, ...] = ("on chip", "folded", "host", "stopped", "not reached")


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """What stops a model.

    Attributes:
        stage: Where.
        code: Of the error, for ``snn-compile explain``.
        problem: What was found and what is allowed.
        fix: A way out.
        node: What it is about: a node, a value or a file; `None` for the whole model.
    """

    stage: str
    code: str
    problem: str
    fix: str
    node: str | None = None


@dataclass(frozen=True, kw_only=True)
class NodeVerdict:
    """What becomes of one ONNX node.

    Attributes:
        name: Of the node; where the model has none, operator and first output.
        operator: Its type.
        verdict: ``on chip``, ``folded``, ``host``, ``stopped`` or ``not reached``.
        into: What a folded node has become part of; `None` for others.
        why: What stops the node, or what it waits for; `None` for others.
        multiply_accumulates: For one sample; `None` where shapes are not known.
    """

    name: str
    operator: str
    verdict: Verdict
    into: str | None = None
    why: Obstacle | None = None
    multiply_accumulates: int | None = 0


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What the network takes of the chip, as far as no sample is needed to tell.

    Attributes:
        levels: Largest spike count of a neuron.
        lowering: That ``--lowering auto`` takes.
        units: Activations and pools of the network.
        neurons: Units with their copies; gates, relays and read-outs come on top.
        neurons_available: On one chip.
        connections: Of all layers for one sample, zeros included.
        fan_in: Largest number of connections into one unit.
    """

    levels: int
    lowering: str
    units: int
    neurons: int
    neurons_available: int
    connections: int
    fan_in: int


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a check has found.

    Attributes:
        model: ``name`` and ``sha256``.
        target: Name.
        nodes: All of the model's, in order.
        obstacles: All that stops it; those of nodes are with the nodes, too.
        capacity: `None` where something stops the network before.
        notes: What was not looked at, and what does not fit one chip.
    """

    model: dict[str, str]
    target: str
    nodes: tuple[NodeVerdict, ...]
    obstacles: tuple[Obstacle, ...]
    capacity: Capacity | None
    notes: tuple[str, ...]

    @property
    def compiles(self) -> bool:
        """Whether nothing stops it."""
        return not self.obstacles

    @property
    def counts(self) -> dict[Verdict, int]:
        """Number of nodes by verdict."""
        found = Counter(node.verdict for node in self.nodes)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def share_of_nodes(self) -> float:
        """Nodes on chip or folded into what is, of all."""
        return sum(map(_stays, self.nodes)) / len(self.nodes)

    @property
    def multiply_accumulates(self) -> int:
        """Those of all nodes whose shapes are known."""
        return sum(node.multiply_accumulates or 0 for node in self.nodes)

    @property
    def share_of_multiply_accumulates(self) -> float | None:
        """Those on chip; `None` if there are none, or shapes are not known."""
        if any(node.multiply_accumulates is None for node in self.nodes):
            return None
        on_chip = sum(n.multiply_accumulates or 0 for n in self.nodes if _stays(n))
        return on_chip / self.multiply_accumulates if self.multiply_accumulates else None


def _stays(node: NodeVerdict) -> bool:
    return node.verdict in ("on chip", "folded")


def obstacle_of(error: CompileError, node: str | None = None) -> Obstacle:
    """Return an error as an obstacle, with a fix in any case.

    Args:
        error: What was raised.
        node: Name of the ONNX node it is about; `None` takes what the error names.
    """
    return Obstacle(
        stage=error.stage,
        code=error.code,
        problem=error.problem,
        fix=error.hint or f"see the ways out: snn-compile explain {error.code}",
        node=node or error.node,
    )
