r"""Training on mixed images: a batch is added to itself in another order.

With the logits of :math:`\lambda x_i + (1 - \lambda) x_j`, the loss is :math:`\lambda` times
that for label i and :math:`1 - \lambda` times that for label j. Each batch has one
:math:`\lambda`.

Source: Zhang et al., "mixup", ICLR 2018; one :math:`\lambda` for a batch as in its code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.training._torch import functional, torch


def shares(spread: float, seed: int, batches: int) -> npt.NDArray[np.float64]:
    """Return for each batch how much of an image is kept: 1 for all of it.

    Args:
        spread: Both parameters of the beta distribution they are drawn from; 0 mixes none.
        seed: Of the random numbers.
        batches: How many.
    """
    if not spread:
        return np.ones(batches)
    return np.random.default_rng(seed).beta(spread, spread, batches)


def mixed_loss(network: Any, x: Any, y: Any, share: float, generator: Any) -> Any:
    """Return the cross entropy of a batch that is mixed with itself.

    Args:
        network: Called with samples, it returns logits.
        x: Samples.
        y: Labels.
        share: Of each sample that is kept, 0 to 1; 1 mixes none.
        generator: Of the order in which others are added, on the processor.
    """
    if share == 1.0:
        return functional.cross_entropy(network(x), y)
    other = torch.randperm(len(x), generator=generator).to(x.device)
    logits = network(share * x + (1 - share) * x[other])
    kept = functional.cross_entropy(logits, y)
    return share * kept + (1 - share) * functional.cross_entropy(logits, y[other])
