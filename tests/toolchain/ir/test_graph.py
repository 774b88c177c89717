"""A graph keeps its nodes in order, knows who reads whom, and every change is a new graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import VerifyError
from toolchain.ir.ann import Affine, Conv, Dense, Input, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import run
from toolchain.testing import chain, random_network, random_samples


def dense(name, outputs, inputs):
    return Dense(name=name, weight=np.ones((outputs, inputs)))


def network():
    return chain((4,), dense("a", 3, 4), Relu(name="r"), dense("b", 2, 3))


def test_nodes_are_found_by_name():
    graph = network()

    assert graph["r"].kind == "Relu"
    assert "r" in graph
    assert "nobody" not in graph


def test_shapes_follow_from_the_input():
    assert dict(network().shapes) == {"x": (4,), "a": (3,), "r": (3,), "b": (2,), "y": (2,)}


def test_readers_and_producers_are_known():
    graph = network()

    assert [node.name for node in graph.users("a")] == ["r"]
    assert graph.producer(graph["r"]) is graph["a"]
    assert graph.only_user("a") is graph["r"]
    assert graph.only_user("y") is None


def test_a_node_with_two_readers_has_no_only_user():
    nodes = (*network().nodes, Relu(name="second", inputs=("a",)))

    assert Graph("g", nodes).only_user("a") is None


def test_input_and_output_are_found_by_class():
    graph = network()

    assert graph.input.name == "x"
    assert graph.output.name == "y"
    assert [node.name for node in graph.of_type(Dense)] == ["a", "b"]


def test_the_feeder_is_found_past_pools_and_rearrangements():
    graph = chain(
        (1, 4, 4),
        Conv(name="c", weight=np.ones((2, 1, 1, 1))),
        MaxPool(name="p", kernel=(2, 2), stride=(2, 2)),
        Rearrange(name="flat", shape=(8,)),
        dense("d", 2, 8),
    )

    assert graph.feeder(graph["d"]) is graph["c"]
    assert graph.feeder(graph["x"]) is None


def test_an_early_reader_is_named():
    nodes = (
        Input(name="x", shape=(2,), source_shape=(2,)),
        Relu(name="late", inputs=("d",)),
        Dense(name="d", inputs=("x",), weight=np.ones((2, 2))),
    )

    with pytest.raises(VerifyError) as error:
        Graph("g", nodes).shapes  # noqa: B018

    assert str(error.value) == "verify at 'late': reads 'd', which is not before it"


def test_two_nodes_of_one_name_are_refused():
    nodes = (Input(name="x", shape=(2,), source_shape=(2,)), Relu(name="x", inputs=("x",)))

    with pytest.raises(VerifyError, match="two nodes have this name") as error:
        Graph("g", nodes)["x"]

    assert error.value.node == "x"


def test_swapping_puts_a_node_in_the_place_of_its_name():
    graph = network()
    other = Affine(name="r", inputs=("a",))

    swapped = graph.swap(other)

    assert swapped["r"] is other
    assert [node.name for node in swapped] == ["x", "a", "r", "b", "y"]
    assert graph["r"].kind == "Relu"


def test_bypassing_joins_what_was_around_a_node():
    bypassed = network().bypass("r")

    assert [node.name for node in bypassed] == ["x", "a", "b", "y"]
    assert bypassed["b"].inputs == ("a",)


def test_nodes_that_did_not_change_are_shared():
    graph = network()

    bypassed = graph.bypass("r")

    assert bypassed["a"] is graph["a"]
    assert bypassed["y"] is graph["y"]


def test_exchanging_turns_two_neighbours_around():
    exchanged = network().exchange("a")

    assert [node.name for node in exchanged] == ["x", "r", "a", "b", "y"]
    assert [exchanged[name].inputs for name in "rab"] == [("x",), ("r",), ("a",)]


@given(st.randoms())
def test_exchanging_twice_changes_nothing(random):
    graph = chain((4,), *(Affine(name=f"a{index}") for index in range(5)))
    first = random.choice(graph.nodes[1:-2])
    second = graph.users(first.name)[0]

    twice = graph.exchange(first.name).exchange(second.name)

    assert [(n.name, n.inputs) for n in twice] == [(n.name, n.inputs) for n in graph]


def test_a_changed_graph_keeps_its_account_of_the_model():
    graph = network().at_phase(Phase.PREPARE)

    changed = graph.bypass("r")

    assert changed.phase is Phase.PREPARE
    assert changed.source_nodes == graph.source_nodes


@given(st.randoms())
def test_random_networks_run(random):
    graph = random_network(random)

    y = run(graph, random_samples(graph, random, 3))

    assert y.shape == (3, *graph.shapes["y"])
    assert np.isfinite(y).all()


def test_a_node_reads_others_wherever_it_read_one():
    node = Relu(name="relu", inputs=("a", "b", "a"))

    assert node.reading("a", "c", "d").inputs == ("c", "d", "b", "c", "d")
    assert node.reading("x", "y").inputs == node.inputs
