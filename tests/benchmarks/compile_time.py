"""Time and memory of a compile, stage by stage, all rungs of the ladder included.

    uv run python tests/benchmarks/compile_time.py [MODEL ...] [--threads 2]
    uv run python tests/benchmarks/compile_time.py vgg16 lenet --without-lava --profile 8

A model is an ONNX file, or a network of `networks`, which is built with random samples. Every
compile is a process of its own and verifies all samples of ``test.npz`` beside the model.
Times are medians over the repeats; processor seconds are those of all cores together, which a
machine that is shared changes less. Memory is the largest seen in any repeat: of the compiler
alone (the peak that Linux keeps, set back at every stage), and where Lava runs, of it and all
processes that it starts together (proportional set, read twice a second). ``--profile``
compiles once more with Python's profiler and lists the functions that take the most time in
each stage; it slows what calls many functions.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from machine import describe_machine, forget_peak, memory_bytes, restrict_to, write
from page import rewrite

ROOT = Path(__file__).parents[2]
DEFAULTS = tuple(ROOT / "models" / name for name in ("fashion_mnist_cnn", "digits_mlp"))
GENERATED_SAMPLES = 128
GOAL_MODEL, GOAL_S, GOAL_TIMES = "vgg16", 20, 4
POLL_S = 0.5
SHORT_S = 0.2


def main() -> None:
    arguments = read_arguments()
    restrict_to(arguments.threads)
    if arguments.one:
        write(json.dumps(compile_once(arguments)))
        return
    machine = describe_machine(arguments.threads)
    write(f"\n{machine}\n")
    found, profiles = [], []
    with tempfile.TemporaryDirectory() as folder:
        for text in arguments.models:
            model = Path(text) if Path(text).exists() else generated(text, Path(folder))
            for lowering in arguments.lowering:
                runs = [run_alone(arguments, model, lowering) for _ in range(arguments.repeats)]
                write(table(model, lowering, runs))
                found.append({"model": text, "lowering": lowering, "runs": runs})
                if arguments.profile:
                    profiled = run_alone(arguments, model, lowering, is_profiled=True)
                    profiles.append(f"{text}, {lowering}\n{profiled['profile']}")
                    write(profiles[-1])
    summary = growth(found) + goal(found) + stages_of(found)
    write(summary)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "found": found}, indent=1))
    if arguments.page:
        rewrite("compile", f"{machine}\n\n{summary}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    models = [str(folder / "model.onnx") for folder in DEFAULTS]
    parser.add_argument("models", nargs="*", default=models)
    parser.add_argument(
        "--test", type=Path, help="npz file; test.npz beside the model if absent"
    )
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--lowering", nargs="+", default=["temporal", "spatial"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without-lava", action="store_true", help="as if it were absent")
    parser.add_argument("--profile", type=int, default=0, metavar="N", help="functions a stage")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true", help="rewrite docs/benchmarks.md")
    parser.add_argument("--one", action="store_true", help="one compile, answered as JSON")
    return parser.parse_args()


def generated(text: str, folder: Path) -> Path:
    """Write a network of `networks` with its samples; return the path of the model."""
    import numpy as np
    import onnx
    from networks import build, draw_samples, read_network
    from runtimes import onnxruntime_runner

    network = read_network(text)
    model = build(network)
    place = folder / text.replace(":", "_")
    place.mkdir()
    for seed, name in enumerate(("calibration", "test"), 2):
        x = draw_samples(network, GENERATED_SAMPLES, seed)
        y = onnxruntime_runner(model.SerializeToString(), 1)(x)[0].argmax(axis=1)
        np.savez(place / f"{name}.npz", x=x, y=y)
    onnx.save(model, place / "model.onnx")
    return place / "model.onnx"


def run_alone(
    arguments: argparse.Namespace, model: Path, lowering: str, *, is_profiled: bool = False
) -> dict[str, Any]:
    """Compile in a new process and return what `compile_once` found."""
    options = ["--one", "--lowering", lowering, "--threads", str(arguments.threads)]
    for name in ("test", "calibration"):
        path = getattr(arguments, name)
        options += [f"--{name}", str(path)] if path else []
    options += ["--without-lava"] if arguments.without_lava else []
    options += ["--profile", str(arguments.profile)] if is_profiled else []
    done = subprocess.run(
        [sys.executable, __file__, str(model), *options], check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout)


def compile_once(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compile the first model once.

    Returns:
        ``base``: bytes that the process holds after its imports; ``stages``: by name
        ``[seconds, peak bytes of this process, of all processes]``; ``processor_s``: time of
        all cores, imports included; ``ladder``: by rung its status and number of samples;
        ``size``: neurons and synapses; ``float_bytes``: of the model's file; ``profile``: text.
    """
    began = time.perf_counter()
    if arguments.without_lava:
        sys.modules["lava"] = None  # type: ignore[assignment]
    from toolchain.options import Options
    from toolchain.pipeline import compile_model

    model = Path(arguments.models[0])
    watch = Watch(began, is_profiling=bool(arguments.profile))
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
        "base": watch.base,
        "stages": watch.finish(),
        "processor_s": sum(os.times()[:2]),
        "ladder": {rung.rung: [rung.status, rung.samples] for rung in report.ladder},
        "size": [report.neurons, report.synapses],
        "float_bytes": model.stat().st_size,
        "profile": watch.profile(arguments.profile),
    }


