"""The recipes in the paper's settings can be read, and their networks be built."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

from toolchain.training.networks import sizes_of
from toolchain.training.recipe import read_recipe

RECIPES = sorted((Path(__file__).parents[3] / "docs" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_says_that_it_was_not_run(path):
    recipe = read_recipe(path)

    assert path.read_text(encoding="utf-8").startswith("# Not run here.")
    if recipe.hybrid is None:
        assert set(recipe.network.sizes) <= set(sizes_of(recipe.network.name))


def test_there_are_recipes():
    assert len(RECIPES) == 5
