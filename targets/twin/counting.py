"""Counts spikes by running a twin, in pieces that fit the machine.

A batch is run in chunks, because memory grows with a chunk and speed does not: the largest
layer of one is kept near the size of the caches. Chunks run side by side, a thread each, as
soon as every thread has one; that costs less than threads that share the work of one chunk.
What is too small to be divided is shared, or left to one thread.

Where OpenVINO is installed, exact for the network and faster, whole batches are its.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from targets.twin.activity import Census, census_value
from targets.twin.ends import signal_type
from targets.twin.layout import Layout, lay_out
from targets.twin.model import READOUT, network_model
from targets.twin.network import entry_signal, fired_value
from targets.twin.openvino_network import OpenVinoNetwork, is_exact, is_installed
from targets.twin.openvino_network import run_cases as run_in_openvino
from targets.twin.self_test import failures, run_cases
from targets.twin.sessions import open_session
from targets.twin.split_model import SplitModel
from toolchain.cores import cores
from toolchain.errors import MissingDependencyError
from toolchain.heap import trim_heap
from toolchain.ir.graph import Graph
from toolchain.ir.snn import Spiking

Ints: TypeAlias = npt.NDArray[np.int64]

_CHUNK_BYTES = 2 * 2**20
"""Size of the largest layer of a chunk, in bytes."""

_CHUNK_MIN, _CHUNK_MAX = 8, 256

_OPENVINO_MAX = 32
_RACES, _GAIN = 3, 1.2
"""How often OpenVINO races, and how many times faster it has to be: it loses more than
onnxruntime where other programs want the same cores."""

_SHARED_BYTES = 2**16
"""Size of all layers of a chunk from which threads share it."""


class CountingNetwork:
    """A network that is run in counts.

    Attributes:
        layout: How it is written for onnxruntime.
    """

    def __init__(self, layout: Layout, threads: int | None = None) -> None:
        """Prepare runs.

        Args:
            layout: How the network is written; `trusted_layout` gives one that can be trusted.
            threads: To run in; `None` takes one for each core.
        """
        self.layout = layout
        self._runner = _Runner(layout, threads or cores())
        self._networks_with_counts: dict[tuple[str, ...], _Sessions] = {}
        self._sums = _Fastest(self._runner)
        self._activity: _Fastest | None = None

    def sums(self, x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return what leaves the last layer, ``(samples, *shape)``, for encoded samples.

        Raises:
            EmitError: No type of ONNX holds the sums of a layer exactly.
        """
        (sums,) = self._sums.run(x)
        return sums.astype(np.int64)

    def is_for_openvino(self, samples: int) -> bool:
        """Tell whether `sums` leaves whole batches of so many samples to OpenVINO."""
        return samples >= self._sums.batch and self._sums.openvino is not None

    def counts(self, x: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Return the spike counts ``(samples, *shape)`` of all populations."""
        nodes = self.layout.graph.of_type(Spiking)
        return self.sums_and_counts(x, [node.name for node in nodes])[1]

    def sums_and_counts(
        self, x: npt.NDArray[Any], names: Sequence[str]
    ) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        """Return what `sums` does, and the spike counts ``(samples, *shape)`` of populations.

        Both come from one run in onnxruntime. Counts are of the narrowest type that holds their
        levels.
        """
        nodes = [node for node in self.layout.graph.of_type(Spiking) if node.name in names]
        key = tuple(node.name for node in nodes)
        if key not in self._networks_with_counts:
            write = functools.partial(network_model, self.layout, key)
            self._networks_with_counts[key] = _Sessions(write, self._runner.threads)
        values = [fired_value(self.layout, node) for node in nodes]
        sessions = self._networks_with_counts[key]
        sums, *found = self._runner.run(sessions, [READOUT, *values], x)
        counts = {
            node.name: self._limited(node, value)
            for node, value in zip(nodes, found, strict=True)
        }
        return sums.astype(np.int64), counts

    def activity(
        self, x: npt.NDArray[Any], censuses: Sequence[Census]
    ) -> tuple[npt.NDArray[np.int64], dict[str, tuple[Ints, Ints]]]:
        """Return what `sums` does, with spikes ``(samples, windows)`` and operations by node.

        Args:
            x: Encoded samples.
            censuses: The same in every call.
        """
        if self._activity is None:
            self._activity = _Fastest(self._runner, censuses)
        sums, *found = self._activity.run(x)
        counted = zip(censuses, found, strict=True)
        return sums.astype(np.int64), {c.node: c.read(total) for c, total in counted}

    def _limited(self, node: Spiking, counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.layout.is_limited_late(node):
            np.minimum(counts, node.levels, out=counts)
        return counts.astype(np.min_scalar_type(node.levels), copy=False)


class _Runner:
    """Runs chunks of samples in onnxruntime, and knows whether OpenVINO may do so.

    Attributes:
        layout: Of the network.
        threads: To run in.
        chunk: Samples of a run.
    """

    def __init__(self, layout: Layout, threads: int) -> None:
        self.layout, self.threads = layout, threads
        self._pool = ThreadPoolExecutor(threads)
        sizes = [int(np.prod(signal.shape)) for signal in layout.signals.values()]
        self._sample_bytes = sum(sizes)
        self.chunk = int(np.clip(_CHUNK_BYTES // max(sizes), _CHUNK_MIN, _CHUNK_MAX))

    @cached_property
    def openvino_counts_right(self) -> bool:
        """Whether OpenVINO is installed, exact for the network, and passes the self-test."""
        if not is_installed() or not is_exact(self.layout):
            return False
        failed = failures(self.layout, run_in_openvino)
        if failed:
            _warn("OpenVINO", failed, "onnxruntime takes its place")
        return not failed

    def run(
        self, sessions: _Sessions, outputs: Sequence[str], x: npt.NDArray[Any]
    ) -> list[npt.NDArray[Any]]:
        """Return outputs for all samples, chunk by chunk, from onnxruntime."""
        entry = entry_signal(self.layout)
        shifted = x + entry.zero_point if entry.zero_point else x
        fed = shifted.astype(signal_type(entry))
        if len(fed) < self.threads * _CHUNK_MIN:
            is_small = len(fed) * self._sample_bytes < _SHARED_BYTES
            session = sessions.single if is_small else sessions.shared
            return session.run(list(outputs), {entry.value: fed})
        chunk = min(self.chunk, -(-len(fed) // self.threads))
        chunks = [fed[start : start + chunk] for start in range(0, len(fed), chunk)]
        run_all = self._pool.map if len(chunks) > 1 and self.threads > 1 else map
        found = run_all(
            lambda part: sessions.single.run(list(outputs), {entry.value: part}), chunks
        )
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]


class _Fastest:
    """Sums, and sums of censuses; whole batches are OpenVINO's where it is clearly faster."""

    def __init__(self, runner: _Runner, censuses: Sequence[Census] = ()) -> None:
        self._runner, self._censuses, layout = runner, censuses, runner.layout
        self._values = [READOUT, *(census_value(layout, census) for census in censuses)]
        self._sessions = self._new_sessions()
        self.batch = min(runner.chunk, _OPENVINO_MAX)

    def _new_sessions(self) -> _Sessions:
        write = functools.partial(network_model, self._runner.layout, (), self._censuses)
        return _Sessions(write, self._runner.threads)

    def run(self, x: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return sums and censuses for all samples."""
        whole = len(x) // self.batch * self.batch
        if not whole or self.openvino is None:
            return self.in_onnxruntime(x)
        found = self.openvino.run(x[:whole])
        if whole < len(x):
            rest = self.in_onnxruntime(x[whole:])
            found = [np.concatenate(parts) for parts in zip(found, rest, strict=True)]
        return found

    def in_onnxruntime(self, x: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return the same from onnxruntime."""
        return self._runner.run(self._sessions, self._values, x)

    @cached_property
    def openvino(self) -> OpenVinoNetwork | None:
        """The network in OpenVINO if that is right there, and faster by far enough."""
        is_short = all(census.is_short for census in self._censuses)
        if not is_short or not self._runner.openvino_counts_right:
            return None
        layout, threads = self._runner.layout, self._runner.threads
        samples = np.zeros((threads * self.batch, *entry_signal(layout).shape), np.int64)
        without = _seconds(self.in_onnxruntime, samples)
        self._sessions = self._new_sessions()  # both would take as much memory again
        trim_heap()
        network = OpenVinoNetwork(layout, self.batch, threads, self._censuses)
        is_faster = network.is_in_bytes and _GAIN * _seconds(network.run, samples) < without
        return network if is_faster else None


class _Sessions:
    """One model, for runs that share threads and for runs side by side."""

    def __init__(self, write: Callable[[], SplitModel], threads: int) -> None:
        self._write, self._threads = write, threads

    @cached_property
    def shared(self) -> onnxruntime.InferenceSession:
        return open_session(self._write(), self._threads)

    @cached_property
    def single(self) -> onnxruntime.InferenceSession:
        return open_session(self._write(), 1)


def trusted_layout(graph: Graph) -> Layout:
    """Return a layout with which onnxruntime, on this machine, passes the self-test.

    What fails in bytes is written as plain sums.

    Raises:
        EmitError: No type of ONNX holds the sums of a layer exactly.
        MissingDependencyError: A population fails as plain sums, too.
    """
    layout = lay_out(graph)
    failed = failures(layout, run_cases)
    if not failed:
        return layout
    _warn(f"onnxruntime {onnxruntime.__version__}", failed, "slower layers take their place")
    layout = lay_out(graph, exact_sums=failed)
    failed = failures(layout, run_cases)
    if failed:
        raise MissingDependencyError(
            f"onnxruntime {onnxruntime.__version__} adds up integers wrongly on this machine",
            node=min(failed),
            hint="use engine 'step', and report the machine",
        )
    return layout


def _warn(runtime: str, failed: Collection[str], way_out: str) -> None:
    warnings.warn(
        f"{runtime} counts layers of bytes wrongly on this machine: "
        f"{', '.join(sorted(failed))}; {way_out}",
        RuntimeWarning,
        stacklevel=3,
    )


def _seconds(run: Callable[[npt.NDArray[Any]], object], x: npt.NDArray[Any]) -> float:
    """Return the shortest of some runs, after one that prepares things."""
    run(x)
    took = []
    for _ in range(_RACES):
        began = time.perf_counter()
        run(x)
        took.append(time.perf_counter() - began)
    return min(took)
