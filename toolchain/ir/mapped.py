r"""Circuits: what runs on the chip, in the chip's own integers.

A circuit is a set of sources and populations joined by synapses, and may have loops (a
population that inhibits itself). It says *what the registers hold*; nothing of the original
network is needed to run it. All arrays are in channel-first order, ``(C, H, W)`` or ``(N,)``,
without batch and time.

Time. A time step ``t`` runs like this, for everything at once:

1. every synapse delivers the input current that it computed from the spikes of step ``t - 1``
   (or ``t - 1 - delay``);
2. every population adds the delivered currents, updates ``u`` and ``v`` and spikes;
3. every source emits its values of step ``t``.

Several synapses into one population add up. A sample occupies `Circuit.latency` steps, a new
one may start every `Circuit.period` steps, and everything in `Circuit` is given relative to the
sample's first step, 0.

Source: update order and one-step synapses as in ``lava-nc`` 0.10 (``lava.proc.lif``, ``dense``,
``sparse``, ``conv`` with ``Loihi2SimCfg(select_tag="fixed_pt")``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse

from toolchain.errors import VerifyError
from toolchain.fixedpoint import INPUT_SHIFT
from toolchain.ir.packing import pack, unpack
from toolchain.ir.radix import Radix, RadixMax
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

IntArray: TypeAlias = npt.NDArray[np.int64]
Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Values that enter the circuit from outside, as graded or binary spikes.

    Attributes:
        name: Unique in the circuit.
        shape: ``(C, H, W)`` or ``(N,)``.
        message_bits: Width of a payload including its sign; 0 for binary spikes.
        events: What a constant source emits in every sample: ``(step, values)`` pairs,
            ``values`` of ``shape``. Empty for the source that carries the sample.
    """

    name: str
    shape: Shape
    message_bits: int = 0
    events: tuple[tuple[int, IntArray], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Lif:
    """Leaky integrate-and-fire neurons with reset to zero, as Loihi's registers say it.

    Each time step, with input current ``a`` and ``decay(x, d)`` = ``sign(x) * (|x| * (4096 - d)
    >> 12)``::

        u = wrap24(decay(u, decay_u) + (a << 6))
        v = clip(decay(v, decay_v) + u + bias, -(2**23 - 1), 2**23 - 1)
        s = v > (threshold << 6)                       strictly above
        v = 0 where s
        bias = bias_mantissa << bias_exponent          (>> where the exponent is negative)

    With ``reset_interval`` set, ``u`` and ``v`` become 0 *before* step ``t`` integrates, for
    every ``t`` (counted from 0 at the start of the run) with ``t % reset_interval ==
    reset_offset``.

    Attributes:
        name: Unique in the circuit.
        shape: ``(C, H, W)`` or ``(N,)``.
        threshold: Mantissa, 0 to 131071; a scalar, or an array that broadcasts to ``shape``.
        decay_u: 4096ths of ``u`` lost per step, 0 to 4096 (Lava's ``du`` + 1); a scalar, or an
            array that broadcasts to ``shape``.
        decay_v: 4096ths of ``v`` lost per step, 0 to 4096 (Lava's ``dv``), likewise.
        bias_mantissa: Scalar or array that broadcasts to ``shape``.
        bias_exponent: Power of two the mantissa is scaled by; 6 makes it weight units.
        reset_interval: Time steps between two resets; `None` for no reset.
        reset_offset: Phase of the reset, 0 to ``reset_interval`` - 1.

    Source: ``lava.proc.lif.models`` 0.10, ``PyLifModelBitAcc`` and its ``LIFReset`` variant.
    """

    name: str
    shape: Shape
    threshold: int | IntArray
    decay_u: int | IntArray = 0
    decay_v: int | IntArray = 0
    bias_mantissa: int | IntArray = 0
    bias_exponent: int = 6
    reset_interval: int | None = None
    reset_offset: int = 0


Population: TypeAlias = Lif | Delta | SigmaDelta | Sigma | Radix | RadixMax


@dataclass(frozen=True, kw_only=True, eq=False)
class Synapse:
    """Connections from one source or population to one population.

    Attributes:
        name: Unique in the circuit.
        source: Name of the `Source` or population whose spikes it carries.
        target: Name of the population it drives.
    """

    name: str
    source: str
    target: str


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseSynapse(Synapse):
    """All-to-all connections: ``a = shift(weight @ flatten(s), weight_exponent)``.

    ``flatten`` is in channel-first order. ``shift`` is ``<<`` for a positive exponent and the
    arithmetic ``>>`` of the *sum* for a negative one.

    Attributes:
        weight: Mantissas ``(out, in)`` as the chip holds them: of one sign within -255 to 255,
            or of mixed sign even within -256 to 254.
        weight_exponent: Power of two every sum is scaled by.
        delay: Extra time steps, 0 to 62: per *input* neuron ``(in,)``, or an array that
            broadcasts to ``(out, in)``; `None` for none.
    """

    weight: IntArray
    weight_exponent: int = 0
    delay: IntArray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseSynapse(Synapse):
    """As `DenseSynapse`, for a matrix with few entries.

    Attributes:
        weight: Mantissas ``(out, in)``, under the same rules.
        weight_exponent: Power of two every sum is scaled by.
    """

    weight: scipy.sparse.csr_matrix
    weight_exponent: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvSynapse(Synapse):
    """Shared connections: a 2-D cross-correlation, wrapped to 24 bits signed.

    Attributes:
        weight: ``(C_out, C_in / groups, kernel_height, kernel_width)``, -128 to 127.
        stride: Vertical and horizontal step, >= 1.
        padding: Zeros added on both sides, vertically and horizontally, >= 0.
        dilation: Vertical and horizontal spacing of kernel entries, >= 1.
        groups: Number of independent groups of channels, 1 to 127.

    Source: ``lava.proc.conv`` 0.10, whose model applies neither exponent nor range to weights.
    """

    weight: IntArray
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Injection(Synapse):
    """Values that the host writes into neurons in the very step in which the source emits them.

    The one connection that takes no time step, and is no synapse of the chip. ``source`` is a
    `Source` of the shape of ``target``.

    Attributes:
        register: ``"a"`` adds to the input current, ``"bias"`` replaces the bias mantissa of a
            `Lif`.
    """

    register: Literal["a", "bias"]


@dataclass(frozen=True)
class Window:
    """The time steps in which a population spikes for one sample.

    Attributes:
        start: First step, counted from the sample's first step.
        length: Number of steps, >= 1.
        copies: Neurons per unit of the graph's population, next to each other on the circuit
            population's channel axis, so that ``spikes.reshape(C, copies, H, W).sum(1)`` is the
            spike count of the unit.
        is_radix: Whether the spikes are places of a binary number, the highest first, so that
            the count of the unit is ``sum(spikes[i] << (length - 1 - i))``.
        starts: First step of each window, where the graph's population has several in a
            sample: parts of it that follow each other on the channel axis, and spike for
            equally many steps each. Empty for a single one.
    """

    start: int
    length: int
    copies: int = 1
    is_radix: bool = False
    starts: tuple[int, ...] = ()

    @property
    def train_length(self) -> int:
        """Steps in which a neuron may spike."""
        return self.length - (max(self.starts, default=self.start) - self.start)


@dataclass(frozen=True)
class Readout:
    """Where the host reads the outputs: register ``v`` of a population after one step.

    Attributes:
        population: Name of a `Lif` or `Radix` that never spikes.
        step: Time step, counted from the sample's first step, after which ``v`` is read.
        shift: Places by which ``v`` is shifted left against weight units.
    """

    population: str
    step: int
    shift: int = INPUT_SHIFT


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """A network ready for the chip, with its timetable.

    Attributes:
        name: Of the network.
        sources: Those among `inputs` carry the samples.
        populations: In order of depth.
        synapses: Any order; loops allowed.
        inputs: Names of the sources, one or more, that emit the encoded sample at step 0 and 0
            at other steps. Of several each emits a part: flattened, they follow each other.
        period: Time steps from one sample's first step to the next's; >= 1.
        latency: Time steps one sample needs from its first step to its last readout, inclusive.
        windows: Of every population that spikes, relays as well, by its name.
        readouts: Where the outputs are read. Of several each gives a part: flattened, they
            follow each other.
    """

    name: str
    sources: tuple[Source, ...]
    populations: tuple[Population, ...]
    synapses: tuple[Synapse, ...]
    inputs: tuple[str, ...]
    period: int
    latency: int
    windows: Mapping[str, Window] = field(default_factory=dict)
    readouts: tuple[Readout, ...] = ()

    @cached_property
    def nodes(self) -> Mapping[str, Source | Population]:
        """Sources and populations by name."""
        nodes: list[Source | Population] = [*self.sources, *self.populations]
        return {node.name: node for node in nodes}

    @property
    def input(self) -> str:
        """Name of the only source that carries the samples.

        Raises:
            VerifyError: There are several.
        """
        if len(self.inputs) != 1:
            raise VerifyError(f"{len(self.inputs)} sources carry samples", node=self.name)
        return self.inputs[0]

    @property
    def readout(self) -> Readout | None:
        """Where the only output is read; `None` if none is.

        Raises:
            VerifyError: There are several.
        """
        if len(self.readouts) > 1:
            raise VerifyError(f"{len(self.readouts)} outputs are read", node=self.name)
        return self.readouts[0] if self.readouts else None

    @property
    def input_shapes(self) -> list[Shape]:
        """Shapes of the sources that carry the samples."""
        return [self.nodes[name].shape for name in self.inputs]

    @property
    def readout_shapes(self) -> list[Shape]:
        """Shapes of the populations that are read."""
        return [self.nodes[readout.population].shape for readout in self.readouts]

    def in_weight_units(self, v: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what was read, ``v`` ``(samples, *shape)``, of several packed, unshifted."""
        parts = unpack(v, self.readout_shapes)
        shifts = (readout.shift for readout in self.readouts)
        return pack([part >> shift for part, shift in zip(parts, shifts, strict=True)])

    def into(self, target: str) -> tuple[Synapse, ...]:
        """Return the synapses that drive the population ``target``."""
        return tuple(synapse for synapse in self.synapses if synapse.target == target)
