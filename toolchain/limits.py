"""How much work a model may ask for, which may be a stranger's file.

A few bytes can ask for any amount of memory and time: a constant of a million million
elements, a chain of a million nodes. What is beyond these limits is refused with both numbers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from toolchain.errors import TimeLimitError

BYTES_MAX = 2**31 - 1
"""Bytes that one protobuf message can have."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is imported at most.

    Attributes:
        model_bytes: Bytes of the model with its weights, up to `BYTES_MAX`.
        nodes: Nodes of the model.
        elements: Elements of all values of one sample together; and of one constant that is
            computed on import, of which there may be twice as many together.
    """

    model_bytes: int = BYTES_MAX
    nodes: int = 20_000
    elements: int = 2**27


DEFAULT = Limits()
"""The limits unless a user sets others."""


class Deadline:
    """When a compilation has to be done.

    It is looked at between nodes, passes and pieces of samples, none of which is interrupted.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self._end - time.monotonic(), 0.0)

    def check(self, stage: str) -> None:
        """Stop if the time is up.

        Raises:
            TimeLimitError: It is; it names the stage.
        """
        if time.monotonic() > self._end:
            raise TimeLimitError(
                f"more than {self._seconds:g} s have passed, and {stage} is still to be done",
                hint="allow more time with --max-seconds, or compile a smaller network",
            )
