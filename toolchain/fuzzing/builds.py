"""Small networks compiled to builds, from a few seeds."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from random import Random

from toolchain.build_folder import REPORT, WRITTEN_BY
from toolchain.engine import Program
from toolchain.errors import CompileError
from toolchain.execution import CIRCUIT_FILE, GRAPH_FILE
from toolchain.ir.archive import save_archive
from toolchain.schedule import AUTO, SCHEDULES
from toolchain.target import FORMATS, TARGETS
from toolchain.testing import (
    compile_network,
    random_ends,
    random_network,
    random_samples,
    random_windows,
)

COUNT = 24
"""Networks that there are."""

NETX_FILE = "network.net"
"""Where the format ``netx`` writes."""

_DRAWN = (random_network, random_network, random_windows, random_ends)
_LEVELS = 3
_SAMPLES = 8


@functools.cache
def build_files(index: int) -> dict[str, bytes]:
    """Return what is in a build, by the name of the file, with a netx file where that fits.

    Args:
        index: Of the network, 0 to `COUNT` - 1.
    """
    random = Random(f"build {index}")
    while True:
        graph = random.choice(_DRAWN)(random)
        x = random_samples(graph, random, _SAMPLES)
        lowering = random.choice(("temporal", "spatial", "radix"))
        schedule = random.choice((AUTO, *SCHEDULES))
        try:
            stages = compile_network(
                graph,
                x,
                TARGETS["loihi2"],
                levels=_LEVELS,
                lowering=lowering,
                schedule=schedule,
            )
        except CompileError:
            continue  # dead layers, or too large
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            save_archive(stages.quantized, place / GRAPH_FILE)
            save_archive(stages.circuit, place / CIRCUIT_FILE)
            (place / REPORT).write_text(json.dumps({"written_by": WRITTEN_BY}))
            try:
                FORMATS["netx"](Program(stages.quantized, stages.circuit), place)
            except CompileError:
                if index % 2:
                    continue
            return {file.name: file.read_bytes() for file in place.iterdir()}


@functools.cache
def netx_file(index: int) -> bytes:
    """Return a netx file; those of even builds may not have one, so odd ones are taken."""
    return build_files(2 * index + 1)[NETX_FILE]
