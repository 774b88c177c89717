"""Sources of an excerpt: samples, constants, and the spikes of populations that are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.simulator._emission import Emission
from targets.simulator._excerpt import told
from targets.simulator._layout import to_rows
from targets.simulator._machine import Emissions, Writes
from targets.simulator._schedule import SampleSchedule
from targets.simulator._trains import Counts, Train
from toolchain.ir.mapped import Circuit, IntArray


class ToldSchedule:
    """Samples side by side, beside populations whose spikes are written from counts.

    Attributes:
        batch: Number of samples.
        time_steps: Length of the run.
    """

    def __init__(
        self,
        excerpt: Circuit,
        whole: Circuit,
        x: npt.NDArray[Any],
        counts: Mapping[str, Counts],
    ) -> None:
        """Prepare a run.

        Args:
            excerpt: That is run.
            whole: Circuit that it is from.
            x: Encoded samples ``(samples, *input shape)``.
            counts: ``(samples, *shape)`` by name, of all units that have been told.
        """
        self._samples = SampleSchedule(excerpt, x, None)
        self.batch, self.time_steps = self._samples.batch, self._samples.time_steps
        sources = {source.name for source in excerpt.sources}
        self._told = [
            (name, window.start, Train(whole.nodes[name].shape, window), counts[name])
            for name, window in whole.windows.items()
            if told(name) in sources
        ]
        self._shapes = {name: whole.nodes[name].shape for name, *_ in self._told}

    def at(self, t: int) -> tuple[Emissions, Writes]:
        """See `Schedule.at`."""
        emissions, writes = self._samples.at(t)
        sent = dict(emissions)
        for name, start, train, counts in self._told:
            if 0 <= t - start < train.length:
                held = train.held(counts.reshape(self.batch, -1))
                spikes = np.empty(held.shape, np.bool_)
                train.write(held, t - start, spikes)
                if spikes.any():
                    rows = to_rows(
                        spikes.reshape(self.batch, *self._shapes[name]), self._shapes[name]
                    )
                    sent[told(name)] = Emission(rows, 1)
        return sent, writes

    def sent(self) -> dict[str, IntArray]:
        """See `Schedule.sent`."""
        return self._samples.sent()
