"""The house is in order: small modules, nothing hidden, folders that hold what they say."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("toolchain", "targets")
    for path in (ROOT / package).rglob("*.py")
)
PACKAGES = sorted(".".join(path.parent.parts) for path in MODULES if path.name == "__init__.py")
REGISTRIES = {
    "toolchain.passes": "toolchain.rewriting:PASSES",
    "toolchain.conversion": "toolchain.conversion:METHODS",
    "toolchain.mapping": "toolchain.mapping:MAPPINGS",
    "toolchain.ops": "toolchain.ops:IMPORTERS",
    "targets": "toolchain.target:TARGETS",
    "targets.formats": "toolchain.target:FORMATS",
    "targets.engines": "toolchain.engine:ENGINES",
}
NOT_REGISTERED = {"targets.lava_compat"}
"""Modules beside registered ones that are for others to import."""

PRINTING = {Path("targets/formats/_lava_network.py")}
"""The script that goes out with Lava networks."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "handler", "misc"}
LINES_MAX = 400
HEAVY = {"onnxruntime", "torch", "lava", "h5py", "nir", "hypothesis"}


def tree(path):
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def modules_of(package):
    folder = ROOT.joinpath(*package.split("."))
    return [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]


def registers(path):
    """Tell whether a module's top level files something in a registry."""
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    return any(
        (
            isinstance(call.func, ast.Attribute)
            and call.func.attr == "register"
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id.isupper()
        )
        or (isinstance(call.func, ast.Name) and call.func.id == "compiler_pass")
        for call in calls
    )


def python(*code):
    """Run code in an interpreter of its own and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_is_a_few_screens(path):
    lines = (ROOT / path).read_text(encoding="utf-8").count("\n")

    assert lines <= LINES_MAX


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_is_asserted_that_python_could_drop(path):
    found = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)]

    assert not found


@pytest.mark.parametrize("path", sorted({*MODULES} - PRINTING), ids=str)
def test_only_scripts_print(path):
    found = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]

    assert not found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(tree(path))


def test_nothing_has_a_vague_name():
    names = {part for path in MODULES for part in path.with_suffix("").parts}

    assert not VAGUE & {word for name in names for word in name.strip("_").split("_")}


@pytest.mark.parametrize("package", REGISTRIES)
def test_every_module_of_a_registry_registers(package):
    silent = {f"{package}.{path.stem}" for path in modules_of(package) if not registers(path)}

    assert silent == {name for name in NOT_REGISTERED if name.rpartition(".")[0] == package}


@pytest.mark.parametrize("package", REGISTRIES)
def test_every_registry_finds_its_folder(package):
    module, _, name = REGISTRIES[package].partition(":")

    registry = getattr(importlib.import_module(module), name)

    assert registry.package == package
    registering = [path for path in modules_of(package) if registers(path)]
    assert len(registry) >= len(registering) > 0


def test_the_command_starts_without_what_is_heavy():
    printed = python("import sys", "import toolchain.cli", "print(*sys.modules)")

    assert not HEAVY & {name.partition(".")[0] for name in printed.split()}


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_can_be_imported_first(package):
    python(f"import {package}")


def test_tests_do_not_hide_behind_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))
