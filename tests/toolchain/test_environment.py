"""The environment is told as it is: what is absent, what is too old, what is broken."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import sys
from types import SimpleNamespace

import pytest

from toolchain import environment
from toolchain.engine import ENGINES
from toolchain.environment import OPTIONAL, examine, fits


@pytest.fixture
def installed(monkeypatch):
    """Replace the installed versions; what is not named is as it is here, torch is absent."""
    versions = {"torch": None}
    real = importlib.metadata.version

    def version(name):
        found = versions[name] if name in versions else real(name)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda _: ["onnx>=1.17", "h5py>=3.8,<4"]
    )
    return versions


def package_of(found, name):
    (package,) = [package for package in found.packages if package.name == name]
    return package


@pytest.mark.parametrize(
    ("version", "limits", "wanted"),
    [
        ("1.26.4", ">=1.26", True),
        ("1.9", ">=1.26", False),
        ("1.26", ">=1.26", True),
        ("2.0.0", "<2", False),
        ("1.99", ">=1.26,<2", True),
        ("0.10.0", "==0.10.0", True),
        ("0.10.1", "==0.10.0", False),
        ("2.13.0+cpu", ">=2.3", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version, limits, wanted):
    assert fits(version, limits) is wanted


def test_a_sound_environment_has_nothing_to_mend(installed, monkeypatch):
    monkeypatch.setattr(ENGINES, "_things", {"step": ENGINES["step"]})

    found = examine()

    assert found.problems == ()
    assert found.engines == {"step": None}
    assert package_of(found, "onnx").version == importlib.metadata.version("onnx")
    assert found.cores >= 1


def test_what_is_optional_may_be_absent(installed, monkeypatch):
    installed |= dict.fromkeys(OPTIONAL)
    lava = dataclasses.replace(ENGINES["lava"], missing=lambda: "lava-nc is not installed")
    monkeypatch.setattr(ENGINES, "_things", {"lava": lava})

    found = examine()

    assert found.problems == ()
    assert found.engines == {"lava": "lava-nc is not installed"}
    assert found.gpu is None


def test_an_engine_whose_package_is_there_and_useless_has_to_be_mended(installed, monkeypatch):
    installed["lava-nc"] = "0.10.0"
    lava = dataclasses.replace(ENGINES["lava"], missing=lambda: "it needs a numpy below 2")
    monkeypatch.setattr(ENGINES, "_things", {"lava": lava})

    assert examine().problems == ("engine lava: it needs a numpy below 2",)


def test_a_machine_without_a_gpu_needs_no_mending(installed, monkeypatch):
    installed["lava-nc"] = "0.10.0"
    gpu = dataclasses.replace(ENGINES["gpu"], missing=lambda: "torch finds no GPU")
    monkeypatch.setattr(ENGINES, "_things", {"gpu": gpu})

    assert examine().problems == ()


def test_a_package_that_is_needed_and_absent_has_to_be_installed(installed):
    installed["onnx"] = None

    assert "onnx: not installed; pip install 'onnx>=1.17'" in examine().problems


def test_a_package_of_another_version_has_to_be_replaced(installed):
    installed["h5py"] = "4.1"

    assert package_of(examine(), "h5py").problem == (
        "4.1 is installed, >=3.8,<4 is needed; pip install 'h5py>=3.8,<4'"
    )


def test_torch_says_what_gpu_there_is(installed, monkeypatch):
    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_device_name=lambda _: "H100",
        get_device_properties=lambda _: SimpleNamespace(total_memory=80 * 2**30),
    )
    installed["torch"] = "2.13.0"
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))

    assert examine().gpu == "H100, 80 GiB"


def test_a_torch_that_cannot_be_imported_has_to_be_mended(installed, monkeypatch):
    installed["torch"] = "2.13.0"
    monkeypatch.setitem(sys.modules, "torch", None)

    (problem,) = [problem for problem in examine().problems if "torch" in problem]
    assert problem.startswith("torch is installed and cannot be used: ")


def test_engines_that_cannot_be_loaded_are_a_problem(installed, monkeypatch):
    real = importlib.import_module

    def broken(name):
        if name == "toolchain.engine":
            raise ImportError("no numpy here")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", broken)

    assert "the engines cannot be loaded: no numpy here" in examine().problems


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", ("AVX2", "AVX-512", "AVX-512 VNNI")),
        ("Features\t: asimddp i8mm\n", ("dot product", "I8MM")),
        ("nothing known\n", ()),
    ],
)
def test_the_processor_says_what_it_has(tmp_path, monkeypatch, text, wanted):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    monkeypatch.setattr(environment, "_CPU_FILE", path)

    assert environment._extensions() == wanted


def test_a_processor_that_says_nothing_is_not_guessed(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_CPU_FILE", tmp_path / "none")

    assert environment._extensions() is None
