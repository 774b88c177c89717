"""Count mode on a GPU, through torch."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from targets.simulator.lazy_counts import LazyCounts
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program
from toolchain.errors import CompileError
from toolchain.ir.graph import Graph
from toolchain.ir.snn import Spiking

if TYPE_CHECKING:
    from targets.torch_counts.network import TorchNetwork


def _run(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    network = _network(program.graph)
    names = [node.name for node in program.graph.of_type(Spiking)]
    return Execution(
        readout=network.readout(inputs),
        counts=LazyCounts(names, lambda: network.counts(inputs)),
    )


@functools.lru_cache(maxsize=1)
def _network(graph: Graph) -> TorchNetwork:
    """Return the network on its device, built for the first of many pieces of a data set."""
    from targets.torch_counts.device import batch_size, chosen_device
    from targets.torch_counts.network import TorchNetwork

    device = chosen_device()
    return TorchNetwork(graph, device, batch_size(graph, device))


def missing() -> str | None:
    """Return why the engine cannot run here and how to mend that; `None` if it can."""
    try:
        from targets.torch_counts.device import missing_device

        return missing_device()
    except CompileError as error:
        return f"{error.problem}; {error.hint}"


ENGINES.register("gpu")(Engine("gpu", _run, missing))