class Watch:
    """Time and memory of the stages that the compiler tells of."""

    def __init__(self, began: float, *, is_profiling: bool) -> None:
        self.stages: dict[str, list[float]] = {}
        self.base = memory_bytes("VmRSS")
        self._profiles: dict[str, cProfile.Profile] | None = {} if is_profiling else None
        self._stage, self._began = "start", began
        self._done = threading.Event()
        self._poll = threading.Thread(target=self._watch_family, daemon=True)
        self._poll.start()

    def enter(self, stage: str, *_: int) -> None:
        """Note that ``stage`` is running from now on."""
        if stage == self._stage:
            return
        self._leave()
        self._stage, self._began = stage, time.perf_counter()
        if self._profiles is not None:
            self._profiles.setdefault(stage, cProfile.Profile()).enable()

    def finish(self) -> dict[str, list[float]]:
        """Return what was found by stage."""
        self._leave()
        self._done.set()
        self._poll.join()
        return self.stages

    def profile(self, number: int) -> str:
        """Return the functions that took the most time in each stage of some length."""
        text = io.StringIO()
        for stage, profile in (self._profiles or {}).items():
            if self.stages[stage][0] > SHORT_S:
                text.write(f"\n== {stage}, {self.stages[stage][0]:.2f} s\n")
                found = pstats.Stats(profile, stream=text).strip_dirs()
                found.sort_stats("tottime").print_stats(number)
        return text.getvalue()

    def _leave(self) -> None:
        if self._profiles is not None and self._stage in self._profiles:
            self._profiles[self._stage].disable()
        found = self._of(self._stage)
        found[0] += time.perf_counter() - self._began
        found[1] = max(found[1], memory_bytes("VmHWM"))
        forget_peak()

    def _of(self, stage: str) -> list[float]:
        return self.stages.setdefault(stage, [0.0, 0.0, 0.0])

    def _watch_family(self) -> None:
        while not self._done.wait(POLL_S):
            found = self._of(self._stage)
            found[2] = max(found[2], family_bytes())


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


