"""Workers of Ray give what one process gives, and a lost one changes nothing."""

import builtins
import os
import signal

import numpy as np
import pytest

from toolchain.data import Samples
from toolchain.errors import InputDataError, MissingDependencyError, WorkerError
from toolchain.evaluation.crew import OneProcess, evaluate
from toolchain.evaluation.piece_result import run_piece
from toolchain.evaluation.ray_crew import Refusal, Worker, ray_crew
from toolchain.evaluation.shards import find_shards

WORKERS = 2


@pytest.fixture
def crew(program):
    """Two workers on this machine."""
    pytest.importorskip("ray", reason="Ray is not installed")
    with ray_crew(program, "step", WORKERS, None) as crew:
        yield crew


def ran(shards, crew, keep=lambda *_: None):
    return evaluate(shards, crew, keep, lambda *_: None)


@pytest.mark.ray
@pytest.mark.slow
def test_workers_give_what_one_process_gives_even_if_one_is_killed(program, data_set, crew):
    import ray

    shards = find_shards(data_set.folder, (4,))
    processes = [
        ray.get(worker.__ray_call__.remote(lambda _: os.getpid())) for worker in crew._workers
    ]
    outputs = {}

    def keep(piece, result):
        if not outputs:
            os.kill(processes[0], signal.SIGKILL)
        outputs[piece.file.path, piece.start] = result.y

    tally = ran(shards, crew, keep)

    assert tally == ran(shards, OneProcess(program, "step"))
    y = np.concatenate([outputs[place] for place in sorted(outputs)])
    np.testing.assert_array_equal(y, run_piece(program, "step", Samples(data_set.x)).y)
    assert len(set(processes)) == WORKERS


@pytest.mark.ray
@pytest.mark.slow
def test_a_worker_s_refusal_is_that_of_one_process(data_set, crew):
    path = data_set.folder / "x_1.npz"
    np.savez(path, x=np.zeros((3, 4)), y=np.array([0, 1, 7]))

    with pytest.raises(InputDataError) as error:
        ran(find_shards(path, (4,)), crew)

    assert error.value.node == str(path)
    assert "labels 'y' go from 0 to 7" in error.value.problem


@pytest.mark.ray
def test_a_cluster_that_is_not_there_is_refused(program):
    pytest.importorskip("ray", reason="Ray is not installed")

    with (
        pytest.raises(WorkerError, match="no Ray cluster answers") as error,
        ray_crew(program, "count", 1, "127.0.0.1:1"),
    ):
        pass

    assert error.value.node == "127.0.0.1:1"


@pytest.mark.ray
@pytest.mark.slow
def test_workers_that_cannot_start_are_told_from_lost_ones(data_set):
    pytest.importorskip("ray", reason="Ray is not installed")
    shards = find_shards(data_set.folder, (4,))

    with (
        pytest.raises(WorkerError, match=r"workers cannot start: .*no such network") as error,
        ray_crew(Unreadable(), "count", 1, None) as crew,
    ):
        ran(shards, crew)

    assert "on every machine of the cluster" in error.value.hint


class Unreadable:
    """What another process cannot read, as where a package is missing."""

    def __reduce__(self):
        return fail, ()


def fail():
    """Fail, as an import would."""
    raise ImportError("no such network")


def test_a_worker_returns_what_a_user_can_cause(program):
    labels = np.array([0, 1, 9])

    refused = Worker(program, "count").run(Samples(np.zeros((3, 4)), labels, "x.npz"))

    assert isinstance(refused, Refusal)
    assert (refused.kind, refused.node) == (InputDataError, "x.npz")


def test_the_install_line_is_told_where_ray_is_absent(program, monkeypatch):
    found = builtins.__import__

    def without_ray(name, *arguments):
        if name == "ray":
            raise ImportError(name)
        return found(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_ray)

    with pytest.raises(MissingDependencyError) as error, ray_crew(program, "count", 2, None):
        pass

    assert str(error.value) == (
        "environment: several workers need Ray, which is not installed\n"
        "  hint: run: pip install 'snn-compile[scale]'"
    )
