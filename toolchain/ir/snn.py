r"""Primitives of the spiking network: neurons and what pools their spikes.

The output of a neuron is its *spike count* in a window, 0 to ``levels``. After lowering it is a
*train* of that many single spikes, sorted: the first of them, then silence. In the temporal
lowering the train runs over time steps, in the spatial one over copies of the neuron; what
follows sums it either way.

The parameters are real numbers until quantization and integers after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from toolchain.ir.ann import MaxPool
from toolchain.ir.node import Array, Node, Shape

_ZERO = np.zeros(())
_ONE = np.ones(())


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
        unit: What one spike stands for in the analogue network, in units of its activation.
            Nothing is computed with it; reports compare the two networks by it.
    """

    levels: int
    threshold: Array = field(default_factory=lambda: _ONE)
    initial: Array = field(default_factory=lambda: _ZERO)
    unit: Array = field(default_factory=lambda: _ONE)
    low: Array = field(default_factory=lambda: _ZERO)
    high: Array = field(default_factory=lambda: _ZERO)
    bound: str = ""

    def __post_init__(self) -> None:
        self._require(self.levels >= 1, f"levels is {self.levels}; it must be 1 or more")
        self._require(
            bool(np.all(np.asarray(self.threshold) > 0)), "a threshold is not above 0"
        )

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input."""
        self._broadcasts("threshold", inputs[0])
        self._broadcasts("initial", inputs[0])
        return inputs[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class MultiThreshold(Spiking):
    """Neurons with ``levels`` thresholds, the staircase that stands for a rectifier.

    With the input summed over a window, ``a``::

        m = initial + a
        n = clip(floor(m / threshold), 0, levels)           spike count of the window

    Source: the M-HT neuron of LM-HT (Hao et al., NeurIPS 2024, equations 5-6) in one window.
    """


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
    """``levels`` memoryless copies of each neuron, copy k with threshold k (spatial).

    Copy k = 1..levels spikes iff ``initial + a >= k * threshold``. The copies that spike are
    the first n of them, as many as `MultiThreshold` counts.
    """


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
