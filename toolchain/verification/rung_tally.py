"""One rung in the making: what has been found over the samples so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.metrics import Head, accuracy, agreement
from toolchain.report import Rung, Status

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass
class RungTally:
    """Sums over samples that become a `Rung`.

    Attributes:
        rung: Its name.
        promise: Against the rung above it.
        heads: Outputs of the model, for the answers.
        tolerance: Largest relative error allowed; `None` if the error is not bounded.
        why: What there is to say about its status otherwise.
        failure: Why it could not finish; empty if it did.
    """

    rung: str
    promise: str
    heads: tuple[Head, ...] = ()
    tolerance: float | None = None
    why: str = ""
    failure: str = ""
    samples: int = 0
    compared: int = 0
    sourced: int = 0
    right: float = 0.0
    agreeing: float = 0.0
    is_labelled: bool = True
    max_abs_error: float = 0.0
    largest: float = 0.0
    first_difference: str | None = None

    def add(
        self,
        y: Floats,
        above: Floats | None,
        source: Floats | None,
        labels: npt.NDArray[np.integer[Any]] | None,
        difference: str | None = None,
        *,
        promised: Floats | None = None,
    ) -> None:
        """Add some samples.

        Args:
            y: Outputs of this rung, ``(samples, *shape)``.
            above: Outputs of the rung above it; `None` if that was not run.
            source: Outputs of the source network, likewise.
            labels: ``(samples,)``, or `None`.
            difference: Where a rung differs on these samples and may not.
            promised: Outputs that the promise is about, if those are not ``y``.
        """
        self.samples += len(y)
        if source is not None:
            self.sourced += len(y)
            self.agreeing += agreement(y, source, self.heads) * len(y)
        self.is_labelled = self.is_labelled and labels is not None
        if labels is not None:
            self.right += accuracy(y, labels, self.heads) * len(y)
        if above is not None:
            off = above - (y if promised is None else promised)
            self.compared += len(y)
            self.max_abs_error = max(self.max_abs_error, float(np.abs(off).max()))
            self.largest = max(self.largest, float(np.abs(above).max()))
        self.first_difference = self.first_difference or difference

    def finish(self) -> Rung:
        """Return the rung."""
        if self.samples == 0:
            return Rung(
                rung=self.rung,
                promise=self.promise,
                status="broken" if self.failure else "skipped",
                why=self.failure or self.why,
            )
        status, why = self._judge()
        return Rung(
            rung=self.rung,
            promise=self.promise,
            status=status,
            samples=self.samples,
            metric=self.right / self.samples if self.is_labelled else None,
            agreement=self.agreeing / self.sourced if self.sourced else None,
            max_abs_error=self.max_abs_error if self._is_compared else None,
            first_difference=self.first_difference,
            why=why,
        )

    @property
    def _is_compared(self) -> bool:
        return self.promise != "reference" and self.compared > 0

    def _judge(self) -> tuple[Status, str]:
        if self.first_difference is not None:
            return "broken", f"it differs at {self.first_difference}"
        if self.promise == "exact" and self.tolerance is None and self.max_abs_error != 0:
            return "broken", f"an output is off by {self.max_abs_error:.3g}"
        bound = None if self.tolerance is None else self.tolerance * max(self.largest, 1e-30)
        if bound is not None and self.max_abs_error > bound:
            return (
                "broken",
                f"an output is off by {self.max_abs_error:.3g}; {bound:.3g} is allowed",
            )
        if not np.isfinite(self.max_abs_error):
            return "broken", "an output is not a finite number"
        return "ok", self.why
