"""One damaged npz file: samples, or the graph or circuit of a build."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.data import load_samples
from toolchain.errors import CompileError
from toolchain.execution import CIRCUIT_FILE, GRAPH_FILE, run_build
from toolchain.fuzzing.builds import COUNT, build_files
from toolchain.fuzzing.damaged_archives import damage_archive
from toolchain.ir.archive import load_archive
from toolchain.ir.ends import input_parts, sample_shape
from toolchain.ir.graph import Graph
from toolchain.ir.packing import packed_shape
from toolchain.ir.verify import verify_phase

_LARGEST_BYTES = 2**24
_SAMPLES_SHARE = 0.4


def run_npz_case(seed: int, folder: Path) -> str:
    """Read the file of a seed; run the build if it is one's.

    Returns:
        ``"refused ..."`` with the class of the error, or what it was read as.
    """
    random = Random(f"npz {seed}")
    try:
        if random.random() < _SAMPLES_SHARE:
            return _samples(random, folder / "x.npz")
        return _build(random, folder / "build")
    except CompileError as error:
        return f"refused {type(error).__name__}"


def _samples(random: Random, path: Path) -> str:
    count, names = random.randint(1, 4), random.choice((("x",), ("image", "x/2:0")))
    shapes = {name: random.choice(((4,), (1, 3, 3), ())) for name in names}
    arrays = {
        name: np.ones((count, *shape), random.choice(("f4", "f8", "u1", "i8")))
        for name, shape in shapes.items()
    }
    path.write_bytes(damage_archive(random, _saved(arrays | {"y": np.zeros(count, np.int64)})))
    parts = shapes if len(shapes) > 1 else {}
    asked = None if random.random() < 0.5 else packed_shape(list(shapes.values()))
    labelled = random.choice((True, False, None))
    samples = load_samples(path, asked, parts, labelled=labelled, largest_bytes=_LARGEST_BYTES)
    if len(samples) < 1 or not np.isfinite(samples.x).all():
        raise AssertionError(f"read {samples.x.shape}, which is not checked")
    return "read samples"


def _build(random: Random, folder: Path) -> str:
    files = build_files(random.randrange(COUNT))
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    name = random.choice((GRAPH_FILE, CIRCUIT_FILE))
    (folder / name).write_bytes(damage_archive(random, files[name]))
    graph = load_archive(folder / GRAPH_FILE, Graph)
    verify_phase(graph)
    parts = input_parts(graph) or {"x": sample_shape(graph)}
    ones = {name: np.ones((2, *shape), np.float32) for name, shape in parts.items()}
    (folder.parent / "x.npz").write_bytes(_saved(ones))
    engine = random.choice(("count", "step"))
    run_build(folder, folder.parent / "x.npz", engine=engine)
    return f"ran {engine}"


def _saved(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()
