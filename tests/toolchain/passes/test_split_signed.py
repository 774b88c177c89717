"""split-signed gives linear values neurons for both signs, and needs none where one will do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import VerifyError
from toolchain.ir.ann import Add, Affine, Conv, Dense, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.reference import evaluate, run
from toolchain.ir.snn import LmHt
from toolchain.passes.split_signed import split_signed
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain, random_branches, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
SHAPE = (2, 4, 4)


def numbers(*shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32)


def conv(name, outputs, inputs):
    weight = numbers(outputs, inputs, 2, 2)
    return Conv(name=name, weight=weight, bias=numbers(outputs, 1, 1))


def check(graph):
    x = numbers(3, *graph.input.shape)

    after = split_signed(graph, CONTEXT)

    np.testing.assert_array_equal(run(after, x), run(graph, x))
    return after


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_branches(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)

    np.testing.assert_array_equal(run(split_signed(graph, CONTEXT), x), run(graph, x))


def test_a_value_and_its_negative_take_turns():
    graph = chain(SHAPE, conv("first", 3, 2), conv("second", 1, 3))
    x = numbers(3, *SHAPE)

    after = check(graph)

    signed = evaluate(graph, x)["first"]
    both = evaluate(after, x)["first/signs"]
    np.testing.assert_array_equal(both[:, 0::2], np.maximum(signed, 0))
    np.testing.assert_array_equal(both[:, 1::2], np.maximum(-signed, 0))
    assert after["second"].inputs == ("first/merge",)


def test_a_sum_is_split_as_one_value():
    graph = chain(
        (4,), Dense(name="a", weight=numbers(4, 4)), Dense(name="end", weight=np.eye(4))
    )
    b = Dense(name="b", inputs=("x",), weight=numbers(4, 4)[::-1], bias=numbers(4))
    total = Add(name="sum", inputs=("a", "b"))
    graph = graph.insert_behind("a", b, total).redirect("a", ["end"], "sum")

    after = check(graph)

    assert after["sum/signs"].inputs == ("sum",)
    assert len(after["a"].weight) == len(after["b"].weight) == 8


def test_a_sum_of_a_layer_that_others_read_is_left_alone():
    graph = chain(
        (4,), Dense(name="a", weight=numbers(4, 4)), Dense(name="end", weight=np.eye(4))
    )
    scale = Affine(name="scale", inputs=("a",), scale=np.array(2.0))
    act = Relu(name="act", inputs=("scale",))
    skip = Dense(name="skip", inputs=("act",), weight=np.eye(4))
    total = Add(name="sum", inputs=("a", "skip"))
    graph = graph.insert_behind("a", scale, act, skip, total).redirect("a", ["end"], "sum")

    assert split_signed(graph, CONTEXT) is graph


def test_what_is_never_negative_gets_one_population():
    weight = np.abs(numbers(3, 3, 1, 1))
    graph = chain(
        SHAPE,
        conv("first", 3, 2),
        Relu(name="act"),
        Conv(name="mean", weight=weight),
        conv("last", 1, 3),
    )

    after = check(graph)

    assert after["last"].inputs == ("mean/signs",)
    assert after["mean"].weight is graph["mean"].weight


def test_both_populations_are_rearranged_alike():
    order = np.arange(27).reshape(3, 3, 3)[::-1, :, ::-1].ravel()
    turn = Rearrange(name="turn", shape=(3, 3, 3), order=order)

    after = check(chain(SHAPE, conv("first", 3, 2), turn, conv("last", 1, 3)))

    assert after["turn/signs"].shape == (6, 3, 3)
    assert isinstance(after["turn"], Conv)
    assert after["last"].inputs == ("turn",)


def test_twice_is_once():
    graph = after_phase(
        chain(SHAPE, conv("first", 3, 2), conv("last", 1, 3)), Phase.PREPARE, CONTEXT
    )

    assert split_signed(graph, CONTEXT) is graph


def test_a_layer_with_an_activation_of_its_own_is_left_alone():
    graph = chain(SHAPE, conv("first", 3, 2), Relu(name="act"), conv("last", 1, 3))

    assert split_signed(graph, CONTEXT) is graph


def test_trained_neurons_are_left_as_they_were_trained():
    neurons = LmHt(name="pop", levels=2, threshold=1.0, mixing=np.eye(1))
    graph = chain(SHAPE, conv("first", 3, 2), neurons, conv("a", 2, 3), conv("b", 1, 2))

    assert split_signed(graph, CONTEXT) is graph
    with pytest.raises(VerifyError, match="with no activation between them") as error:
        after_phase(graph, Phase.PREPARE, CONTEXT)
    assert error.value.node == "b"


def test_differences_cannot_be_pooled_in_large_windows_and_are_refused_by_name():
    pool = MaxPool(name="pool", kernel=(1, 17), stride=(1, 1), padding=((0, 0), (8, 8)))
    graph = chain(SHAPE, conv("first", 3, 2), pool, conv("last", 1, 3))

    assert split_signed(graph, CONTEXT) is graph
    with pytest.raises(VerifyError, match="only spikes can be pooled") as error:
        after_phase(graph, Phase.PREPARE, CONTEXT)
    assert error.value.node == "pool"


def test_every_population_stands_for_the_layer_it_was_made_for():
    after = check(chain(SHAPE, conv("first", 3, 2), conv("last", 1, 3)))

    made = [after["first/signs"], after["first/merge"]]
    assert [node.origin for node in made] == [("first",), ("first",)]
