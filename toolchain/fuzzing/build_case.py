"""One build with a damaged file that is no archive: refused, run, or verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx

from toolchain.build_folder import REPORT, is_partial
from toolchain.build_verification import verify_build
from toolchain.errors import CompileError
from toolchain.execution import run_build
from toolchain.fuzzing import damaged_attributes, damaged_nodes, damaged_tensors
from toolchain.fuzzing.damaged_archives import damage_json
from toolchain.fuzzing.damaged_bytes import damage_bytes
from toolchain.fuzzing.whole_builds import COUNT, WholeBuild, whole_build
from toolchain.partial.running import run_partial
from toolchain.partial.verifying import verify_partial

_SAMPLES = 3
_ENGINES = ("count", "step", "twin")
_MODEL_DAMAGES = (
    *damaged_attributes.DAMAGES,
    *damaged_nodes.DAMAGES,
    *damaged_tensors.DAMAGES,
)
_BYTES_SHARE, _SIGNED_SHARE, _JSON_SHARE = 0.15, 0.8, 0.8
_UNLABELLED = 0.5
_LOOKED_AT, _VERIFIED = 0.3, 0.4
"""Of cases, those that look at files, and those that do or run the ladder."""


def run_build_case(seed: int, folder: Path) -> str:
    """Run or verify the build of a seed.

    Returns:
        ``"refused ..."`` with the class of the error, or what was done.
    """
    random = Random(f"build {seed}")
    build = whole_build(random.randrange(COUNT))
    place, data, model = folder / "build", folder / "x.npz", folder / "model.onnx"
    _write(_damaged(random, build.files, folder), place)
    model.write_bytes(build.model)
    np.savez(data, **_samples(random, build))
    try:
        return _used(random, place, data, model)
    except CompileError as error:
        return f"refused {type(error).__name__}"


def _used(random: Random, place: Path, data: Path, model: Path) -> str:
    kind = random.random()
    if kind < _VERIFIED:
        verify = verify_partial if is_partial(place) else verify_build
        samples = None if kind < _LOOKED_AT else data
        found = verify(place, samples, model=random.choice((model, None)))
        return "verified" if found.is_kept else "verified, and found changed"
    run = run_partial if is_partial(place) else run_build
    engine = random.choice(_ENGINES)
    run(place, data, engine=engine)
    return f"ran {engine}"


def _samples(random: Random, build: WholeBuild) -> dict[str, Any]:
    labels = {} if random.random() < _UNLABELLED else {"y": np.zeros(_SAMPLES, np.int64)}
    return labels | {
        name: np.ones((_SAMPLES, *shape), np.float32) for name, shape in build.shapes.items()
    }


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _damaged(random: Random, files: Mapping[str, bytes], folder: Path) -> dict[str, bytes]:
    """Return the files with one of them damaged, most often with the digest that it has now."""
    kind = ".json" if random.random() < _JSON_SHARE else ".onnx"
    name = random.choice(sorted(name for name in files if name.endswith(kind)))
    content = files[name]
    if random.random() < _BYTES_SHARE:
        content = damage_bytes(random, content)
    elif kind == ".json":
        content = json.dumps(damage_json(random, json.loads(content))).encode()
    else:
        content = _damaged_model(random, content, folder)
    changed = {**files, name: content}
    return signed(changed, name) if random.random() < _SIGNED_SHARE else changed


def _damaged_model(random: Random, content: bytes, folder: Path) -> bytes:
    model = onnx.load_model_from_string(content)
    random.choice(_MODEL_DAMAGES)(random, model, folder)
    return model.SerializeToString()


def signed(files: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """Return the files with the digest of one in every report that has it."""
    made = dict(files)
    path = Path(name)
    for parent in path.parents:
        where = (parent / REPORT).as_posix()
        report = _object(made.get(where, b""))
        digests = report.get("sha256")
        inner = path.relative_to(parent).as_posix()
        if isinstance(digests, dict) and inner in digests:
            digests[inner] = hashlib.sha256(made[name]).hexdigest()
            made[where] = json.dumps(report).encode()
    return made


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
