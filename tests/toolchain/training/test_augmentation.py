"""Changes of training images are those of their sources, and the seed decides them all."""

from __future__ import annotations

import collections

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.errors import TrainingError  # noqa: E402
from toolchain.training.augmentation import augmented, require_augmentable  # noqa: E402
from toolchain.training.autoaugment import (  # noqa: E402
    CHANGES,
    POLICY,
    autoaugmented,
    changed,
)
from toolchain.training.recipe import AUGMENTATIONS  # noqa: E402


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count, channels=3, size=12):
    return torch.randint(0, 256, (count, channels, size, size), generator=seeded()).float()


def test_images_shift_and_mirror_each_on_its_own():
    x = torch.zeros(40, 3, 1, 9, 9)
    x[..., 4, 3] = 1

    y = augmented(x, ("mirror", "shift"), seeded())

    assert y.shape == x.shape
    assert torch.equal(y.sum(dim=(2, 3, 4)), torch.ones(40, 3))
    assert torch.equal(y[:, 0], y[:, 2])
    places = {tuple(image[0, 0].nonzero()[0].tolist()) for image in y}
    assert len(places) > 15
    assert {row for row, _ in places} == {2, 3, 4, 5, 6}
    assert augmented(x, (), seeded()) is x


def test_a_square_is_cut_out_of_all_frames_alike_and_may_reach_over_the_edge():
    x = torch.ones(200, 2, 1, 8, 8)

    y = augmented(x, ("cutout",), seeded(), cutout=3)

    assert torch.equal(y[:, 0], y[:, 1])
    sizes = collections.Counter((1 - y[:, 0, 0]).sum(dim=(1, 2)).int().tolist())
    assert set(sizes) == {4, 6, 9}
    rows = (1 - y[:, 0, 0]).amax(dim=2).bool()
    assert rows.any(dim=0).all()


def test_a_part_of_an_image_is_brought_to_the_size_of_all_of_it():
    ramp = torch.arange(32.0).expand(1, 32, 32).repeat(100, 1, 1, 1) * 8

    y = augmented(ramp, ("crop",), seeded())

    assert y.shape == ramp.shape
    spans = y[:, 0, 0, -1] - y[:, 0, 0, 0]
    assert spans.max() <= 248
    assert 40 < spans.min() < 100
    assert (y[:, 0, 0].diff(dim=1) >= 0).all()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_seed_decides(name):
    x = images(30)

    first, again, other = (augmented(x, (name,), seeded(seed)) for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_policy_has_25_pairs_of_known_changes():
    assert len(POLICY) == 25
    for pair in POLICY:
        for name, probability, magnitude in pair:
            assert name in CHANGES
            assert 0 <= probability <= 1
            assert magnitude in range(10)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stay_bytes_and_most_of_them_change(channels):
    x = images(300, channels, 32) // 2 + 40
    before = x.clone()

    y = autoaugmented(x, seeded())

    assert torch.equal(x, before)
    assert torch.equal(y, y.round())
    assert (y.min(), y.max()) == (0, 255)
    same = (y == x).flatten(1).all(dim=1).double().mean()
    assert 0.05 < same < 0.35


@pytest.mark.parametrize("name", CHANGES)
def test_no_magnitude_of_a_change_with_a_direction_is_no_change(name):
    x = images(4)

    y = changed(x, name, 0.0, torch.tensor([1.0, -1.0, 1.0, -1.0]))

    if name not in ("invert", "stretch", "equalize"):
        assert torch.equal(y, x)


def in_pillow(name, share, sign):
    """Return the change as Pillow has it."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is optional")
    from PIL import ImageEnhance, ImageOps

    factor = 1 + 0.9 * share * sign
    enhancers = {
        "contrast": ImageEnhance.Contrast, "color": ImageEnhance.Color,
        "brightness": ImageEnhance.Brightness, "sharpness": ImageEnhance.Sharpness,
    }  # fmt: skip
    if name in enhancers:
        return lambda x: enhancers[name](x).enhance(factor)
    slant, far = 0.3 * share * sign, 150 / 331 * share * sign
    rows = {
        "shear-x": (1, slant, -slant / 2, 0, 1, 0),
        "shear-y": (1, 0, 0, slant, 1, -slant / 2),
        "move-x": (1, 0, far, 0, 1, 0),
        "move-y": (1, 0, 0, 0, 1, far),
    }
    if name in rows:
        a, b, c, d, e, f = rows[name]
        return lambda x: x.transform(
            x.size,
            image.Transform.AFFINE,
            (a, b, c * x.width, d, e, f * x.height),
            fillcolor=(128,) * 3,
        )
    return {
        "rotate": lambda x: x.rotate(-30 * share * sign, fillcolor=(128,) * 3),
        "invert": ImageOps.invert,
        "stretch": ImageOps.autocontrast,
        "equalize": ImageOps.equalize,
        "solarize": lambda x: ImageOps.solarize(x, 256 - 256 * share),
        "posterize": lambda x: ImageOps.posterize(x, 8 - round(4 * share)),
    }[name]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("magnitude", [0, 1, 4, 7, 9])  # none puts a pixel between two others
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_that_of_pillow(name, magnitude, sign):
    pillow = in_pillow(name, magnitude / 9, sign)
    from PIL import Image

    random = np.random.default_rng(0)
    x = np.clip(random.normal(120, 40, (5, 32, 32, 3)), 0, 255).astype(np.uint8)

    pixels = torch.tensor(x.transpose(0, 3, 1, 2)).float()
    found = changed(pixels, name, magnitude / 9, torch.full((5,), float(sign)))

    wanted = np.stack([np.asarray(pillow(Image.fromarray(image))) for image in x])
    apart = np.abs(found.numpy().transpose(0, 2, 3, 1) - wanted)
    assert apart.max() <= (name == "stretch")


@pytest.mark.parametrize(
    ("names", "shape", "has_bytes", "has_windows", "problem"),
    [
        (("mirror",), (6,), True, False, "is for images"),
        (("autoaugment",), (2, 8, 8), True, False, "1 or 3 channels"),
        (("autoaugment",), (3, 8, 8), False, False, "of bytes"),
        (("autoaugment",), (3, 8, 8), True, True, "without windows"),
    ],
)
def test_what_samples_cannot_have_is_refused(names, shape, has_bytes, has_windows, problem):
    with pytest.raises(TrainingError, match=problem):
        require_augmentable(names, shape, has_bytes=has_bytes, has_windows=has_windows)
