"""A quantized graph on a device: built, tested and timed once, then run on batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from targets.torch_counts._torch import torch
from targets.torch_counts.arithmetic import exact_arithmetic
from targets.torch_counts.device import to_device
from targets.torch_counts.neurons import Joint, Population, Readout
from targets.torch_counts.passing import Rearranged, max_pool
from targets.torch_counts.self_test import fastest_exact, require_exact
from toolchain.errors import VerifyError
from toolchain.ir.ann import Add, Conv, Dense, Input, MaxPool, Output, Rearrange
from toolchain.ir.ends import encoded_inputs
from toolchain.ir.graph import Graph
from toolchain.ir.lifetimes import last_readers
from toolchain.ir.node import Node
from toolchain.ir.packing import pack
from toolchain.ir.snn import Spiking

Values: TypeAlias = npt.NDArray[Any]


class TorchNetwork:
    """A quantized graph on a device.

    Between layers, spike counts are float32, which each layer turns into its own type.

    Attributes:
        batch: Samples at a time. The last batch is filled up, because what was tested on one
            shape is known for that shape.
        forms: By layer the name of the form that computes its sums.
    """

    def __init__(self, graph: Graph, device: Any, batch: int) -> None:
        self.batch = batch
        self.forms: dict[str, str] = {}
        self._graph = graph
        self._device = device
        self._last = last_readers(graph)
        self._entries = {node.name: _entry_type(node) for node in graph.inputs}
        with exact_arithmetic():
            self._steps = {node.name: self._step(node) for node in graph}

    def readout(self, x: Values) -> Values:
        """Return what leaves the last layer, ``(samples, *shape)``, int64.

        Args:
            x: Encoded samples ``(samples, *encoded shape)``, integers.
        """
        found: dict[str, list[Any]] = {node.name: [] for node in self._graph.outputs}
        with exact_arithmetic():
            for node, value in self._run(x):
                if isinstance(node, Output):
                    found[node.name].append(value)
            sums = (torch.cat(parts)[: len(x)].cpu().numpy() for parts in found.values())
            return pack(list(sums))

    def counts(self, x: Values) -> dict[str, Values]:
        """Return the spike counts ``(samples, *shape)`` of all populations, uint16.

        Args:
            x: As for `readout`.
        """
        found: dict[str, list[Values]] = {n.name: [] for n in self._graph.of_type(Spiking)}
        with exact_arithmetic():
            for node, value in self._run(x):
                if isinstance(node, Spiking):
                    found[node.name].append(value.cpu().numpy().astype(np.uint16))
        return {name: np.concatenate(parts)[: len(x)] for name, parts in found.items()}

    def _run(self, x: Values) -> Iterator[tuple[Node, Any]]:
        """Yield each node with its output for every batch, keeping what is still to be read."""
        entries = encoded_inputs(self._graph, x)
        for start in range(0, len(x), self.batch):
            values: dict[str, Any] = {}
            for node in self._graph:
                inputs = [values[name] for name in node.inputs]
                step = self._steps[node.name]
                if isinstance(node, Input):
                    inputs = [entries[node.name][start : start + self.batch]]
                values[node.name] = step(*inputs)
                yield node, values[node.name]
                for name in self._last[node.name]:
                    del values[name]

    def _step(self, node: Node) -> Callable[..., Any]:
        """Return the function of a node on the device."""
        if isinstance(node, (Dense, Conv)):
            form, sums = fastest_exact(self._graph, node, self.batch, self._device)
            self.forms[node.name] = form.name
            return sums
        if isinstance(node, Spiking):
            population = Population(self._graph, node, self._device)
            require_exact(self._graph, node, population, self._device)
            return population
        if isinstance(node, MaxPool):
            return functools.partial(max_pool, node)
        return self._plain_step(node)

    def _plain_step(self, node: Node) -> Callable[..., Any]:
        """Return the function of a node that computes nothing to be tested."""
        if isinstance(node, Input):
            return functools.partial(self._enter, self._entries[node.name])
        if isinstance(node, Rearrange):
            return Rearranged(node, self._device)
        if isinstance(node, Add):
            return Joint(self._graph, node)
        if isinstance(node, Output):
            return Readout(self._graph, node, self._device)
        raise NotImplementedError(node.kind)

    def _enter(self, kind: type[np.integer[Any]], x: Values) -> Any:
        """Return a full batch of encoded samples on the device."""
        filled = np.zeros((self.batch, *x.shape[1:]), kind)
        filled[: len(x)] = x
        return to_device(filled, self._device)


def _entry_type(node: Input) -> type[np.integer[Any]]:
    """Return the narrowest type of what enters at an input, which travels in it."""
    code = node.encoding
    if code is None:
        raise VerifyError("has no integers that stand for a sample", node=node.name)
    return next(
        kind
        for kind in (np.uint8, np.int8, np.int16, np.int64)
        if np.iinfo(kind).min <= code.low and code.high <= np.iinfo(kind).max
    )
