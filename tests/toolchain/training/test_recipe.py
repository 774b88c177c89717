"""A recipe says what it trains, and what is not a key of it trains nothing."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from toolchain.errors import TrainingError
from toolchain.training.recipe import (
    Recipe,
    TrainingTable,
    differences,
    read_recipe,
    recipe_of,
    recipe_tables,
)

DATA = {"source": "mnist", "path": "mnist"}
NETWORK = {"name": "mlp", "widths": [16]}


ROOT = Path(__file__).parents[3]


def recipe(**tables) -> Recipe:
    return recipe_of({"data": DATA, "network": NETWORK} | tables)


def test_a_file_is_read_with_paths_relative_to_it(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[data]\nsource = "npz"\npath = "train.npz"\ntest = "/data/test.npz"\n'
        '[network]\nname = "vgg"\nstages = [[4], [8]]\n'
        "[neuron]\nlevels = 4\nthreshold = 1\n[training]\nepochs = 3\n"
    )

    found = read_recipe(path)

    assert found.data.path == str(tmp_path / "train.npz")
    assert found.data.test == "/data/test.npz"
    assert found.network.sizes == {"stages": [[4], [8]]}
    assert (found.neuron.levels, found.neuron.threshold, found.neuron.windows) == (4, 1.0, 2)
    assert found.training == TrainingTable(epochs=3)
    path.write_text('[data]\nsource = "mnist"\npath = "."\n[hybrid]\nstart = "ann/best.pt"\n')
    hybrid = read_recipe(path).hybrid
    assert hybrid is not None
    assert hybrid.start == str(tmp_path / "ann" / "best.pt")


def test_tables_say_the_whole_recipe():
    direct = recipe(neuron={"levels": 3})
    hybrid = recipe_of({"data": DATA, "hybrid": {"start": "a.pt"}})

    for made in (direct, hybrid):
        assert recipe_of(recipe_tables(made)) == made


@pytest.mark.parametrize(
    ("tables", "problem", "hint"),
    [
        ({"nueron": {}}, "nueron is no key of a recipe", "did you mean 'neuron'?"),
        ({"neuron": {"level": 2}}, "neuron.level is no key", "did you mean 'levels'?"),
        ({"training": {"epoch": 2}}, "training.epoch is no key", "did you mean 'epochs'?"),
        ({"training": {"xyz": 2}}, "training.xyz is no key", None),
        ({"training": 3}, "training is 3; it must be a table, [training]", None),
        ({"data": {"source": "mnist"}}, "data.path is missing", None),
        (
            {"data": DATA | {"source": "minst"}},
            "data.source is 'minst'; it must be one of",
            "did you mean 'mnist'?",
        ),
        (
            {"data": DATA | {"source": "npz"}},
            "data.test is missing",
            'name it: test = "test.npz"',
        ),
        ({"data": DATA | {"augment": ["flip"]}}, "data.augment is 'flip'", None),
        ({"training": {"epochs": 0}}, "training.epochs is 0; it must be 1 or more", None),
        ({"training": {"epochs": 1.5}}, "epochs is 1.5; it must be a whole number", None),
        ({"training": {"epochs": True}}, "epochs is True; it must be a whole number", None),
        ({"training": {"learning_rate": 0}}, "learning_rate is 0.0; it must be above 0", None),
        ({"training": {"seed": -1}}, "training.seed is -1; it must be 0 or more", None),
        ({"neuron": {"levels": 0}}, "neuron.levels is 0; it must be 1 or more", None),
        ({"network": {}, "hybrid": {"start": 3}}, "hybrid.start is 3; it must be a text", None),
    ],
)
def test_what_is_not_a_recipe_is_refused(tables, problem, hint):
    with pytest.raises(TrainingError) as error:
        recipe(**tables)

    assert problem in error.value.problem
    assert error.value.hint == hint


def test_a_table_that_is_needed_is_named():
    with pytest.raises(TrainingError, match=r"the table \[data\] is missing"):
        recipe_of({"network": NETWORK})
    with pytest.raises(TrainingError, match=r"network\.name is missing"):
        recipe_of({"data": DATA})


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"network": {"name": "mlp"}}, "network.name"),
        ({"network": {"widths": [3]}}, "network.widths"),
        ({"neuron": {"initial": 1.0}}, "neuron.initial"),
    ],
)
def test_what_the_network_to_start_from_decides_is_not_asked_for(tables, key):
    with pytest.raises(TrainingError) as error:
        recipe_of({"data": DATA, "hybrid": {"start": "a.pt"}} | tables)

    assert error.value.problem.startswith(f"{key} is given")


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("[data\n")

    with pytest.raises(TrainingError, match="is not TOML") as error:
        read_recipe(path)

    assert error.value.node == str(path)
    path.write_text("[data]\n")
    with pytest.raises(TrainingError) as error:
        read_recipe(path)
    assert error.value.node == str(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TrainingError, match="cannot be read: no such file") as error:
        read_recipe(tmp_path / "none.toml")

    assert error.value.node == str(tmp_path / "none.toml")


def test_differences_are_those_that_change_the_result():
    old = recipe(training={"threads": 1, "learning_rate": 0.01})
    new = recipe(training={"threads": 2, "learning_rate": 0.02}, neuron={"levels": 4})

    assert differences(old, new) == [
        "neuron.levels is 2 in the checkpoint and 4 in the recipe",
        "training.learning_rate is 0.01 in the checkpoint and 0.02 in the recipe",
    ]
    assert not differences(old, dataclasses.replace(old))


def test_the_recipes_of_the_documentation_are_recipes(tmp_path):
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    recipes = re.findall(r"^```toml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    for content in recipes:
        path = tmp_path / "recipe.toml"
        path.write_text(content)
        read_recipe(path)
    assert recipes
