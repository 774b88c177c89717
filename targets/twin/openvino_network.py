r"""The network in OpenVINO, where it is installed: another way to the same sums.

OpenVINO runs the layers of a population of bytes as

.. math:: \mathrm{rint}(\mathrm{clip}(\mathrm{fl}(\mathrm{fl}(S \sigma) + \beta), 0, L))

with a bias :math:`\beta` in float32 behind the scale, and adds branches up there, too. With
:math:`\sigma = 1 / \theta` and :math:`\beta = (o - \theta / 2 + 1 / 2) / \theta` steps lie half
way between two sums, at a distance of :math:`1 / (2 \theta)` from either. With K layers there
are 3 K + 1 roundings (of each scale, each product, the bias, and as many sums), each by a part
of :math:`2^{-24}` of a number that is at most :math:`(A + |o| + \theta) / \theta` where no sum
goes beyond A. So counts are right if :math:`(3 K + 2) (A + |o| + \theta) < 2^{23}`. An earlier
window of neurons that remember is one more layer, and what it takes is part of A.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.twin.activity import Census
from targets.twin.joining import WEIGHT_MAX
from targets.twin.layout import Layout
from targets.twin.scaling import joins_one_by_one
from targets.twin.self_test import Case, Values
from targets.twin.signals import BYTE_MAX, Signal
from targets.twin.sums import largest_potential, largest_sum
from targets.twin.windowed import parts_of
from toolchain.bounds import Layer
from toolchain.ir.ann import Dense
from toolchain.ir.snn import Spiking

_LIMIT = 2**23
_FLOAT32_MAX = 2**24


def is_installed() -> bool:
    """Tell whether OpenVINO is at hand."""
    return importlib.util.find_spec("openvino") is not None


def is_exact(layout: Layout) -> bool:
    """Tell whether OpenVINO's roundings leave every count of a network what it is.

    It is asked of networks with one input and one output alone.
    """
    graph = layout.graph
    if len(graph.inputs) > 1 or len(graph.outputs) > 1:
        return False
    for form in layout.forms.values():
        if isinstance(form, str) or any(part.own is not None for part in parts_of(form)):
            return False
    entry = layout.signals[graph.input.name]
    if entry.low < 0 and (entry.low < -BYTE_MAX // 2 or entry.high > BYTE_MAX // 2):
        return False
    layers, read = layout.layers_into(graph.output)
    is_plain = all(isinstance(layer, Dense) and _is_narrow(layer) for layer in layers)
    if not is_plain or largest_sum(layers, read) >= _FLOAT32_MAX:
        return False
    return all(_has_exact(node, *layout.layers_into(node)) for node in graph.of_type(Spiking))


def _has_exact(node: Spiking, layers: Sequence[Layer], signals: Sequence[Signal]) -> bool:
    largest = largest_potential(node, layers, signals) + int(np.max(node.threshold))
    narrow = all(_is_narrow(layer) or joins_one_by_one(layer) for layer in layers)
    summed = len(layers) + node.windows - 1
    return narrow and (3 * summed + 2) * largest < _LIMIT


def _is_narrow(layer: Layer) -> bool:
    return int(np.abs(layer.weight).max()) <= WEIGHT_MAX


class OpenVinoNetwork:
    """A network compiled by OpenVINO for batches of one length.

    Attributes:
        batch: Samples of every run.
        is_in_bytes: Whether every layer adds up bytes, as the proof takes for granted.
    """

    def __init__(
        self, layout: Layout, batch: int, threads: int, censuses: Collection[Census] = ()
    ) -> None:
        """Compile.

        Args:
            layout: Of a network that `is_exact`.
            batch: Samples of every run.
            threads: To run batches side by side.
            censuses: What is summed up of counts, each of sums that float32 holds.
        """
        from targets.twin.openvino_model import compiled, network, runs_in_bytes

        self.batch = batch
        model = compiled(network(layout, batch, censuses), threads)
        self.is_in_bytes = runs_in_bytes(model)
        self._threads, self._pool = threads, ThreadPoolExecutor(threads)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(threads):
            self._requests.put(model.create_infer_request())
        self._entry = layout.signals[layout.graph.input.name]

    def run(self, x: npt.NDArray[Any]) -> list[npt.NDArray[np.int64]]:
        """Return what leaves the last layer for encoded samples, a multiple of ``batch``.

        Behind it are the sums of the censuses.
        """
        fed = x.astype(np.uint8 if self._entry.low == 0 else np.int8)
        parts = [fed[start : start + self.batch] for start in range(0, len(fed), self.batch)]
        run_all = self._pool.map if len(parts) > 1 and self._threads > 1 else map
        found = zip(*run_all(self._run, parts), strict=True)
        return [np.rint(np.concatenate(values)).astype(np.int64) for values in found]

    def _run(self, part: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        request = self._requests.get()
        try:
            found = request.infer([part], share_inputs=True, share_outputs=True)
            return [found[number].copy() for number in range(len(found))]
        finally:
            self._requests.put(request)


def run_cases(layout: Layout, cases: Iterable[Case]) -> Iterator[tuple[Case, Values]]:
    """Run populations by themselves, compiled together, which is faster than one by one."""
    from targets.twin.openvino_model import compiled, populations

    cases = list(cases)
    request = compiled(populations(layout, cases), 1).create_infer_request()
    fed = [x.astype(np.float32) for case in cases for x in case.inputs.values()]
    found = request.infer(fed)
    return ((case, found[number]) for number, case in enumerate(cases))
