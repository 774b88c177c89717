"""Neurons run window after window, because earlier windows inhibit later ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.snn import Spiking

Values: TypeAlias = npt.NDArray[Any]
Fire: TypeAlias = Callable[[Values, Values], tuple[Values, Values]]
"""Give potential and threshold; take the result and the spike counts, ``(batch, C, ...)``."""


def run_windows(neurons: Spiking, a: Values, fire: Fire, *, axis: int = 1) -> Values:
    """Return the results of all windows, one after the other along ``axis``.

    Args:
        neurons: One or more windows.
        a: Input current, ``(batch, channels, ...)``, the windows one after the other.
        fire: What a window does.
        axis: Of the results that holds the channels.
    """
    if neurons.windows == 1:
        return fire(a + neurons.initial, neurons.threshold)[0]
    channels = a.shape[1] // neurons.windows
    one = (neurons.windows, channels, *(1 for _ in a.shape[2:]))
    initial, threshold = (
        np.broadcast_to(value.ravel(), one[0] * one[1]).reshape(one)
        for value in (np.asarray(neurons.initial), np.asarray(neurons.threshold))
    )
    results: list[Values] = []
    counts: list[Values] = []
    for window in range(neurons.windows):
        m = a[:, window * channels : (window + 1) * channels] + initial[window]
        for earlier in range(window):
            m = m - neurons.lateral[window, earlier].reshape(one[1:]) * counts[earlier]
        result, fired = fire(m, threshold[window])
        results.append(result)
        counts.append(fired)
    return np.concatenate(results, axis=axis)
