"""Counts are computed when they are read, once."""

from __future__ import annotations

import numpy as np

from targets.simulator.lazy_counts import LazyCounts


def test_nothing_is_computed_until_counts_are_read():
    runs = []

    def compute():
        runs.append(1)
        return {"a": np.array([1]), "b": np.array([2])}

    counts = LazyCounts(["a", "b"], compute)

    assert (list(counts), len(counts), "b" in dict.fromkeys(counts), runs) == (
        ["a", "b"],
        2,
        True,
        [],
    )
    assert (counts["b"], counts["a"], runs) == (2, 1, [1])
