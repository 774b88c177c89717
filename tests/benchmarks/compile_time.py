"""Time and memory of a compile, stage by stage, all rungs of the ladder included.

    uv run python tests/benchmarks/compile_time.py [MODEL ...] [--threads 2]

Every compile is a process of its own and verifies all samples of ``test.npz`` beside the model.
Times are medians over the repeats. Memory is the largest seen in any repeat: of the compiler
alone (resident set), and where Lava runs, of it and all processes that it starts together
(proportional set, read twice a second).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from machine import describe_machine, restrict_to, write

ROOT = Path(__file__).parents[2]
DEFAULTS = tuple(ROOT / "models" / name for name in ("fashion_mnist_cnn", "digits_mlp"))
POLL_S = 0.01
FAMILY_EVERY = 50


def main() -> None:
    arguments = read_arguments()
    restrict_to(arguments.threads)
    if arguments.one:
        write(json.dumps(compile_once(arguments)))
        return
    write(f"\n{describe_machine(arguments.threads)}\n")
    for model in arguments.models:
        for lowering in arguments.lowering:
            runs = [run_alone(arguments, model, lowering) for _ in range(arguments.repeats)]
            print_table(model, lowering, runs)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    models = [folder / "model.onnx" for folder in DEFAULTS]
    parser.add_argument("models", nargs="*", type=Path, default=models)
    parser.add_argument(
        "--test", type=Path, help="npz file; test.npz beside the model if absent"
    )
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--lowering", nargs="+", default=["temporal", "spatial"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", action="store_true", help="one compile, answered as JSON")
    return parser.parse_args()


def run_alone(arguments: argparse.Namespace, model: Path, lowering: str) -> dict[str, Any]:
    """Compile in a new process and return what `compile_once` found."""
    options = ["--one", "--lowering", lowering, "--threads", str(arguments.threads)]
    for name in ("test", "calibration"):
        path = getattr(arguments, name)
        options += [f"--{name}", str(path)] if path else []
    done = subprocess.run(
        [sys.executable, __file__, str(model), *options], check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout)


def compile_once(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compile the first model once.

    Returns:
        ``stages``: by name ``[seconds, peak bytes of this process, of all processes]``, and
        ``ladder``: by rung its status and number of samples.
    """
    began = time.perf_counter()
    from toolchain.pipeline import Options, compile_model

    model = arguments.models[0]
    watch = Watch(began)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            model=model,
            test=arguments.test or model.with_name("test.npz"),
            calibration=arguments.calibration,
            lowering=arguments.lowering[0],
            output=Path(folder, "build"),
        )
        report = compile_model(options, progress=watch.enter)
    return {
        "stages": watch.finish(),
        "ladder": {rung.rung: [rung.status, rung.samples] for rung in report.ladder},
        "size": [report.neurons, report.synapses],
    }


class Watch:
    """Time and memory of the stages that the compiler tells of."""

    def __init__(self, began: float) -> None:
        self.stages: dict[str, list[float]] = {}
        self._stage, self._began = "start", began
        self._done = threading.Event()
        self._poll = threading.Thread(target=self._watch, daemon=True)
        self._poll.start()

    def enter(self, stage: str, *_: int) -> None:
        """Note that ``stage`` is running from now on."""
        now = time.perf_counter()
        self._of(self._stage)[0] += now - self._began
        self._stage, self._began = stage, now

    def finish(self) -> dict[str, list[float]]:
        """Return what was found by stage."""
        self.enter(self._stage)
        self._done.set()
        self._poll.join()
        return self.stages

    def _of(self, stage: str) -> list[float]:
        return self.stages.setdefault(stage, [0.0, 0.0, 0.0])

    def _watch(self) -> None:
        polls = 0
        while not self._done.wait(POLL_S):
            polls += 1
            found = self._of(self._stage)
            found[1] = max(found[1], resident_bytes())
            if polls % FAMILY_EVERY == 0:
                found[2] = max(found[2], family_bytes())


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def family_bytes() -> int:
    """Return the proportional set of this process and all it has started; 0 if none runs."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    if len(family) == 1:
        return 0
    return sum(proportional_bytes(pid) for pid in family)


def proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def print_table(model: Path, lowering: str, runs: list[dict[str, Any]]) -> None:
    neurons, synapses = runs[0]["size"]
    rungs = ", ".join(
        f"{rung} {status} ({samples})" for rung, (status, samples) in runs[0]["ladder"].items()
    )
    write(
        f"\n{model.parent.name}/{model.name}, {lowering}: {neurons:,} neurons, {synapses:,} "
        f"synapses, {len(runs)} repeats\nrungs (samples): {rungs}\n\n"
        "| stage | seconds | lowest to highest | compiler, MiB | with Lava, MiB |\n"
        "|---|--:|--:|--:|--:|\n"
    )
    for stage in runs[0]["stages"]:
        print_row(stage, [run["stages"][stage] for run in runs])
    totals = [[*map(sum, zip(*run["stages"].values(), strict=True))][:1] for run in runs]
    peaks = [
        [max(values) for values in zip(*run["stages"].values(), strict=True)] for run in runs
    ]
    print_row("total", [[*total, *peak[1:]] for total, peak in zip(totals, peaks, strict=True)])


def print_row(stage: str, found: list[list[float]]) -> None:
    seconds = [values[0] for values in found]
    alone, family = (max(values[column] for values in found) / 2**20 for column in (1, 2))
    write(
        f"| {stage} | {statistics.median(seconds):.2f} | {min(seconds):.2f} to "
        f"{max(seconds):.2f} | {alone:.0f} | {f'{family:.0f}' if family else ''} |\n"
    )


if __name__ == "__main__":
    main()
