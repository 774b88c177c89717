"""A registry holds what the modules of a folder register, finds it strictly and by name."""

from __future__ import annotations

import sys
import textwrap

import pytest

from toolchain.errors import UnknownNameError
from toolchain.registry import Registry

PACKAGE = "registry_under_test"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a function that makes a package of modules and a registry for it."""

    def make(**modules):
        package = tmp_path / PACKAGE
        package.mkdir()
        (package / "__init__.py").write_text(
            f"from toolchain.registry import Registry\n"
            f"THINGS = Registry('thing', '{PACKAGE}')\n"
        )
        for name, text in modules.items():
            head = f"from {PACKAGE} import THINGS\n"
            (package / f"{name}.py").write_text(head + textwrap.dedent(text))
        return __import__(PACKAGE).THINGS

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def test_what_modules_register_is_found_on_first_use(folder):
    things = folder(one="THINGS.register('first')(1)", two="THINGS.register('second')(2)")

    assert f"{PACKAGE}.one" not in sys.modules
    assert things["second"] == 2
    assert f"{PACKAGE}.one" in sys.modules


def test_names_are_sorted(folder):
    things = folder(a="THINGS.register('zebra')(1)", b="THINGS.register('ant')(2)")

    assert list(things) == ["ant", "zebra"]
    assert len(things) == 2
    assert "ant" in things
    assert "bee" not in things


def test_a_decorated_thing_is_handed_back(folder):
    things = folder()

    @things.register("double")
    def double(x):
        return 2 * x

    assert things["double"] is double
    assert double(4) == 8


def test_modules_with_an_underscore_and_packages_are_not_imported(folder, tmp_path):
    things = folder(_private="THINGS.register('hidden')(1)")
    (tmp_path / PACKAGE / "inner").mkdir()
    (tmp_path / PACKAGE / "inner" / "__init__.py").write_text("raise RuntimeError")

    assert list(things) == []


def test_a_broken_module_gives_its_own_error(folder):
    things = folder(broken="raise ZeroDivisionError('in the middle')")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="in the middle"):
            list(things)


def test_a_module_that_cannot_be_parsed_gives_its_own_error(folder):
    things = folder(broken="def (")

    with pytest.raises(SyntaxError):
        len(things)


def test_a_taken_name_is_an_error(folder):
    things = folder(one="THINGS.register('same')(1)", two="THINGS.register('same')(2)")

    with pytest.raises(ValueError, match="thing 'same' is registered twice"):
        things["same"]


def test_an_unknown_name_lists_those_there_are_and_guesses(folder):
    things = folder(a="THINGS.register('temporal')(1)", b="THINGS.register('spatial')(2)")

    with pytest.raises(UnknownNameError) as error:
        things["tempral"]

    assert str(error.value) == (
        "look-up: no thing is called 'tempral'; known: spatial, temporal\n"
        "  hint: did you mean 'temporal'?"
    )


def test_a_name_like_none_is_not_guessed_at(folder):
    things = folder(a="THINGS.register('temporal')(1)")

    with pytest.raises(UnknownNameError) as error:
        things["xyz"]

    assert error.value.hint is None


def test_a_folder_that_does_not_exist_is_an_error():
    with pytest.raises(ModuleNotFoundError):
        list(Registry("thing", "no_such_package"))
