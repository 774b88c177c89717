"""The model, its segments on the host, and its segments where they belong, on samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.data import Samples, file_named
from toolchain.ir.node import Shape
from toolchain.metrics import Head
from toolchain.partial.chain import Chain, Run, packed, pieces_of
from toolchain.report import Rung
from toolchain.verification.analogue import IMPORT_TOLERANCE
from toolchain.verification.rung_tally import RungTally

Array: TypeAlias = npt.NDArray[Any]

RUNGS = ("onnxruntime", "split", "chain")
"""The model; its segments, all on the host; its segments where they belong."""


@dataclass
class Error:
    """The relative RMS error of a value, over samples.

    Attributes:
        off: Sum of squares of what it is off by.
        size: Of the value itself.
    """

    off: float = 0.0
    size: float = 0.0

    def add(self, found: Array, wanted: Array) -> None:
        """Add some samples."""
        difference = found.astype(np.float64) - wanted.astype(np.float64)
        self.off += float(np.square(difference).sum())
        self.size += float(np.square(wanted.astype(np.float64)).sum())

    @property
    def relative(self) -> float | None:
        """The error; `None` if the value is 0 everywhere."""
        return float(np.sqrt(self.off / self.size)) if self.size else None


@dataclass(frozen=True)
class Errors:
    """How far a value that a segment of the chip makes is off.

    Attributes:
        isolated: If all that the segment reads is the model's own.
        cumulative: Behind the segments before it.
    """

    isolated: Error = field(default_factory=Error)
    cumulative: Error = field(default_factory=Error)


@dataclass(frozen=True, eq=False)
class Ladder:
    """What there is to climb.

    Attributes:
        source: The model as one; `None` if it is not at hand.
        split: Its segments, all on the host.
        chain: Its segments where they belong.
        chips: What runs those of the chip, with what each makes for others.
        shapes: Of one sample of each value that segments of the chip read or make.
        heads: The outputs, by name.
        tolerance: Largest error of the segments, relative to the largest output.
    """

    source: Chain | None
    split: Chain
    chain: Chain
    chips: Sequence[tuple[Run, Sequence[str]]]
    shapes: Mapping[str, Shape]
    heads: Mapping[str, Head]
    tolerance: float = IMPORT_TOLERANCE


@dataclass(frozen=True, eq=False)
class Climb:
    """What was found.

    Attributes:
        rungs: Those of `RUNGS`.
        errors: Of what segments of the chip make for others, by value.
    """

    rungs: tuple[Rung, ...]
    errors: Mapping[str, Errors]


def climb(ladder: Ladder, samples: Samples, done: Callable[[int], None]) -> Climb:
    """Run samples through the model, its segments on the host, and where they belong.

    Args:
        ladder: What to run.
        samples: With or without labels.
        done: Told how many samples are done.
    """
    tolerance = ladder.tolerance
    promises = ("reference", f"within {tolerance:g}", "lossy by design")
    heads = tuple(ladder.heads.values())
    tallies = {
        name: RungTally(name, promise, heads, tolerance if name == "split" else None)
        for name, promise in zip(RUNGS, promises, strict=True)
    }
    if ladder.source is None:
        tallies["onnxruntime"].why = "the source model is not at hand"
    errors = {name: Errors() for _, names in ladder.chips for name in names}
    shapes = {**ladder.shapes, **{name: head.shape for name, head in ladder.heads.items()}}
    wanted = list(shapes)
    with file_named(samples):
        for piece in pieces_of(samples.x, shapes.values()):
            x = samples.x[piece]
            y = None if samples.y is None else samples.y[piece]
            true, found = ladder.split.values(x, wanted), ladder.chain.values(x, wanted)
            for run, names in ladder.chips:
                alone = run(true)
                for name in names:
                    errors[name].isolated.add(alone[name], true[name])
                    errors[name].cumulative.add(found[name], true[name])
            source = None
            if ladder.source is not None:
                source = ladder.source.answers(x, ladder.heads).astype(np.float64)
                tallies["onnxruntime"].add(source, source, source, y)
            split, chain = (packed(v, ladder.heads).astype(np.float64) for v in (true, found))
            tallies["split"].add(split, source, source, y)
            tallies["chain"].add(chain, split, split if source is None else source, y)
            done(piece.stop)
    return Climb(tuple(tally.finish() for tally in tallies.values()), errors)
