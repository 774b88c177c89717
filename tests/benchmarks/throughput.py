"""Samples per second of our engines against everybody else's, on LeNet, VGG-16 and ResNet-18.

    python tests/benchmarks/throughput.py [--networks vgg16 ...] [--json FILE] [--page]

One process holds all contenders of a comparison and gives each a turn in every round
(`contest`). ``--page`` rewrites the section of ``docs/benchmarks.md``, or with
``--without-openvino`` that of stock onnxruntime. What is not installed is left out and named:
OpenVINO, and the simulators on torch (`peers`), which need

    pip install torch spikingjelly snntorch norse sinabs
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from machine import describe_machine, restrict_to, write

CALIBRATION = 64
BATCHES = (64, 1)


def main() -> None:
    arguments = read_arguments()
    restrict_to(arguments.threads)
    if arguments.without_openvino:
        sys.modules["openvino"] = None  # type: ignore[assignment]
    from goals import HEAD
    from page import rewrite

    machine = describe_machine(arguments.threads)
    write(f"{machine}\n")
    found = []
    for name in arguments.networks:
        for batch in arguments.batches:
            found.append(compare(name, batch, arguments))
            write(f"{found[-1]['title']}\n\n{found[-1]['table']}\n")
    goals = [row for one in found for row in one["goals"]]
    if goals:
        write(HEAD + "\n".join(goals) + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "found": found}, indent=1))
    if arguments.page:
        tables = "\n".join(f"{one['title']}\n\n{one['table']}" for one in found)
        text = HEAD + "\n".join(goals) + f"\n\n{tables}"
        section = "stock" if arguments.without_openvino else "throughput"
        rewrite(section, f"{machine}\n\n{text}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    networks = ["lenet", "vgg16", "resnet18"]
    parser.add_argument("--networks", nargs="+", default=networks, help="see networks.py")
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--levels", type=int, default=15, help="of the count engine")
    parser.add_argument("--time-steps", nargs="*", type=int, default=[8, 32])
    parser.add_argument(
        "--without-openvino", action="store_true", help="as if it were not there"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn", type=float, default=0.4, help="least seconds of a turn")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true", help="rewrite docs/benchmarks.md")
    return parser.parse_args()


def compare(name: str, batch: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure all contenders on one network; step simulators take their own best batch."""
    from contest import Effort, as_data, load, race, report_progress, table
    from goals import reached
    from networks import build, count_multiplications, count_weights, draw_samples, read_network

    network = read_network(name)
    report_progress(f"{network}, batch {batch}: building")
    model = build(network)
    x = draw_samples(network, max(64, batch), seed=2)
    contenders = [
        *in_runtimes(model, x[:batch], arguments),
        *in_ours(model, x, batch, arguments),
    ]
    if batch == max(arguments.batches):
        contenders += in_peers(model, x, arguments)
    report_progress(f"{network}, batch {batch}: measuring {len(contenders)} contenders")
    before = load()
    race(contenders, Effort(arguments.rounds, arguments.turn))
    bases = [
        row for row in contenders if row.name in ("onnxruntime float32", "onnxruntime int8")
    ]
    title = (
        f"**{network}**, batch {batch}: {count_weights(model) / 1e6:.2f} M weights, "
        f"{count_multiplications(model) / 1e6:.3g} M multiplications a sample; load {before} "
        f"before and {load()} after"
    )
    return {
        "title": title,
        "table": table(contenders, bases),
        "goals": reached(name, batch, contenders),
        "rows": as_data(contenders),
    }


def in_runtimes(model: Any, x: Any, arguments: argparse.Namespace) -> list[Any]:
    """Return the source network in inference runtimes."""
    import runtimes

    quantized = runtimes.quantize_statically(model, x)
    contenders = [
        runtimes.onnxruntime_float(model, x, arguments.threads),
        runtimes.onnxruntime_int8(quantized, x, arguments.threads),
    ]
    if not runtimes.has_openvino():
        write("left out, because it is not installed: OpenVINO\n")
        return contenders
    for name, given in (("OpenVINO float32", model), ("OpenVINO int8", quantized)):
        contenders.append(runtimes.openvino_contender(name, given, x, arguments.threads))
    return contenders


def in_ours(model: Any, x: Any, batch: int, arguments: argparse.Namespace) -> list[Any]:
    """Return our engines, which have to agree before they are measured."""
    import ours

    from toolchain.errors import CompileError

    graph = ours.imported(model)
    calibration = x[:CALIBRATION]

    def program(levels: int) -> Any:
        return ours.compiled(graph, calibration, levels=levels, lowering="temporal")

    counted = program(arguments.levels)
    contenders = [ours.engine("count", counted, x[:batch])]
    if batch > 1:
        contenders.append(ours.measured(counted, x[:batch]))
    if batch == max(arguments.batches):
        for levels in arguments.time_steps:
            try:
                stepped = program(levels)
            except CompileError as error:
                write(f"left out, because it is refused: {levels} levels\n{error}\n")
                continue
            contenders.append(ours.traces(stepped, x[:batch]))
            if levels != arguments.time_steps[0]:
                continue
            ours.require_agreement(stepped, x[:2])
            few = min(batch, ours.STEP_BATCH)
            contenders.append(ours.engine("step", stepped, x[:few], trace=True))
            contenders[-1].note = f"batch {few}, all spikes kept"
    return contenders


def in_peers(model: Any, x: Any, arguments: argparse.Namespace) -> list[Any]:
    """Return the simulators that step through time."""
    import peers
    from contest import report_progress

    missing = peers.missing_peers()
    if missing:
        write(f"left out, because they are not installed: {', '.join(missing)}\n")
    present = [name for name in peers.PEERS if name not in missing]
    if present:
        import torch

        torch.set_num_threads(arguments.threads)
    contenders = []
    for name in present if arguments.time_steps else ():
        report_progress(f"the best batch of {name}")
        contenders += peers.peer(name, model, x, arguments.time_steps)
    return contenders


if __name__ == "__main__":
    main()