def table(model: Path, lowering: str, runs: list[dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each stage."""
    neurons, synapses = runs[0]["size"]
    rungs = ", ".join(
        f"{rung} {status} ({samples})" for rung, (status, samples) in runs[0]["ladder"].items()
    )
    lines = [
        f"\n{model.parent.name}/{model.name}, {lowering}: {neurons:,} neurons, {synapses:,} "
        f"synapses, {len(runs)} repeats; {runs[0]['base'] / 2**20:.0f} MiB after imports\n"
        f"rungs (samples): {rungs}\n",
        "| stage | seconds | lowest to highest | compiler, MiB | with Lava, MiB |",
        "|---|--:|--:|--:|--:|",
    ]
    for stage in runs[0]["stages"]:
        lines.append(row(stage, [run["stages"][stage] for run in runs]))
    lines.append(row("total", [total(run) for run in runs]))
    return "\n".join(lines) + "\n"


def total(run: dict[str, Any]) -> list[float]:
    """Return seconds and peaks of all stages together."""
    taken, alone, family = zip(*run["stages"].values(), strict=True)
    return [sum(taken), max(alone), max(family)]


def row(stage: str, found: list[list[float]]) -> str:
    """Return a row of `table`."""
    seconds = [values[0] for values in found]
    alone, family = (max(values[column] for values in found) / 2**20 for column in (1, 2))
    return (
        f"| {stage} | {statistics.median(seconds):.2f} | {min(seconds):.2f} to "
        f"{max(seconds):.2f} | {alone:.0f} | {f'{family:.0f}' if family else ''} |"
    )


def growth(found: list[dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each model and lowering."""
    lines = [
        "\n| model | lowering | model, MB | neurons | seconds | lowest to highest | processor "
        "seconds | stepped | peak above imports, MB | x model |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for one in found:
        runs = one["runs"]
        seconds = [total(run)[0] for run in runs]
        extra = max(total(run)[1] - run["base"] for run in runs)
        size = runs[0]["float_bytes"]
        cells = (
            str(one["model"]).removeprefix(f"{ROOT}/"),
            one["lowering"],
            f"{size / 1e6:.2f}",
            f"{runs[0]['size'][0]:,}",
            f"{statistics.median(seconds):.1f}",
            f"{min(seconds):.1f} to {max(seconds):.1f}",
            f"{statistics.median(run['processor_s'] for run in runs):.1f}",
            str(min(run["ladder"]["step"][1] for run in runs)),
            f"{extra / 1e6:.0f}",
            f"{extra / size:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def goal(found: list[dict[str, Any]]) -> str:
    """Return what VGG-16 was to take at most, if that was measured."""
    runs = next((one["runs"] for one in found if one["model"] == GOAL_MODEL), [])
    if not runs:
        return ""
    seconds = statistics.median(total(run)[0] for run in runs)
    times = max((total(run)[1] - run["base"]) / run["float_bytes"] for run in runs)
    verdicts = [
        "reached" if is_met else "**missed**"
        for is_met in (seconds < GOAL_S, times < GOAL_TIMES)
    ]
    return (
        f"\nVGG-16 is to take less than {GOAL_S} s: {seconds:.1f} s, {verdicts[0]}; and less "
        f"than {GOAL_TIMES} times its model in memory: {times:.1f} times, {verdicts[1]}.\n"
    )


def stages_of(found: list[dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each stage and a column for each compile."""
    heads = [f"{one['model']}, {one['lowering']}" for one in found]
    heads = [head.removeprefix(f"{ROOT}/") for head in heads]
    stages = dict.fromkeys(stage for one in found for stage in one["runs"][0]["stages"])
    lines = [
        "\nSeconds, and peak above imports in MB, of each stage:\n",
        f"| stage | {' | '.join(heads)} |",
        f"|---|{'--:|' * len(found)}",
    ]
    for stage in stages:
        cells = (cell(one["runs"], stage) for one in found)
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(runs: list[dict[str, Any]], stage: str) -> str:
    """Return what a stage took, empty where there was none."""
    ran = [(run["stages"][stage], run["base"]) for run in runs if stage in run["stages"]]
    if not ran:
        return ""
    seconds = statistics.median(found[0] for found, _ in ran)
    peak = max(found[1] - base for found, base in ran)
    return f"{seconds:.1f} s, {peak / 1e6:.0f}"


if __name__ == "__main__":
    main()
