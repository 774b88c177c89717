"""auto takes the fewest levels that agree on 99 %, else those that agree most often."""

import pytest

from toolchain.tuning.levels import choose_levels


@pytest.mark.parametrize(
    ("agreements", "levels", "is_enough"),
    [
        ({7: 0.995, 15: 1.0}, 7, True),
        ({7: 0.98, 15: 0.99, 31: 1.0}, 15, True),
        ({7: 0.9, 15: 0.97, 31: 0.95}, 15, False),
        ({7: 0.9, 15: 0.9, 31: 0.9}, 7, False),
    ],
)
def test_the_choice(agreements, levels, is_enough):
    choice = choose_levels(agreements.__getitem__, agreements)

    assert (choice.levels, choice.is_enough) == (levels, is_enough)
    assert choice.agreement == agreements[levels]


def test_no_more_levels_are_tried_than_needed():
    tried = []

    choose_levels(lambda levels: tried.append(levels) or 1.0)

    assert tried == [7]
