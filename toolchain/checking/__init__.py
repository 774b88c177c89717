"""Whether a model compiles for a target, as far as that can be told without any samples.

The frontend looks at all nodes (`toolchain.frontend.survey`), and where nothing is in the way
there the passes of `Phase.PREPARE` run and what they leave over is judged. Thresholds, and with
them registers and what formats can say, depend on samples and are not looked at.
"""

from __future__ import annotations

from toolchain.checking.check import check_model
from toolchain.checking.findings import Check

__all__ = ["Check", "check_model"]
