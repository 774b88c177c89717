"""Samples per second of the gpu engine, beside the card's own convolutions of the same shapes.

    python tests/benchmarks/gpu.py [--network vgg16] [--batch 512] [--device cuda]

Three contenders take turns in one process. The engine starts from encoded samples on the host
and ends with the outputs there. The card has its inputs beforehand: half-precision
convolutions, and int8 matrix products of the unrolled layers without the unrolling, nothing
between the layers. That is not the network, and gives no spike count; it says how fast torch
multiplies on this card. Before anything is measured, the engine has to give the integers of the
count engine.
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from machine import describe_machine, restrict_to, write

if TYPE_CHECKING:
    from toolchain.engine import Program

CALIBRATION = 64
COMPARED = 16
GOAL = 0.5


def main() -> None:
    arguments = read_arguments()
    restrict_to(arguments.threads)
    import torch

    device = torch.device(arguments.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    write(f"{card}; {describe_machine(arguments.threads)}\n")
    write(compare(arguments, device))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--network", default="vgg16", help="see networks.py")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--levels", type=int, default=15)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, ... or cpu, to try it")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turn", type=float, default=0.4, help="least seconds of a turn")
    return parser.parse_args()


def compare(arguments: argparse.Namespace, device: Any) -> str:
    """Return a table of the engine and the card, and what the engine chose."""
    from contest import Contender, Effort, race, table
    from networks import build, count_multiplications, draw_samples, read_network
    from ours import compiled, encoded, imported

    from targets.torch_counts.network import TorchNetwork

    model = build(read_network(arguments.network))
    samples = draw_samples(read_network(arguments.network), arguments.batch, seed=2)
    program = compiled(
        imported(model), samples[:CALIBRATION], levels=arguments.levels, lowering="temporal"
    )
    inputs = encoded(program, samples)
    network = TorchNetwork(program.graph, device, arguments.batch)
    require_agreement(network, program, inputs[:COMPARED])
    engine = Contender(
        f"gpu engine, {arguments.levels} levels",
        len(inputs),
        lambda: network.readout(inputs),
        note=", ".join(f"{n} {form}" for form, n in forms_of(network).items()),
    )
    card = [
        Contender(f"{name} alone", len(inputs), run)
        for name, run in products(program, arguments.batch, device).items()
    ]
    race([engine, *card], Effort(arguments.rounds, arguments.turn))
    rate = 2 * count_multiplications(model) * engine.median / 1e12
    shares = "; ".join(f"{engine.ratio(row):.0%} of {row.name}" for row in card)
    return (
        f"{table([engine, *card], card)}\n{rate:.3g} tera-operations a second; "
        f"{shares} (goal: {GOAL:.0%} of one of them)\n"
    )


def require_agreement(network: Any, program: Program, inputs: Any) -> None:
    """Stop if the engine does not give the integers of the count engine."""
    import numpy as np

    from toolchain.engine import ENGINES

    counted = ENGINES["count"].run(program, inputs, trace=False)
    counts = network.counts(inputs)
    if not np.array_equal(network.readout(inputs), counted.readout) or any(
        not np.array_equal(counts[name], of_name) for name, of_name in counted.counts.items()
    ):
        raise SystemExit("not measured: the engines do not give the same integers")


def forms_of(network: Any) -> dict[str, int]:
    """Return how many layers take each form."""
    return dict(collections.Counter(network.forms.values()))


def products(program: Program, batch: int, device: Any) -> dict[str, Callable[[], None]]:
    """Return by type the layers' multiplications, all of them in a row on random numbers."""
    from toolchain.ir.ann import Conv, Dense

    layers = [node for node in program.graph if isinstance(node, (Conv, Dense))]
    shapes = [program.graph.shapes[layer.inputs[0]] for layer in layers]
    return {
        "float16 convolutions": in_a_row(
            [half(*pair, batch, device) for pair in zip(layers, shapes, strict=True)], device
        ),
        "int8 matrix products": in_a_row(
            [int8(layer, program.graph.shapes[layer.name], batch, device) for layer in layers],
            device,
        ),
    }


def in_a_row(calls: list[Callable[[], Any]], device: Any) -> Callable[[], None]:
    """Return a function that makes all calls and waits for the device."""
    import torch

    def run() -> None:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True):
            for call in calls:
                call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

    return run


def half(layer: Any, shape: tuple[int, ...], batch: int, device: Any) -> Callable[[], Any]:
    """Return a layer in half precision, as torch has it."""
    import torch
    from torch.nn import functional

    x = torch.randn((batch, *shape), device=device, dtype=torch.float16)
    weight = torch.randn(layer.weight.shape, device=device, dtype=torch.float16)
    if len(shape) == 1:
        return lambda: functional.linear(x, weight)
    x, weight = (value.contiguous(memory_format=torch.channels_last) for value in (x, weight))
    (top, _), (left, _) = layer.padding
    return lambda: functional.conv2d(
        x, weight, None, layer.stride, (top, left), layer.dilation, layer.groups
    )


def int8(layer: Any, shape: tuple[int, ...], batch: int, device: Any) -> Callable[[], Any]:
    """Return a layer as a product of int8 matrices, sizes rounded up to multiples of 8."""
    import math

    import torch

    rows, terms = batch * math.prod(shape[1:]), layer.weight[0].size
    outputs = len(layer.weight)
    x = torch.randint(-128, 128, (rows, terms + -terms % 8), device=device, dtype=torch.int8)
    weight = torch.randint(
        -128, 128, (x.shape[1], outputs + -outputs % 8), device=device, dtype=torch.int8
    )
    return lambda: torch._int_mm(x, weight)


if __name__ == "__main__":
    main()
