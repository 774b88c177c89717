"""What this machine has for compiling and running: packages, engines, processor, GPU.

Nothing is imported that could be absent or broken, but torch where it is installed: only torch
knows what GPU it can use.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from toolchain import __version__
from toolchain.cores import cores

OPTIONAL = {
    "lava-nc": "the engines lava and netx",
    "lava-dl": "the engine netx",
    "torch": "training, and a GPU; 'pip install torch' installs it",
    "openvino": "Intel processors; 'pip install openvino' installs it",
    "ray": "several machines; 'pip install ray' installs it",
    "pillow": "training on images in files; 'pip install pillow' installs it",
}
"""Packages that compiling does not need, what they are for, and how to get them.

How to get Lava is what its engines say: it takes more than a word.
"""

_LAVA_ENGINES = ("lava", "netx")
"""Engines that have to run where Lava is installed; others may lack a GPU."""

_DISTRIBUTION = "snn-compile"
_NEEDED = ("numpy", "onnx", "onnxruntime", "h5py", "rich", "scipy")
_EXTENSIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_int8": "AMX",
    "asimddp": "dot product",
    "i8mm": "I8MM",
}
_CPU_FILE = Path("/proc/cpuinfo")
_REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*((?:[<>=!~]=?[\w.*]+,?)*)")
_LIMIT = re.compile(r"(>=|==|<)([\d.]+)")


@dataclass(frozen=True)
class Package:
    """One package.

    Attributes:
        name: Of the distribution.
        version: Installed; `None` if it is not.
        purpose: What it is for.
        problem: What has to be mended; `None` if nothing.
    """

    name: str
    version: str | None
    purpose: str
    problem: str | None


@dataclass(frozen=True)
class Environment:
    """What this machine has.

    Attributes:
        version: Of this package.
        python: Version of Python.
        system: Operating system and processor type.
        packages: Needed ones first.
        engines: By name why an engine cannot run here and how to mend that; `None` if it can.
        cores: Processor cores that this process may use.
        extensions: What the processor has for integer arithmetic; `None` if not readable.
        gpu: What torch says of it; `None` if there is none or no torch.
        problems: What has to be mended, as sentences.
    """

    version: str
    python: str
    system: str
    packages: tuple[Package, ...]
    engines: dict[str, str | None]
    cores: int
    extensions: tuple[str, ...] | None
    gpu: str | None
    problems: tuple[str, ...]


def examine() -> Environment:
    """Return what is here; takes as long as importing the engines, and torch if it is there."""
    packages = _packages()
    problems = [f"{p.name}: {p.problem}" for p in packages if p.problem]
    engines, broken = _engines()
    has_lava = any(p.name == "lava-nc" and p.version for p in packages)
    useless = {name: engines.get(name) for name in _LAVA_ENGINES} if has_lava else {}
    broken += [f"engine {name}: {why}" for name, why in useless.items() if why]
    gpu, unusable = _gpu(packages)
    return Environment(
        version=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        packages=packages,
        engines=engines,
        cores=cores(),
        extensions=_extensions(),
        gpu=gpu,
        problems=(*problems, *broken, *unusable),
    )


def _packages() -> tuple[Package, ...]:
    required = _requirements()
    needed = [_package(name, "needed", required, is_needed=True) for name in _NEEDED]
    optional = [
        _package(name, purpose, required, is_needed=False) for name, purpose in OPTIONAL.items()
    ]
    return (*needed, *optional)


def _package(name: str, purpose: str, required: dict[str, str], *, is_needed: bool) -> Package:
    limits = required.get(name, "")
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        line = f"not installed; pip install '{name}{limits}'"
        return Package(name, None, purpose, line if is_needed else None)
    problem = None
    if not fits(version, limits):
        problem = f"{version} is installed, {limits} is needed; pip install '{name}{limits}'"
    return Package(name, version, purpose, problem)


def _requirements() -> dict[str, str]:
    """Return by package the versions that this one asks for; of optional ones, too."""
    try:
        lines = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match:
            found.setdefault(match[1].lower(), match[2])
    return found


def fits(version: str, limits: str) -> bool:
    """Tell whether a version is within limits like ``>=1.2,<2``; others are not looked at."""
    found = _numbers(version)
    for comparison, wanted in _LIMIT.findall(limits):
        limit = _numbers(wanted)
        is_within = {
            ">=": found >= limit,
            "<": found < limit,
            "==": found[: len(limit)] == limit,
        }
        if not is_within[comparison]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in release[0].split(".")) if release else ()


def _engines() -> tuple[dict[str, str | None], list[str]]:
    """Return why engines cannot run, by name, and what keeps all of them from loading."""
    try:
        registry = importlib.import_module("toolchain.engine").ENGINES
        return {name: registry[name].missing() for name in registry}, []
    except ImportError as error:
        return {}, [f"the engines cannot be loaded: {error}"]


def _extensions() -> tuple[str, ...] | None:
    try:
        text = _CPU_FILE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    flags = set(lines[0].split()) if lines else set()
    return tuple(label for flag, label in _EXTENSIONS.items() if flag in flags)


def _gpu(packages: Iterable[Package]) -> tuple[str | None, list[str]]:
    """Return what GPU torch can use, and why torch cannot be used at all."""
    if not any(package.name == "torch" and package.version for package in packages):
        return None, []
    try:
        cuda = importlib.import_module("torch").cuda
        if not cuda.is_available():
            return None, []
        gigabytes = cuda.get_device_properties(0).total_memory / 2**30
        return f"{cuda.get_device_name(0)}, {gigabytes:.0f} GiB", []
    except Exception as error:
        return None, [f"torch is installed and cannot be used: {error}".splitlines()[0]]
