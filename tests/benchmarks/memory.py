"""Peak memory of running a network, each way in a process of its own.

    python tests/benchmarks/memory.py [--network vgg16] [--json FILE] [--page]

The base is what a process holds after its imports. *Loaded* is what it holds above that once
the network is ready to run, *peak* the most above the base while it runs its batch three times,
the network, the samples and everything that is returned included (``VmHWM`` of Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import describe_machine, forget_peak, memory_bytes, restrict_to, write

LEVELS = 15
GOAL_NETWORK, GOAL_BATCH, GOAL_BYTES = "vgg16", 256, 250e6
PEER_STEPS = 8
RUNS = 3
COUNT = "count engine"
COUNT_ALL = "count engine and operations"


def main() -> None:
    arguments = read_arguments()
    restrict_to(arguments.threads)
    if arguments.one:
        write(json.dumps(measure_here(arguments)))
        return
    from page import rewrite

    machine = describe_machine(arguments.threads)
    write(f"{machine}\n")
    with tempfile.TemporaryDirectory() as folder:
        prepare(arguments, Path(folder))
        rows = [
            measure_alone(name, batch, Path(folder), arguments.threads)
            for name in contenders()
            for batch in arguments.batches
        ]
    text = f"**{arguments.network}**, MiB above the imports\n\n{table(rows, arguments.batches)}"
    text += goal(rows) if arguments.network == GOAL_NETWORK else ""
    write(text)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))
    if arguments.page:
        rewrite("memory", f"{machine}\n\n{text}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--network", default="vgg16", help="see networks.py")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 64, 256])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true", help="rewrite docs/benchmarks.md")
    parser.add_argument("--one", help="one contender, answered as JSON")
    parser.add_argument("--folder", type=Path, help="of what was prepared for it")
    return parser.parse_args()


def contenders() -> list[str]:
    """Return the names of what can run here."""
    import peers
    import runtimes

    missing = peers.missing_peers()
    names = ["onnxruntime float32", "onnxruntime int8", COUNT, COUNT_ALL]
    names += ["OpenVINO int8"] if runtimes.has_openvino() else []
    return names + [name for name in peers.PEERS if name not in missing]


def prepare(arguments: argparse.Namespace, folder: Path) -> None:
    """Write the network as each contender reads it."""
    import numpy as np
    import onnx
    import ours
    import runtimes
    from networks import build, draw_samples, read_network

    from toolchain.ir.archive import save_archive

    network = read_network(arguments.network)
    model = build(network)
    x = draw_samples(network, max(arguments.batches), seed=2)
    np.save(folder / "x.npy", x)
    onnx.save(model, folder / "float.onnx")
    onnx.save(runtimes.quantize_statically(model, x[:64]), folder / "int8.onnx")
    program = ours.compiled(ours.imported(model), x[:64], levels=LEVELS, lowering="temporal")
    save_archive(program.graph, folder / "graph.npz")
    save_archive(program.circuit, folder / "circuit.npz")


def measure_alone(name: str, batch: int, folder: Path, threads: int) -> dict[str, Any]:
    """Measure one contender in a new process."""
    from contest import report_progress

    report_progress(f"{name}, batch {batch}")
    options = ["--folder", str(folder), "--batches", str(batch), "--threads", str(threads)]
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, *options], check=True, stdout=subprocess.PIPE
    )
    return {"name": name, "batch": batch, **json.loads(done.stdout)}


def measure_here(arguments: argparse.Namespace) -> dict[str, float]:
    """Load one contender and run it, in this process; bytes above the imports."""
    name, folder, (batch,) = arguments.one, arguments.folder, arguments.batches
    load = LOADERS.get(name, load_peer)(name, folder, arguments.threads)
    base = memory_bytes("VmRSS")
    run = load(batch)
    loaded = memory_bytes("VmRSS") - base
    forget_peak()
    for _ in range(RUNS):
        run()
    return {"base": base, "loaded": loaded, "peak": memory_bytes("VmHWM") - base}


Load = Callable[[int], Callable[[], Any]]


def load_onnxruntime(name: str, folder: Path, threads: int) -> Load:
    import numpy as np
    import runtimes

    def load(batch: int) -> Callable[[], Any]:
        model = Path(folder, f"{'int8' if 'int8' in name else 'float'}.onnx").read_bytes()
        run = runtimes.onnxruntime_runner(model, threads)
        x = np.load(folder / "x.npy")[:batch]
        return lambda: run(x)

    return load


def load_openvino(name: str, folder: Path, threads: int) -> Load:
    import numpy as np
    import onnx
    import runtimes

    import targets.twin.quiet_openvino  # noqa: F401

    def load(batch: int) -> Callable[[], Any]:
        x = np.load(folder / "x.npy")[:batch]
        return runtimes.openvino_contender(
            name, onnx.load(folder / "int8.onnx"), x, threads
        ).run

    return load


def load_count(name: str, folder: Path, threads: int) -> Load:
    import numpy as np
    import ours

    import targets.twin.counting  # noqa: F401
    from toolchain.engine import ENGINES, Program
    from toolchain.ir.archive import load_archive
    from toolchain.ir.graph import Graph
    from toolchain.ir.mapped import Circuit

    ENGINES["count"]

    def load(batch: int) -> Callable[[], Any]:
        graph = load_archive(folder / "graph.npz", Graph)
        program = Program(graph, lambda: load_archive(folder / "circuit.npz", Circuit))
        x = np.load(folder / "x.npy")[:batch]
        if name == COUNT_ALL:
            return ours.measured(program, x).run
        return ours.engine("count", program, x).run

    return load


def load_peer(name: str, folder: Path, threads: int) -> Load:
    import numpy as np
    import onnx
    import peers
    import torch

    torch.set_num_threads(threads)

    def load(batch: int) -> Callable[[], Any]:
        x = np.load(folder / "x.npy")[:batch]
        return peers.simulator(name, onnx.load(folder / "float.onnx"), x, PEER_STEPS)

    return load


LOADERS: dict[str, Callable[[str, Path, int], Load]] = {
    "onnxruntime float32": load_onnxruntime,
    "onnxruntime int8": load_onnxruntime,
    "OpenVINO int8": load_openvino,
    COUNT: load_count,
    COUNT_ALL: load_count,
}


def goal(rows: list[dict[str, Any]]) -> str:
    """Return what the count engine was to stay below, if that was measured."""
    peaks = [row["peak"] for row in rows if (row["name"], row["batch"]) == (COUNT, GOAL_BATCH)]
    if not peaks:
        return ""
    verdict = "reached" if peaks[0] < GOAL_BYTES else "**missed**"
    return (
        f"\nThe count engine at batch {GOAL_BATCH} is to stay below {GOAL_BYTES / 1e6:.0f} MB; "
        f"it takes {peaks[0] / 1e6:.0f} MB: {verdict}.\n"
    )


def table(rows: list[dict[str, Any]], batches: list[int]) -> str:
    """Return a Markdown table with a row for each contender."""
    heads = "".join(f" loaded, batch {batch} | peak, batch {batch} |" for batch in batches)
    lines = [f"| | imports |{heads}", f"|---|--:|{'--:|--:|' * len(batches)}"]
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        cells = [row[key] for row in own for key in ("loaded", "peak")]
        shown = [f"{value / 2**20:,.0f}" for value in (own[0]["base"], *cells)]
        steps = "" if name in LOADERS else f", {PEER_STEPS} steps"
        lines.append(f"| {name}{steps} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
