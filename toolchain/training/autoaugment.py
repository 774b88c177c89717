"""AutoAugment: one of 25 learned pairs of changes for every training image.

A pair is two changes, each done with its own probability, the first before the second, and with
a magnitude of 0 to 9 on the scale of the change. Magnitudes of changes that have a direction
are positive or negative, by chance. Images are bytes, 0 to 255, as whole floats.

Source: policy and scales for CIFAR-10 in the appendix of Cubuk et al., "AutoAugment", CVPR
2019. Changes are those of Pillow's ``ImageOps`` and ``ImageEnhance``, which the paper uses;
``stretch`` is its autocontrast. What moves in from outside is grey, 128. Where values are the
same as Pillow's is tested; stretched ones may be 1 above, which are right, and a pixel that
moves to exactly between two others may become the other one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from toolchain.training._torch import functional, torch

Change: TypeAlias = tuple[str, float, int]
"""Name, probability and magnitude, 0 to 9."""

POLICY: tuple[tuple[Change, Change], ...] = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("move-x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear-y", 0.5, 8), ("move-y", 0.7, 9)),
    (("stretch", 0.5, 8), ("equalize", 0.9, 2)),
    (("shear-y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("move-x", 0.5, 8)),
    (("equalize", 0.3, 7), ("stretch", 0.4, 8)),
    (("move-y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("stretch", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("stretch", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("stretch", 0.9, 3)),
    (("move-y", 0.9, 9), ("move-y", 0.7, 9)),
    (("stretch", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("move-y", 0.7, 9), ("stretch", 0.9, 1)),
)

_STEPS = 9
_GREY = 128.0
_LUMA = (19595.0, 38470.0, 7471.0)
"""65536ths of red, green and blue in a grey value."""


def autoaugmented(x: Any, generator: Any) -> Any:
    """Return images changed by one pair of the policy each.

    Args:
        x: ``(batch, 1 or 3, H, W)``, whole floats 0 to 255.
        generator: Of the random numbers, on the processor.
    """
    pair = torch.randint(len(POLICY), (len(x),), generator=generator)
    chance = torch.rand((len(x), 2), generator=generator)
    sign = 2.0 * torch.randint(2, (len(x), 2), generator=generator) - 1.0
    x = x.clone()
    for number, changes in enumerate(POLICY):
        for turn, (name, probability, magnitude) in enumerate(changes):
            chosen = (pair == number) & (chance[:, turn] < probability)
            if chosen.any():
                rows = chosen.to(x.device)
                x[rows] = changed(x[rows], name, magnitude / _STEPS, sign[chosen, turn])
    return x


def changed(x: Any, name: str, share: float, sign: Any) -> Any:
    """Return images after one change.

    Args:
        x: ``(batch, 1 or 3, H, W)``, whole floats 0 to 255.
        name: Of the change.
        share: Of its largest magnitude, 0 to 1.
        sign: 1 or -1 for each image, on the processor: its direction, where it has one.
    """
    return CHANGES[name](x, share, sign)


def _moved(axis: int) -> Callable[[Any, float, Any], Any]:
    def move(x: Any, share: float, sign: Any) -> Any:
        # 150 of 331 pixels at most; a grid spans 2 from edge to edge
        place = [torch.zeros_like(sign), torch.zeros_like(sign)]
        place[axis] = sign * share * 2 * 150 / 331
        return _placed(x, torch.ones_like(sign), [0.0 * sign, 0.0 * sign], place)

    return move


def _sheared(axis: int) -> Callable[[Any, float, Any], Any]:
    def shear(x: Any, share: float, sign: Any) -> Any:
        slant = [torch.zeros_like(sign), torch.zeros_like(sign)]
        slant[axis] = sign * share * 0.3
        return _placed(x, torch.ones_like(sign), slant, [0.0 * sign, 0.0 * sign])

    return shear


def _rotated(x: Any, share: float, sign: Any) -> Any:
    angle = sign * share * math.radians(30)
    slant = [torch.sin(angle), -torch.sin(angle)]
    return _placed(x, torch.cos(angle), slant, [0.0 * sign, 0.0 * sign])


def _placed(x: Any, scale: Any, slant: list[Any], move: list[Any]) -> Any:
    """Return images whose pixel at (h, v) is that at (scale h + slant v + move, ...)."""
    height, width = x.shape[-2:]
    rows = [
        torch.stack([scale, slant[0] * height / width, move[0]], dim=-1),
        torch.stack([slant[1] * width / height, scale, move[1]], dim=-1),
    ]
    place = torch.stack(rows, dim=1).to(x)
    grid = functional.affine_grid(place, list(x.shape), align_corners=False)
    found = functional.grid_sample(x - _GREY, grid, mode="nearest", align_corners=False)
    return found + _GREY


def _blended(x: Any, other: Any, share: float, sign: Any) -> Any:
    """Return ``other`` for a factor of 0, the image for 1, and what lies behind it above."""
    factor = (1 + 0.9 * share * sign.double()).to(x).reshape(-1, 1, 1, 1)
    return _whole(other + factor * (x - other))


def _brightened(x: Any, share: float, sign: Any) -> Any:
    return _blended(x, torch.zeros_like(x), share, sign)


def _contrasted(x: Any, share: float, sign: Any) -> Any:
    mean = torch.floor(_grey(x).mean(dim=(1, 2, 3), keepdim=True) + 0.5)
    return _blended(x, mean.expand_as(x), share, sign)


def _colored(x: Any, share: float, sign: Any) -> Any:
    return _blended(x, _grey(x).expand_as(x), share, sign)


def _sharpened(x: Any, share: float, sign: Any) -> Any:
    channels = x.shape[1]
    kernel = torch.ones(channels, 1, 3, 3, device=x.device, dtype=x.dtype)
    kernel[:, :, 1, 1] = 5
    smooth = x.clone()
    if min(x.shape[-2:]) > 2:
        inner = functional.conv2d(x, kernel / 13, groups=channels)
        smooth[..., 1:-1, 1:-1] = _whole(inner + 0.5)
    return _blended(x, smooth, share, sign)


def _stretched(x: Any, share: float, sign: Any) -> Any:
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    span = torch.where(high > low, high - low, torch.full_like(high, 255.0))
    wide = torch.floor((x - low) * 255 / span)
    return torch.where(high > low, wide, x)


def _equalized(x: Any, share: float, sign: Any) -> Any:
    """Map each value to how many pixels of its channel are darker, as even as can be."""
    planes = x.reshape(-1, x.shape[-2] * x.shape[-1]).long()
    counts = torch.zeros(len(planes), 256, dtype=torch.long, device=x.device)
    counts.scatter_add_(1, planes, torch.ones_like(planes))
    brightest = counts.gather(1, planes.amax(dim=1, keepdim=True))
    step = (planes.shape[1] - brightest) // 255
    darker = counts.cumsum(dim=1) - counts
    table = ((darker + step // 2) // step.clamp(min=1)).clamp(max=255)
    table = torch.where(step > 0, table, torch.arange(256, device=x.device))
    return table.gather(1, planes).reshape(x.shape).to(x.dtype)


def _solarized(x: Any, share: float, sign: Any) -> Any:
    return torch.where(x < 256 - 256 * share, x, 255 - x)


def _posterized(x: Any, share: float, sign: Any) -> Any:
    step = 2 ** round(4 * share)
    return torch.floor(x / step) * step


def _inverted(x: Any, share: float, sign: Any) -> Any:
    return 255 - x


def _grey(x: Any) -> Any:
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(_LUMA, device=x.device, dtype=x.dtype).reshape(1, 3, 1, 1)
    return torch.floor(((x * weights).sum(dim=1, keepdim=True) + 32768) / 65536)


def _whole(x: Any) -> Any:
    return torch.floor(x.clamp(0, 255))


CHANGES: dict[str, Callable[[Any, float, Any], Any]] = {
    "invert": _inverted, "contrast": _contrasted, "rotate": _rotated, "move-x": _moved(0),
    "move-y": _moved(1), "sharpness": _sharpened, "shear-x": _sheared(0),
    "shear-y": _sheared(1), "stretch": _stretched, "equalize": _equalized,
    "posterize": _posterized, "color": _colored, "brightness": _brightened,
    "solarize": _solarized,
}  # fmt: skip
"""By name: functions of the images, the share of the largest magnitude, and the signs."""
