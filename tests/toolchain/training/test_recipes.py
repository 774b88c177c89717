"""The recipes in the paper's settings can be read, and their networks be built."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.training.assembly import assemble_network  # noqa: E402
from toolchain.training.recipe import read_recipe  # noqa: E402

RECIPES = sorted((Path(__file__).parents[3] / "docs" / "recipes").glob("*.toml"))
SAMPLES = {
    "cifar10": (3, 32, 32), "cifar100": (3, 32, 32), "cifar10-dvs": (2, 48, 48),
    "images": (3, 224, 224),
}  # fmt: skip


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_its_network_built(path):
    recipe = read_recipe(path)

    assert path.read_text(encoding="utf-8").startswith("# Not run here.")
    if recipe.hybrid is not None:
        return
    data = recipe.data
    with torch.device("meta"):
        network = assemble_network(
            recipe,
            SAMPLES[data.source],
            10,
            windows=data.frames if data.source == "cifar10-dvs" else None,
        )
    assert network.steps[-1].module.out_features == 10


def test_there_are_recipes():
    assert len(RECIPES) == 8
