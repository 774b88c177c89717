"""Workers as actors of Ray: processes of this machine, or of a cluster.

The compiled network is sent to every worker once, and samples piece by piece, so the machines
of a cluster need this package but none of the files. A worker whose process or machine is lost
is replaced.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
from collections.abc import Iterator
from typing import Any

from toolchain.data import Samples
from toolchain.engine import Program
from toolchain.errors import CompileError, MissingDependencyError, WorkerError
from toolchain.evaluation.piece_result import PieceResult, run_piece

_PIECES_EACH = 2
"""A worker has the next piece at hand when it has finished one."""

_ANSWER_S = 10.0
"""A machine that takes longer to accept a connection is taken for absent."""


class Worker:
    """What runs in a process of its own."""

    def __init__(self, program: Program, engine: str) -> None:
        self._program, self._engine = program, engine

    def run(self, samples: Samples) -> PieceResult | Refusal:
        """Run a piece; an error that a user can cause is returned, as Ray would wrap it."""
        try:
            return run_piece(self._program, self._engine, samples)
        except CompileError as error:
            return Refusal(type(error), error.problem, error.node, error.hint)


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A `CompileError` on its way from a worker.

    Attributes:
        kind: Its class.
        problem: See `CompileError`.
        node: Likewise.
        hint: Likewise.
    """

    kind: type[CompileError]
    problem: str
    node: str | None
    hint: str | None


@contextlib.contextmanager
def ray_crew(
    program: Program, engine: str, workers: int, cluster: str | None
) -> Iterator[RayCrew]:
    """Give a crew, whose workers end with the block.

    Args:
        program: What they run.
        engine: Name of the engine that they run it with.
        workers: How many, at least 1.
        cluster: Address of a Ray cluster; `None` starts workers on this machine.

    Raises:
        MissingDependencyError: Ray is absent.
        WorkerError: The cluster cannot be reached, or is too small.
    """
    ray = _ray()
    _connect(ray, workers, cluster)
    try:
        _require_room(ray, workers)
        yield RayCrew(ray, program, engine, workers)
    finally:
        ray.shutdown()


class RayCrew:
    """See `ray_crew`.

    Attributes:
        places: Two pieces a worker.
    """

    def __init__(self, ray: Any, program: Program, engine: str, workers: int) -> None:
        self._ray = ray
        self._lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.ObjectLostError,
        )
        self._actor = ray.remote(num_cpus=1, max_restarts=0)(Worker)
        self._arguments = (ray.put(program), engine)
        self._workers = [self._start() for _ in range(workers)]
        self._given: dict[Any, tuple[int, Any]] = {}
        self.places = _PIECES_EACH * workers

    def give(self, number: int, samples: Samples) -> None:
        """See `Crew.give`."""
        held = [worker for _, worker in self._given.values()]
        worker = min(self._workers, key=held.count)
        self._given[worker.run.remote(samples)] = (number, worker)

    def take(self) -> tuple[int, PieceResult | None]:
        """See `Crew.take`."""
        (ready, *_), _ = self._ray.wait(list(self._given), num_returns=1)
        number, worker = self._given.pop(ready)
        try:
            result = self._ray.get(ready)
        except self._lost as error:
            if getattr(error, "actor_init_failed", False):
                raise _unable(error) from None
            self._replace(worker)
            return number, None
        if isinstance(result, Refusal):
            raise result.kind(result.problem, node=result.node, hint=result.hint)
        return number, result

    def _replace(self, worker: Any) -> None:
        """Start another worker in the place of a lost one, unless that has been done."""
        if worker in self._workers:
            self._ray.kill(worker)  # it may only be out of reach, and its core is needed
            self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> Any:
        return self._actor.remote(*self._arguments)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingDependencyError(
            "several workers need Ray, which is not installed",
            hint="run: pip install 'snn-compile[scale]'",
        ) from None
    return ray


def _connect(ray: Any, workers: int, cluster: str | None) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet = {"log_to_driver": False, "configure_logging": False}
    if cluster is None:
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
        return
    _require_answer(cluster)
    try:
        ray.init(address=cluster, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _unreachable(cluster, error) from None


def _require_answer(cluster: str) -> None:
    """Refuse ``host:port`` where nobody listens, for which Ray would wait for minutes."""
    host, _, port = cluster.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(cluster, error) from None


def _unreachable(cluster: str, error: Exception) -> WorkerError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return WorkerError(
        f"no Ray cluster answers: {reason[0]}",
        node=cluster,
        hint="start one with 'ray start --head' and give the address that it prints; if it "
        "speaks of tokens, set RAY_AUTH_MODE=token and give its token, too",
    )


def _unable(error: Exception) -> WorkerError:
    """Return the error for a worker that another would not replace."""
    return WorkerError(
        f"workers cannot start: {str(error).strip().splitlines()[-1].strip()}",
        hint="install this version of snn-compile on every machine of the cluster",
    )


def _require_room(ray: Any, workers: int) -> None:
    cores = int(ray.cluster_resources().get("CPU", 0))
    if workers > cores:
        raise WorkerError(
            f"the cluster has {cores} cores; {workers} workers need one each",
            hint=f"use --workers {cores}" if cores else "add machines to the cluster",
        )
