"""Traces are of the samples asked for, and their file has everything that was traced."""

import numpy as np
import pytest

from toolchain.engine import PopulationTrace, Selection
from toolchain.errors import InputDataError, UnknownNameError
from toolchain.evaluation.shards import find_shards
from toolchain.evaluation.traces import choose_samples, require_tracing, save_traces


@pytest.mark.parametrize("numbers", [(0,), (1258, 0, 5, 5, 699), (256, 700, 702, 703), ()])
def test_samples_are_numbered_over_all_files(data_set, numbers):
    shards = find_shards(data_set.folder, (4,))

    chosen = choose_samples(shards, numbers)

    wanted = data_set.x[sorted(set(numbers))] if numbers else data_set.x
    np.testing.assert_array_equal(chosen.x, wanted)


def test_a_sample_that_is_not_there_is_refused(data_set):
    shards = find_shards(data_set.folder, (4,))

    with pytest.raises(InputDataError) as error:
        choose_samples(shards, (3, 1259))

    assert error.value.problem == "there is no sample 1259; they are numbered 0 to 1258"


@pytest.mark.parametrize("samples", [(), (2, 9)])
def test_a_file_holds_what_was_traced(tmp_path, samples):
    path = tmp_path / "t.npz"
    spikes, u = np.ones((2, 3, 2), bool), np.arange(12, dtype=np.int32).reshape(2, 3, 2)
    traces = {"/act/relu": PopulationTrace(first_step=7, spikes=spikes, u=u)}

    save_traces(path, traces, Selection(("spikes", "u"), neurons=(4, 1)), samples)

    with np.load(path) as held:
        found = dict(held)
    np.testing.assert_array_equal(found.pop("/act/relu:spikes"), spikes)
    np.testing.assert_array_equal(found.pop("/act/relu:u"), u)
    assert found.pop("/act/relu:first_step") == 7
    assert found.pop("samples").tolist() == list(samples or (0, 1))
    assert found.pop("neurons").tolist() == [4, 1]
    assert not found


def test_an_engine_that_traces_nothing_is_refused():
    with pytest.raises(InputDataError) as error:
        require_tracing("count")

    assert error.value.problem == "the engine 'count' traces nothing"
    assert error.value.hint == "use one that does: step"


def test_an_unknown_engine_is_refused():
    with pytest.raises(UnknownNameError):
        require_tracing("warp")
