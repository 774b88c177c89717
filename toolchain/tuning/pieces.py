"""What straight pieces of smooth activations cost in accuracy, for the user to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from toolchain.errors import ConversionError
from toolchain.ir.graph import Graph
from toolchain.ir.smooth import Smooth
from toolchain.straight_pieces import PIECES, PIECES_MAX, PIECES_MIN, fit_pieces


def require_pieces(pieces: int) -> None:
    """Refuse a number of pieces that no activation has.

    Raises:
        ConversionError: It is too small or too large.
    """
    if not PIECES_MIN <= pieces <= PIECES_MAX:
        raise ConversionError(
            f"{pieces} pieces of an activation were asked for; {PIECES_MIN} to {PIECES_MAX} "
            "are supported",
            hint="use --pieces with a number in between, or leave it away",
        )


def describe_pieces(exact: Graph | None, most: int) -> Iterator[str]:
    """Yield a sentence for each function that pieces stand in for, or that there is none.

    Args:
        exact: The network with its smooth activations; `None` if it has none.
        most: Pieces of an activation.
    """
    smooth = () if exact is None else exact.of_type(Smooth)
    if not smooth and most != PIECES:
        yield f"--pieces {most} changes nothing: the network has no smooth activations"
    for curve, count in Counter(node.curve for node in smooth).items():
        fitted = fit_pieces(curve, most)
        if fitted is not None:
            yield (
                f"{curve} is taken for {len(fitted.pieces)} straight pieces, off by at most "
                f"{fitted.error:.2g}, in {count} activation{'s' if count > 1 else ''}; "
                "--pieces sets how many"
            )
