"""What passes spike counts on: pools, and values in another shape or order."""

from __future__ import annotations

from typing import Any

import numpy as np

from targets.torch_counts._torch import functional, torch
from toolchain.ir.ann import MaxPool, Rearrange


def max_pool(node: MaxPool, x: Any) -> Any:
    """Return the largest counts in windows; padding is 0, and no count is below."""
    (top, bottom), (left, right) = node.padding
    if top or bottom or left or right:
        x = functional.pad(x, (left, right, top, bottom))
    return functional.max_pool2d(x, node.kernel, node.stride)


class Rearranged:
    """Values in another shape, order or choice, with zeros between them."""

    def __init__(self, node: Rearrange, device: Any) -> None:
        self._shape = node.shape
        self._order = self._zeros = None
        if node.order is not None:
            order = np.ravel(node.order)
            self._order = torch.from_numpy(np.maximum(order, 0)).to(device)
            self._zeros = torch.from_numpy(np.flatnonzero(order < 0)).to(device)

    def __call__(self, x: Any) -> Any:
        """Return ``(batch, *shape)``."""
        flat = x.flatten(1)
        if self._order is not None:
            flat = flat[:, self._order].index_fill_(1, self._zeros, 0)
        return flat.reshape(len(x), *self._shape)
