r"""The mixing matrix of a layer over its windows, in the form that training moves it.

The paper's T-GIM is a matrix of scalars that all neurons of a layer share. Row t is the window
that receives, column j the one that sends::

    A(t) = sum_j mixing[t, j] * x(j)

Published is a full matrix, :math:`w_{tj} = 2\,\sigma(\mathrm{mask}_{tj}) / T`, which starts at
1/T and stays in (0, 2/T). It lets a window read later ones, so a layer must wait for all
windows of the one before. The other modes stream:

- ``lower``: :math:`w_{tj} = M_{tj}\,2\,\sigma(\mathrm{mask}_{tj}) / t` with M lower triangular
  and t counted from 1; starts as the running mean of the windows so far.
- ``diagonal``: :math:`w_{tt} = 2\,\sigma(\mathrm{mask}_t)`; starts as the identity, each window
  for itself.
- ``uniform``: 1/T, not learned. With retention 1 the windows act as one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.errors import TrainingError, UnknownNameError
from toolchain.training._torch import nn, torch

MODES = ("full", "lower", "diagonal", "uniform")
"""Names of the modes of a mixing matrix."""


class Mixing(nn.Module):
    """A ``(windows, windows)`` matrix, learned in one of the `MODES`.

    Called without arguments, it returns the matrix as a tensor.

    Attributes:
        mode: One of `MODES`.
        windows: Windows of a sample, >= 1.
        mask: What is learned, of the shape of the matrix; absent in mode ``uniform``.

    Raises:
        TrainingError: ``windows`` is below 1.
        UnknownNameError: There is no such mode; the message has those there are.
    """

    def __init__(self, mode: str, windows: int) -> None:
        super().__init__()
        if mode not in MODES:
            raise UnknownNameError(
                f"there is no mixing mode {mode!r}; there are {', '.join(MODES)}"
            )
        if windows < 1:
            raise TrainingError(f"windows is {windows}; it must be 1 or more")
        self.mode, self.windows = mode, windows
        pattern, divisor = _start(mode, windows)
        self.register_buffer("pattern", torch.as_tensor(pattern), persistent=False)
        self.register_buffer("divisor", torch.as_tensor(divisor), persistent=False)
        if mode != "uniform":
            self.mask = nn.Parameter(torch.zeros(windows, windows))

    def forward(self) -> Any:
        """Return the matrix."""
        if self.mode == "uniform":
            return self.pattern / self.divisor
        return self.pattern * (2 * torch.sigmoid(self.mask)) / self.divisor

    def assign(self, matrix: npt.NDArray[np.floating[Any]]) -> None:
        """Set the mask so that the matrix becomes ``matrix``, as near as the mode can say it.

        Raises:
            TrainingError: The shape is not ``(windows, windows)``, or an entry is out of the
                mode's range.
        """
        matrix = require_square(matrix, self.windows)
        bound = (2 * self.pattern.double() / self.divisor.double()).cpu().numpy()
        inside = np.where(bound > 0, (matrix > 0) & (matrix < bound), matrix == 0)
        if self.mode == "uniform" or not inside.all():
            raise TrainingError(
                f"mode {self.mode!r} cannot hold this mixing matrix; its entries are "
                + (
                    "1/windows" if self.mode == "uniform" else "between 0 and twice the initial"
                ),
                hint="use mode 'full', with entries between 0 and 2/windows",
            )
        share = np.where(bound > 0, matrix / np.where(bound > 0, bound, 1), 0.5)
        with torch.no_grad():
            self.mask.copy_(torch.as_tensor(np.log(share / (1 - share))))

    def extra_repr(self) -> str:
        """Return what torch prints of the module."""
        return f"{self.mode}, windows={self.windows}"


def require_square(
    matrix: npt.NDArray[np.floating[Any]], windows: int
) -> npt.NDArray[np.float64]:
    """Return a mixing matrix as float64.

    Raises:
        TrainingError: It is not ``(windows, windows)``, or not finite.
    """
    made = np.asarray(matrix, np.float64)
    if made.shape != (windows, windows):
        raise TrainingError(
            f"the mixing matrix has shape {made.shape}; {windows} windows need "
            f"({windows}, {windows})",
            hint="give a row for each receiving window and a column for each sending one",
        )
    if not np.isfinite(made).all():
        raise TrainingError("the mixing matrix has entries that are not finite")
    return made


def _start(mode: str, windows: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return what may differ from 0 as ones, and what divides each row, as whole numbers."""
    pattern = np.ones((windows, windows), np.float32)
    divisor = np.full((windows, 1), windows, np.float32)
    if mode == "lower":
        pattern, divisor = (
            np.tril(pattern),
            np.arange(1, windows + 1, dtype=np.float32)[:, None],
        )
    if mode == "diagonal":
        pattern, divisor = np.eye(windows, dtype=np.float32), np.ones_like(divisor)
    return pattern, divisor
