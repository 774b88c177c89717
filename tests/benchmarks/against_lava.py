"""Throughput of both simulators against the stock Lava CPU simulator and onnxruntime.

    uv run python tests/benchmarks/against_lava.py [MODEL --test X.npz] [--threads 2]

Compiles the model, checks that all engines give the same integers, then measures all in one
run: each repeat runs every contender once, one after the other, so that a busy machine is busy
for all of them. Figures are medians over the repeats. Lava is measured twice in each repeat,
with one sample and with several: the difference is what a further sample costs once its
processes run. Everything, Lava's processes included, gets the same cores and threads.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine import describe_machine, restrict_to, write

if TYPE_CHECKING:
    from contest import Contender

    from toolchain.engine import Program

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "models" / "fashion_mnist_cnn"


def main() -> None:
    arguments = read_arguments()
    restrict_to(arguments.threads)
    from contest import as_data, table
    from page import rewrite

    machine = describe_machine(arguments.threads)
    write(f"\n{machine}\n")
    found, texts = {}, []
    for lowering in arguments.lowering:
        with tempfile.TemporaryDirectory() as folder:
            title, program = compiled(arguments, lowering, Path(folder, "build"))
            rows = measure(arguments, lowering, program)
        texts.append(f"{title}\n\n{table(rows, rows[-2:])}")
        found[lowering] = as_data(rows)
        write(f"\n{texts[-1]}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "found": found}, indent=1))
    if arguments.page:
        rewrite("lava", machine + "\n\n" + "\n".join(texts))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, default=DEFAULT / "model.onnx")
    parser.add_argument(
        "--test", type=Path, help="npz file; test.npz beside the model if absent"
    )
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--levels", type=int, default=15)
    parser.add_argument("--lowering", nargs="+", default=["temporal", "spatial"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1000, help="for all but Lava")
    parser.add_argument("--lava-samples", type=int, default=6, help="in its longer run")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true", help="rewrite docs/benchmarks.md")
    arguments = parser.parse_args()
    arguments.test = arguments.test or arguments.model.with_name("test.npz")
    return arguments


def compiled(arguments: argparse.Namespace, lowering: str, folder: Path) -> tuple[str, Program]:
    """Compile the model; return what was compiled, in words, and the program."""
    from toolchain.engine import Program
    from toolchain.execution import CIRCUIT_FILE, GRAPH_FILE
    from toolchain.ir.archive import load_archive
    from toolchain.ir.graph import Graph
    from toolchain.ir.mapped import Circuit
    from toolchain.options import Options
    from toolchain.pipeline import compile_model

    options = Options(
        model=arguments.model,
        calibration=arguments.calibration,
        levels=arguments.levels,
        lowering=lowering,
        formats=("lava",),
        output=folder,
    )
    report = compile_model(options)
    broken = [rung.rung for rung in report.ladder if rung.status != "ok"]
    if broken:
        raise SystemExit(f"not measured: {', '.join(broken)} did not keep what they promise")
    title = (
        f"**{arguments.model.parent.name}**, {lowering}, {report.levels} levels: "
        f"{report.neurons:,} neurons, {report.synapses:,} synapses, a sample every "
        f"{report.period} time steps"
    )
    graph = load_archive(folder / GRAPH_FILE, Graph)
    return title, Program(graph, load_archive(folder / CIRCUIT_FILE, Circuit), folder)


def measure(arguments: argparse.Namespace, lowering: str, program: Program) -> list[Contender]:
    """Check that the engines agree and run the contenders; the last two are Lava."""
    import numpy as np
    from contest import Contender

    from targets.formats.lava_process import run_on_lava
    from toolchain.data import load_samples
    from toolchain.engine import ENGINES
    from toolchain.ir.reference import encode

    graph, circuit = program.graph, program.circuit
    x = load_samples(arguments.test, graph.input.source_shape, labelled=None).x
    x = x[: arguments.samples]
    inputs = encode(graph.input, x).astype(np.int64)
    several = min(arguments.lava_samples, len(inputs))

    def engine(name: str, samples: int) -> Contender:
        run = ENGINES[name].run
        return Contender(f"{name} mode", samples, lambda: run(program, inputs, trace=False))

    def lava(samples: int) -> Contender:
        return Contender("Lava", samples, lambda: run_on_lava(circuit, inputs[:samples]))

    check_agreement(program, inputs[:several])
    fast = [
        Contender("onnxruntime, float", len(x), source_model(arguments, x)),
        engine("count", len(x)),
        engine("step", len(x)),
    ]
    one, more = lava(1), lava(several)
    marginal = Contender("Lava, a further sample", several - 1, lambda: None)
    for contender in fast:
        contender.run()
    for _ in range(arguments.repeats):
        for contender in (*fast, one, more):
            began = time.perf_counter()
            contender.run()
            contender.rates.append(contender.samples / (time.perf_counter() - began))
        further_s = several / more.rates[-1] - 1 / one.rates[-1]
        marginal.rates.append(marginal.samples / further_s)
    more.name = f"Lava, {several} samples with start-up"
    return [*fast, marginal, more]


def check_agreement(program: Program, inputs: Any) -> None:
    """Stop if the engines do not give the same integers."""
    import numpy as np

    from toolchain.engine import ENGINES

    readouts = [
        ENGINES[name].run(program, inputs, trace=False).readout
        for name in ("count", "step", "lava")
    ]
    if not all(np.array_equal(readouts[0], readout) for readout in readouts):
        raise SystemExit("not measured: the engines do not give the same integers")


def source_model(arguments: argparse.Namespace, x: Any) -> Callable[[], Any]:
    """Return a function that runs the float model, all samples in one batch where it can."""
    import numpy as np
    from runtimes import onnxruntime_runner

    from toolchain.frontend import import_model

    model = import_model(arguments.model)
    session = onnxruntime_runner(model.source.runnable(), arguments.threads)
    given = x.astype(model.graph.input.dtype)
    batches = np.split(given, len(given)) if model.has_fixed_batch else [given]

    def run() -> None:
        for batch in batches:
            session(batch)

    return run


if __name__ == "__main__":
    main()
