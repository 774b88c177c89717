"""A data set gives the same integers and outputs whoever runs its pieces, in whatever order."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.data import Samples
from toolchain.errors import WorkerError
from toolchain.evaluation.crew import LOSSES_MAX, OneProcess, evaluate
from toolchain.evaluation.piece_result import PopulationTally, Tally, run_piece
from toolchain.evaluation.shards import find_shards

COUNTS = st.integers(0, 2**70)
MAYBE = st.none() | COUNTS
TALLIES = st.builds(
    Tally,
    samples=COUNTS,
    answers=COUNTS,
    right=COUNTS,
    spikes=MAYBE,
    synaptic_operations=MAYBE,
    graded_operations=MAYBE,
    saturations=COUNTS,
)


class Unruly:
    """Workers that finish in any order, and some of which are lost."""

    def __init__(self, program, engine, places, random, lost=lambda number: False):
        self.places = places
        self.most_held = 0
        self._program, self._engine = program, engine
        self._random, self._lost = random, lost
        self._given = []

    def give(self, number, samples):
        self._given.append((number, samples))
        self.most_held = max(self.most_held, len(self._given))

    def take(self):
        number, samples = self._given.pop(self._random.randrange(len(self._given)))
        if self._lost(number):
            return number, None
        return number, run_piece(self._program, self._engine, samples)


def ran(shards, crew):
    """Return the tally, and the outputs in the order of the samples."""
    outputs, told = {}, []

    def keep(piece, result):
        place = (piece.file.path, piece.start)
        assert place not in outputs
        outputs[place] = result.y

    tally = evaluate(shards, crew, keep, lambda *done: told.append(done))

    assert told[0] == (0, len(shards))
    assert told[-1] == (len(shards), len(shards))
    assert told == sorted(told)
    return tally, np.concatenate([outputs[place] for place in sorted(outputs)])


@pytest.mark.parametrize("engine", ["count", "step"])
@pytest.mark.parametrize("places", [1, 3, 100])
def test_neither_the_number_of_workers_nor_the_order_changes_a_bit(
    program, data_set, engine, places
):
    shards = find_shards(data_set.folder, (4,))
    crew = Unruly(program, engine, places, Random(places))

    tally, y = ran(shards, crew)

    alone, y_alone = ran(shards, OneProcess(program, engine))
    assert tally == alone
    np.testing.assert_array_equal(y, y_alone)
    assert crew.most_held <= places


def test_the_sums_are_those_of_all_samples_at_once(program, data_set):
    whole = run_piece(program, "step", Samples(data_set.x, data_set.y))

    tally, y = ran(find_shards(data_set.folder, (4,)), OneProcess(program, "step"))

    assert tally == whole.tally
    assert tally.spikes > 0
    assert tally.metric == np.mean(whole.y.argmax(axis=1) == data_set.y)
    np.testing.assert_array_equal(y, whole.y)


def test_what_a_lost_worker_had_is_done_again(program, data_set):
    shards = find_shards(data_set.folder, (4,))
    random = Random(0)
    losses = {number: random.randrange(LOSSES_MAX) for number in range(20)}

    def is_lost(number):
        losses[number] -= 1
        return losses[number] >= 0

    tally, y = ran(shards, Unruly(program, "count", 3, random, is_lost))

    alone, y_alone = ran(shards, OneProcess(program, "count"))
    assert tally == alone
    np.testing.assert_array_equal(y, y_alone)


def test_a_piece_that_ends_every_worker_is_named(program, data_set):
    shards = find_shards(data_set.folder, (4,))
    crew = Unruly(program, "count", 2, Random(0), lambda number: number == 1)

    with pytest.raises(WorkerError) as error:
        ran(shards, crew)

    assert error.value.node == str(data_set.folder / "x_0.npz")
    assert error.value.problem == "3 workers were lost over the samples 256 to 511"


@given(TALLIES, TALLIES, TALLIES)
def test_tallies_are_added_in_any_order(first, second, third):
    assert first + second + third == third + (second + first)


def test_populations_are_added_by_name():
    first = PopulationTally("first", (1, 2), 30)
    second = PopulationTally("second", (4,), 50)

    one = Tally(samples=1, answers=0, right=0, populations=(first, second))
    other = Tally(samples=1, answers=0, right=0, populations=(second, first))

    assert (one + other).populations == (
        PopulationTally("first", (2, 4), 60),
        PopulationTally("second", (8,), 100),
    )


def test_what_one_engine_does_not_count_has_no_sum():
    counted = Tally(samples=1, answers=0, right=0, spikes=5)

    assert (counted + Tally(samples=1, answers=0, right=0)).spikes is None
    assert (counted + counted).spikes == 10
