"""What a chip can hold, as data, and the tables of targets and formats."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from toolchain.engine import Program
from toolchain.ir.mapped import Circuit
from toolchain.registry import Registry


@dataclass(frozen=True)
class Limit:
    """One number about a chip, and why it is believed.

    Attributes:
        value: In ``unit``.
        unit: What it counts.
        source: Where it is from.
        evidence: ``published`` by the maker or in a paper, or ``assumed`` by us.
    """

    value: int
    unit: str
    source: str
    evidence: Literal["published", "assumed"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A chip, as far as compilation depends on it.

    Attributes:
        name: As on the command line.
        description: One line for people.
        weight_bits: Width of a signed weight mantissa.
        state_bits: Width of the registers ``u`` and ``v``, sign included.
        state_shift: Places that input current and threshold are shifted left by.
        threshold_bits: Width of the unsigned threshold mantissa.
        bias_bits: Width of the signed bias mantissa.
        bias_exponent: Largest exponent of the bias.
        weight_exponent: Largest exponent of a synapse.
        message_bits: Widest payload of a graded spike, sign included.
        neurons: Neurons on one chip.
        convolution_groups: Most groups of a shared-weight convolution.
        formats: Those written when none is asked for, in order.
        assumptions: What no document settles, as sentences for the report, by the name of the
            circuit feature that relies on it (``toolchain.ir.features``).
    """

    name: str
    description: str
    weight_bits: Limit
    state_bits: Limit
    state_shift: Limit
    threshold_bits: Limit
    bias_bits: Limit
    bias_exponent: Limit
    weight_exponent: Limit
    message_bits: Limit
    neurons: Limit
    convolution_groups: Limit
    formats: tuple[str, ...]
    assumptions: Mapping[str, str] = field(default_factory=dict)

    @property
    def weight_max(self) -> int:
        """Largest magnitude of a weight that both signs can have."""
        return 2 ** (self.weight_bits.value - 1) - 1

    @property
    def current_max(self) -> int:
        """Largest magnitude of a summed current, in weight units, that no register wraps at."""
        return 2 ** (self.state_bits.value - 1 - self.state_shift.value) - 1

    @property
    def state_max(self) -> int:
        """Largest magnitude in a register that holds weight units without a shift."""
        return 2 ** (self.state_bits.value - 1) - 1

    @property
    def threshold_max(self) -> int:
        """Largest threshold mantissa, in weight units."""
        return 2**self.threshold_bits.value - 1

    @property
    def bias_max(self) -> int:
        """Largest magnitude of a bias mantissa that both signs can have."""
        return 2 ** (self.bias_bits.value - 1) - 1


Emitter: TypeAlias = Callable[[Program, Path], tuple[Path, ...]]
"""Writes a compiled network to a folder and returns the paths."""

TARGETS: Registry[Target] = Registry("target", "targets")
FORMATS: Registry[Emitter] = Registry("format", "targets.formats")


def from_circuit(emit: Callable[[Circuit, Path], tuple[Path, ...]]) -> Emitter:
    """Return the format that needs nothing of a compiled network but its circuit."""

    @functools.wraps(emit)
    def emit_program(program: Program, out_dir: Path) -> tuple[Path, ...]:
        return emit(program.circuit, out_dir)

    return emit_program
