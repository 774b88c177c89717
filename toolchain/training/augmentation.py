"""Random changes of training images that keep what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolchain.errors import TrainingError
from toolchain.training._torch import functional, torch
from toolchain.training.autoaugment import autoaugmented

_SMALLEST_CROP = 0.08
_ASPECT = 3 / 4


def augmented(
    x: Any, names: Sequence[str], generator: Any, *, shift: int = 2, cutout: int = 16
) -> Any:
    """Return images ``(batch, ..., H, W)`` changed at random, each on its own.

    Args:
        x: Images, or frames of samples; all frames of a sample change alike.
        names: What is done, in this order whatever the order of the names. ``crop``: a part of
            0.08 to 1 of the area, 3 to 4 up to 4 to 3 as wide as high, brought to the size of
            all of it. ``mirror``: left to right, one of two. ``shift``: by up to ``shift``
            pixels each way, zeros moving in. ``autoaugment``: `autoaugment.POLICY`.
            ``cutout``: a square is 0, with its middle anywhere in the image.
        generator: Of the random numbers, on the processor.
        shift: Pixels, >= 0.
        cutout: Side of the square in pixels, >= 1.
    """
    if "crop" in names:
        x = _cropped(x, generator)
    if "mirror" in names:
        chosen = (torch.rand(len(x), generator=generator) < 0.5).to(x.device)
        x = torch.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)
    if "shift" in names:
        x = _shifted(x, generator, shift)
    if "autoaugment" in names:
        x = autoaugmented(x, generator)
    if "cutout" in names:
        x = _cut(x, generator, cutout)
    return x


def require_augmentable(
    names: Sequence[str], sample_shape: tuple[int, ...], *, has_bytes: bool, has_windows: bool
) -> None:
    """Refuse changes that such samples cannot have.

    Args:
        names: As for `augmented`.
        sample_shape: Without the window axis.
        has_bytes: Whether samples are bytes, 0 to 255.
        has_windows: Whether samples have a window axis.

    Raises:
        TrainingError: They are no images, or ``autoaugment`` is asked for and they are no
            images of bytes in one or three channels.
    """
    if names and len(sample_shape) != 3:
        raise TrainingError(
            f"data.augment is {list(names)}; it is for images (C, H, W), and samples have "
            f"shape {sample_shape}",
            hint="remove it",
        )
    if "autoaugment" in names and (
        has_windows or not has_bytes or sample_shape[0] not in (1, 3)
    ):
        raise TrainingError(
            "data.augment has 'autoaugment', which is for images of bytes with 1 or 3 channels "
            "and without windows",
            hint="remove it, or save the images as uint8",
        )


def _cropped(x: Any, generator: Any) -> Any:
    area = torch.empty(len(x)).uniform_(_SMALLEST_CROP, 1, generator=generator)
    aspect = torch.empty(len(x)).uniform_(-1, 1, generator=generator)
    root = torch.pow(torch.tensor(_ASPECT), aspect / 2)
    size = torch.sqrt(area)[:, None] * torch.stack([root, 1 / root], dim=1)
    size = size.clamp(max=1)
    place = (2 * torch.rand((len(x), 2), generator=generator) - 1) * (1 - size)
    rows = torch.zeros(len(x), 2, 3)
    rows[:, 0, 0], rows[:, 1, 1], rows[:, :, 2] = size[:, 0], size[:, 1], place
    flat = x.reshape(len(x), -1, *x.shape[-2:])
    grid = functional.affine_grid(rows.to(x.device), list(flat.shape), align_corners=False)
    found = functional.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return torch.round(found).reshape(x.shape)


def _shifted(x: Any, generator: Any, most: int) -> Any:
    height, width = x.shape[-2:]
    flat = x.reshape(len(x), -1, height, width)
    padded = functional.pad(flat, [most] * 4)
    steps = torch.randint(0, 2 * most + 1, (2, len(x)), generator=generator).to(x.device)
    rows = steps[0][:, None] + torch.arange(height, device=x.device)
    columns = steps[1][:, None] + torch.arange(width, device=x.device)
    picked = padded.gather(
        2, rows[:, None, :, None].expand(-1, flat.shape[1], -1, padded.shape[3])
    )
    picked = picked.gather(3, columns[:, None, None].expand(-1, flat.shape[1], height, -1))
    return picked.reshape(x.shape)


def _cut(x: Any, generator: Any, side: int) -> Any:
    """Set a square of each image to 0, the part of it that is inside.

    Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
    Cutout", 2017.
    """
    inside = []
    for length in x.shape[-2:]:
        first = torch.randint(length, (len(x), 1), generator=generator) - side // 2
        place = torch.arange(length)
        inside.append((first <= place) & (place < first + side))
    hole = (inside[0][:, :, None] & inside[1][:, None]).to(x.device)
    hole = hole.reshape(len(x), *[1] * (x.ndim - 3), *x.shape[-2:])
    return torch.where(hole, torch.zeros_like(x), x)
