"""Workers that run the pieces of a data set, and the loop that keeps them busy.

A crew is given pieces and gives back results in any order. When a worker is lost, all pieces
that it had are given out again. So every piece is counted once, whatever happens.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Protocol, TypeAlias

from toolchain.data import Samples
from toolchain.engine import Program
from toolchain.errors import WorkerError
from toolchain.evaluation.piece_result import PieceResult, Tally, run_piece
from toolchain.evaluation.shards import Piece, Shards

Keep: TypeAlias = Callable[[Piece, PieceResult], None]
Done: TypeAlias = Callable[[int, int], None]

LOSSES_MAX = 3
"""Workers that may be lost over one piece before it is taken for the cause."""


class Crew(Protocol):
    """Workers.

    Attributes:
        places: Pieces that they can hold at a time, at least 1.
    """

    places: int

    def give(self, number: int, samples: Samples) -> None:
        """Hand over a piece; there is a place for it."""

    def take(self) -> tuple[int, PieceResult | None]:
        """Wait for a piece that was handed over; `None` if its worker was lost.

        Raises:
            CompileError: The worker has refused it.
        """


class OneProcess:
    """The crew of no workers: whoever asks for a result computes it.

    Attributes:
        places: One.
    """

    places = 1

    def __init__(self, program: Program, engine: str) -> None:
        self._program, self._engine = program, engine
        self._given: list[tuple[int, Samples]] = []

    def give(self, number: int, samples: Samples) -> None:
        """See `Crew.give`."""
        self._given.append((number, samples))

    def take(self) -> tuple[int, PieceResult | None]:
        """See `Crew.take`."""
        number, samples = self._given.pop(0)
        return number, run_piece(self._program, self._engine, samples)


def evaluate(shards: Shards, crew: Crew, keep: Keep, done: Done) -> Tally:
    """Run a whole data set; no more of it is held in memory than the crew has places.

    Args:
        shards: The data set.
        crew: Who runs it.
        keep: Given every piece once, with its result, in any order.
        done: Told the samples done and the samples in all.

    Raises:
        CompileError: A file or a piece is refused.
        WorkerError: A piece has cost several workers.
    """
    pieces = enumerate(shards.pieces())
    given: dict[int, Piece] = {}
    losses: Counter[int] = Counter()
    tally: Tally | None = None

    def give(count: int) -> None:
        for number, piece in itertools.islice(pieces, count):
            given[number] = piece
            crew.give(number, piece.samples)

    done(0, len(shards))
    give(crew.places)
    while given:
        number, result = crew.take()
        if result is None:
            losses[number] += 1
            _require_few(losses[number], given[number])
            crew.give(number, given[number].samples)
            continue
        keep(given.pop(number), result)
        tally = result.tally if tally is None else tally + result.tally
        done(tally.samples, len(shards))
        give(1)
    if tally is None:
        raise ValueError("a data set without samples")
    return tally


def _require_few(losses: int, piece: Piece) -> None:
    if losses >= LOSSES_MAX:
        last = piece.start + len(piece.samples) - 1
        raise WorkerError(
            f"{losses} workers were lost over the samples {piece.start} to {last}",
            node=piece.file.source,
            hint="run these samples without --workers to see what ends the process, "
            "or give workers more memory",
        )
