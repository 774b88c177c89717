"""Mixed images have mixed losses."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.training.mixup import mixed_loss, shares  # noqa: E402


def seeded():
    return torch.Generator().manual_seed(3)


def test_the_loss_is_that_of_both_labels_in_their_shares():
    x, y = torch.randn(6, 4, generator=seeded()), torch.tensor([0, 1, 2, 3, 0, 1])
    other = torch.randperm(6, generator=seeded())
    logits = torch.log_softmax(2 * (0.25 * x + 0.75 * x[other]), dim=1)

    loss = mixed_loss(lambda mixed: 2 * mixed, x, y, 0.25, seeded())

    rows = torch.arange(6)
    wanted = -(0.25 * logits[rows, y] + 0.75 * logits[rows, y[other]]).mean()
    torch.testing.assert_close(loss, wanted)


def test_all_of_an_image_is_plain_training():
    x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])

    loss = mixed_loss(lambda samples: samples, x, y, 1.0, seeded())

    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(x, y))


def test_shares_follow_the_seed_and_none_are_drawn_for_a_spread_of_0():
    assert shares(0.0, 1, 3).tolist() == [1.0, 1.0, 1.0]
    drawn = shares(0.2, 1, 1000)
    assert drawn.tolist() == shares(0.2, 1, 1000).tolist()
    assert drawn.tolist() != shares(0.2, 2, 1000).tolist()
    assert ((drawn < 0.1) | (drawn > 0.9)).mean() > 0.5
