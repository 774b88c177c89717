r"""Primitives of the spiking network: neurons and what pools their spikes.

The output of a neuron is its *spike count* in a window, 0 to ``levels``. After lowering it is a
*train* of that many single spikes, sorted: the first of them, then silence. In the temporal
lowering the train runs over time steps, in the spatial one over copies of the neuron; what
follows sums it either way. In the radix lowering the train has the places of the count as a
binary number, and what follows doubles its sum from place to place.

A sample may have several *windows*. They are channels: the first ``C / windows`` channels are
window 1, the next ones window 2, and so on, so that layers mix windows as they mix channels.
Only the neurons know of them, because an earlier window inhibits the later ones of the same
neuron.

The parameters are real numbers until quantization and integers after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from toolchain.ir.ann import MaxPool
from toolchain.ir.node import Array, IndexArray, Node, Shape

_ZERO = np.zeros(())
_ONE = np.ones(())
_NONE = np.zeros((), np.int64)

_PLACES_MAX = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Spiking(Node):
    """Common part of the neurons; see the subclasses.

    Attributes:
        levels: Largest spike count in a window, >= 1.
        threshold: > 0; ``(C, 1, 1)``, ``(N,)`` or a scalar.
        initial: Membrane potential at the start of a window; half the threshold rounds instead
            of rounding down. Broadcasts like ``threshold``.
        low: Largest sum of negative input currents at any moment of a window, as a magnitude,
            ``(C,)``; set by quantization.
        high: Largest sum of positive input currents, likewise.
        bound: ``proved`` for every possible input, or ``observed`` on samples.
        windows: Windows of one sample, >= 1.
        lateral: What each spike of an earlier window takes from the potential of a later one,
            ``(later, earlier, C / windows)``, 0 unless ``earlier < later``.
        unit: What one spike stands for in the analogue network, in units of its activation.
            Nothing is computed with it; reports compare the two networks by it.
        level_error: How far quantization has moved a level, in levels, at most; 0 where every
            count is as before, infinity where that cannot be said. Nothing is computed with it.
    """

    levels: int
    threshold: Array = field(default_factory=lambda: _ONE)
    initial: Array = field(default_factory=lambda: _ZERO)
    unit: Array = field(default_factory=lambda: _ONE)
    level_error: float = math.inf
    low: Array = field(default_factory=lambda: _ZERO)
    high: Array = field(default_factory=lambda: _ZERO)
    bound: str = ""
    windows: int = 1
    lateral: Array = field(default_factory=lambda: _NONE)

    def __post_init__(self) -> None:
        self._require(self.levels >= 1, f"levels is {self.levels}; it must be 1 or more")
        self._require(
            bool(np.all(np.asarray(self.threshold) > 0)), "a threshold is not above 0"
        )

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input."""
        self._broadcasts("threshold", inputs[0])
        self._broadcasts("initial", inputs[0])
        self._require(
            inputs[0][0] % self.windows == 0,
            f"has {inputs[0][0]} channels, which are not {self.windows} windows",
        )
        if self.windows > 1:
            wanted = (self.windows, self.windows, inputs[0][0] // self.windows)
            found = np.shape(self.lateral)
            self._require(found == wanted, f"lateral has shape {found}; {wanted} is needed")
        return inputs[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class MultiThreshold(Spiking):
    """Neurons with ``levels`` thresholds, the staircase that stands for a rectifier.

    With the input summed over a window, ``a``::

        m[t] = initial[t] + a[t] - sum(lateral[t, s] * n[s] for s < t)
        n[t] = clip(floor(m[t] / threshold[t]), 0, levels)          spike count of window t

    Source: the M-HT neuron of LM-HT (Hao et al., NeurIPS 2024, equations 5-6), its memory from
    window to window unfolded into ``initial``, ``a`` and ``lateral``
    (``toolchain.passes.unroll_windows``).
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class LmHt(Node):
    """Trained multi-threshold neurons with a memory and a mixing matrix over windows.

    With the input current ``x[j]`` of window ``j`` (from a layer without windows: the same in
    all of them), for ``t = 1 .. windows``::

        a[t] = sum(mixing[t, j] * x[j] for all j)
        m[t] = retention * v[t-1] + a[t]                     v[0] = initial
        n[t] = clip(floor(m[t] / threshold), 0, levels)
        v[t] = m[t] - n[t] * threshold
        y[t] = n[t] * threshold                              what the next layer reads

    Attributes:
        levels: Largest spike count in a window, >= 1.
        threshold: > 0, in units of the input current.
        mixing: ``(windows, windows)``; row = receiving window, column = sending window.
        retention: Share of the membrane potential kept from window to window, 0 to 1.
        initial: Membrane potential before the first window.
        tensor: Name of the ONNX value that holds ``y``, for verification.
        tensor_order: Flat index into one window of that value (without batch axis) for each
            element of the output; `None` keeps the order.

    Source: Hao et al., "LM-HT SNN", NeurIPS 2024, equations 5-7.
    """

    levels: int
    threshold: float
    mixing: Array
    retention: float = 1.0
    initial: float = 0.0
    tensor: str = ""
    tensor_order: IndexArray | None = None

    def __post_init__(self) -> None:
        self._require(self.levels >= 1, f"levels is {self.levels}; it must be 1 or more")
        self._require(self.threshold > 0, f"threshold is {self.threshold}; it must be above 0")
        self._require(
            self.mixing.ndim == 2 and self.mixing.shape[0] == self.mixing.shape[1] > 0,
            f"mixing has shape {self.mixing.shape}; it must be square",
        )
        self._require(
            bool(np.isfinite(self.mixing).all() and np.isfinite(self.initial)),
            "an entry of mixing, or the initial potential, is not finite",
        )
        self._require(
            0 <= self.retention <= 1, f"retention is {self.retention}; it must be 0 to 1"
        )

    @property
    def windows(self) -> int:
        """Number of windows of a sample."""
        return len(self.mixing)

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input, of one window."""
        return inputs[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegrateFire(Spiking):
    """Single-threshold neurons that integrate a window without firing, then fire (temporal).

    In each of ``levels`` fire steps, starting from ``m = initial + a``::

        s = m >= threshold
        m = m - threshold * s                                reset by subtraction

    The count equals that of `MultiThreshold` for any ``m``, and the spikes are sorted: `m` only
    falls, so the first silent step is followed by silence.
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class ThresholdBank(Spiking):
    """``levels`` copies of each neuron, copy k with threshold k (spatial).

    Copy k = 1..levels spikes iff ``initial + a >= k * threshold``. The copies that spike are
    the first n of them, as many as `MultiThreshold` counts.

    Attributes:
        gathers: Whether copies keep what arrives until all of it has; without a memory, all
            has to arrive in the same step.
    """

    gathers: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class RadixFire(Spiking):
    """Neurons that fire their count as a binary number, its highest place first (radix).

    With ``places = levels.bit_length()`` fire steps, starting from
    ``m = min(initial + a, levels * threshold)``, for ``k = places - 1 .. 0``::

        s = m >= 2**k * threshold                            worth 2**k
        m = m - 2**k * threshold * s

    What the spikes are worth adds up to the count of `MultiThreshold` for any ``m``: before
    place ``k``, ``m`` is below ``2**(k + 1) * threshold``, so this writes
    ``floor(m / threshold)`` in binary. One window only.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(
            self.windows == 1,
            f"has {self.windows} windows; the radix lowering knows neurons of one",
            hint="compile with --lowering temporal",
        )
        self._require(
            self.places <= _PLACES_MAX,
            f"has {self.levels} levels; numbers of {_PLACES_MAX} places end at "
            f"{2**_PLACES_MAX - 1}",
            hint="lower --levels",
        )

    @property
    def places(self) -> int:
        """Fire steps of a window: binary places of the largest count."""
        return self.levels.bit_length()


@dataclass(frozen=True, kw_only=True, eq=False)
class OrPool(MaxPool):
    """Spikes iff any neuron in the window does: max-pooling on sorted trains.

    Train position k of the pooled neuron is the OR of position k in the window. The OR of
    sorted trains is sorted and has as many spikes as the longest of them.

    Attributes:
        kernel: Window height and width.
        stride: Vertical and horizontal step, >= 1.
        padding: ``((top, bottom), (left, right))``, >= 0.
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class RadixPool(MaxPool):
    """The largest of the binary numbers in a window, place by place: max-pooling (radix).

    All inputs ``i`` of the window are candidates at first, ``c[i] = 1``. In each place, the
    highest first::

        s = any(x[i] and c[i] for i in window)
        c[i] = x[i] and c[i]   where s                       who has a 0 against a 1 is smaller

    Candidates agree in all places so far, and nobody else can be larger than them.

    Attributes:
        kernel: Window height and width.
        stride: Vertical and horizontal step, >= 1.
        padding: ``((top, bottom), (left, right))``, >= 0.
    """
