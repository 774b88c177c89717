"""Verification names the node at which an invariant breaks; what holds passes in silence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import VerifyError
from toolchain.ir.ann import (
    Add,
    Affine,
    Conv,
    Dense,
    HostOp,
    Input,
    MaxPool,
    Output,
    Rearrange,
    Relu,
    SumPool,
)
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.snn import IntegrateFire, MultiThreshold, OrPool, ThresholdBank
from toolchain.ir.verify import accounted, verify, verify_phase
from toolchain.testing import chain, random_network

POOL = {"kernel": (2, 2), "stride": (2, 2)}


def dense(name, outputs, inputs, dtype=float):
    return Dense(name=name, weight=np.ones((outputs, inputs), dtype), bias=np.zeros((), dtype))


def conv(name, outputs, inputs):
    return Conv(name=name, weight=np.ones((outputs, inputs, 1, 1)))


def neurons(kind, dtype=float):
    return kind(name="act", levels=2, threshold=np.ones((), dtype), initial=np.zeros((), dtype))


def two_layers(activation, dtype=float):
    return chain((3,), dense("first", 3, 3, dtype), activation, dense("last", 2, 3, dtype))


@given(st.randoms())
def test_imported_networks_pass(random):
    verify_phase(random_network(random))


@pytest.mark.parametrize(
    ("activation", "phase"),
    [
        (Relu(name="act"), Phase.PREPARE),
        (neurons(MultiThreshold), Phase.CONVERT),
        (neurons(IntegrateFire), Phase.LOWER),
        (neurons(ThresholdBank), Phase.LOWER),
    ],
)
def test_networks_of_their_phase_pass(activation, phase):
    verify_phase(two_layers(activation).at_phase(phase))


@pytest.mark.parametrize("kind", [IntegrateFire, ThresholdBank])
def test_networks_of_integers_pass(kind):
    verify_phase(two_layers(neurons(kind, int), int).at_phase(Phase.QUANTIZE))


def test_an_image_may_be_flattened_before_a_dense_layer():
    graph = chain(
        (1, 4, 4),
        conv("first", 2, 1),
        Relu(name="act"),
        MaxPool(name="pool", **POOL),
        Rearrange(name="flat", shape=(8,)),
        dense("last", 2, 8),
    )

    verify_phase(graph.at_phase(Phase.PREPARE))


def test_a_model_without_output_is_refused():
    graph = two_layers(Relu(name="act"))

    with pytest.raises(VerifyError) as error:
        verify(graph.with_nodes(graph.nodes[:-1]))

    assert str(error.value) == "verify: no node is Output"


def test_inputs_that_do_not_follow_each_other_in_a_sample_are_refused():
    graph = two_layers(Relu(name="act"))
    size = graph.input.shape[0]
    second = Input(name="second", shape=(1,), source_shape=(1,), offset=size)

    verify(graph.with_nodes((second, *graph.nodes)))
    with pytest.raises(VerifyError, match=f"second': begins at {size + 1}; it must at {size}"):
        verify(graph.with_nodes((dataclasses.replace(second, offset=size + 1), *graph.nodes)))


def test_windows_beside_a_second_input_are_refused():
    graph = two_layers(Relu(name="act"))
    size = graph.input.shape[0]
    second = Input(name="second", shape=(1,), source_shape=(1,), offset=size, windows=2)

    with pytest.raises(VerifyError, match="has windows, and is one of several inputs"):
        verify(graph.with_nodes((second, *graph.nodes)))


def test_shapes_that_do_not_fit_are_refused():
    graph = two_layers(Relu(name="act"))
    wider = dataclasses.replace(graph["first"], weight=np.ones((4, 3)))

    with pytest.raises(VerifyError) as error:
        verify(graph.swap(wider))

    assert error.value.node == "last"


def test_a_node_of_the_model_is_never_dropped():
    graph = two_layers(Relu(name="act")).bypass("act")

    with pytest.raises(VerifyError) as error:
        verify(graph)

    assert str(error.value) == "verify at 'act': no node of the graph accounts for it any more"


def test_what_was_computed_on_import_is_accounted_for():
    graph = dataclasses.replace(
        two_layers(Relu(name="act")).bypass("act"), constants=("act", "stranger")
    )

    verify(graph)

    assert accounted(graph) == {"first", "act", "last"}


LEFT = [
    (Phase.PREPARE, Affine(name="odd"), "scale all positions of a channel alike"),
    (Phase.PREPARE, HostOp(name="odd", function="relu"), "keep it at the end of the model"),
    (Phase.PREPARE, neurons(MultiThreshold), None),
    (Phase.CONVERT, Relu(name="odd"), None),
    (Phase.LOWER, neurons(MultiThreshold), None),
    (Phase.QUANTIZE, Relu(name="odd"), None),
]


@pytest.mark.parametrize(("phase", "node", "hint"), LEFT)
def test_what_a_phase_should_have_removed_is_named(phase, node, hint):
    graph = two_layers(dataclasses.replace(node, name="odd", origin=("onnx/odd",)))

    with pytest.raises(VerifyError) as error:
        verify_phase(graph.at_phase(phase))

    assert error.value.node == "onnx/odd"
    assert error.value.problem.startswith(f"{node.kind} is left after {phase.name.lower()};")
    assert (error.value.hint or "").startswith(hint or "")
    assert bool(error.value.hint) == bool(hint)


def test_the_message_of_what_is_left_lists_what_may_be():
    graph = chain((1, 2, 2), SumPool(name="sum", **POOL))

    with pytest.raises(VerifyError) as error:
        verify_phase(graph.at_phase(Phase.PREPARE))

    assert str(error.value) == (
        "verify at 'sum': SumPool is left after prepare; what may be is Input, Output, Dense, "
        "Conv, Add, Rearrange, MaxPool, Relu, Staircase, LmHt\n"
        "  hint: use a pool whose windows cover its input exactly"
    )


@pytest.mark.parametrize("phase", [Phase.LOWER, Phase.QUANTIZE])
def test_lowered_trains_are_pooled_by_ors(phase):
    def network(pool):
        body = (conv("first", 1, 1), neurons(IntegrateFire, int), pool, conv("last", 1, 1))
        whole = [
            dataclasses.replace(node, weight=np.ones((1, 1, 1, 1), int), bias=np.array(0))
            if isinstance(node, Conv)
            else node
            for node in body
        ]
        return chain((1, 4, 4), *whole).at_phase(phase)

    verify_phase(network(OrPool(name="pool", **POOL)))
    with pytest.raises(VerifyError, match="MaxPool is left") as error:
        verify_phase(network(MaxPool(name="pool", **POOL)))

    assert error.value.node == "pool"


def test_two_layers_in_a_row_are_refused():
    graph = chain((3,), dense("first", 3, 3), dense("second", 2, 3))

    with pytest.raises(VerifyError) as error:
        verify_phase(graph.at_phase(Phase.PREPARE))

    assert str(error.value) == (
        "verify at 'second': reads the linear layer 'first' with no activation between them\n"
        "  hint: merge the two layers, or put a Relu between them"
    )


@pytest.mark.parametrize(
    "nodes",
    [
        (Relu(name="bad"), dense("last", 2, 3)),
        (dense("first", 3, 3), Relu(name="act"), Relu(name="bad"), dense("last", 2, 3)),
    ],
)
def test_an_activation_without_a_layer_is_refused(nodes):
    with pytest.raises(VerifyError, match="no convolution or dense layer feeds") as error:
        verify_phase(chain((3,), *nodes).at_phase(Phase.PREPARE))

    assert error.value.node == "bad"


@pytest.mark.parametrize("nodes", [(), (dense("first", 3, 3), Relu(name="act"))])
def test_an_output_that_no_layer_computes_is_refused(nodes):
    with pytest.raises(VerifyError, match="not that of a convolution or dense") as error:
        verify_phase(chain((3,), *nodes).at_phase(Phase.PREPARE))

    assert error.value.node == "y"


POOLED = [
    (MaxPool(name="pool", **POOL), conv("first", 2, 1), Relu(name="act"), conv("last", 1, 2)),
    (conv("first", 2, 1), Relu(name="act"), conv("last", 1, 2), MaxPool(name="pool", **POOL)),
]


@pytest.mark.parametrize("nodes", POOLED, ids=["input", "output"])
def test_only_activations_are_pooled(nodes):
    with pytest.raises(VerifyError) as error:
        verify_phase(chain((1, 4, 4), *nodes).at_phase(Phase.PREPARE))

    assert str(error.value) == (
        "verify at 'pool': pools what is no activation, and only spikes can be pooled\n"
        "  hint: pool behind an activation"
    )


REARRANGED = [
    (Rearrange(name="odd", shape=(3,), order=np.arange(3)[::-1]), dense("last", 2, 3)),
    (Rearrange(name="odd", shape=(3, 1, 1)), conv("last", 2, 3)),
]


@pytest.mark.parametrize("nodes", REARRANGED, ids=["order", "convolution"])
def test_only_activations_are_relayed(nodes):
    verify_phase(
        chain((3,), dense("first", 3, 3), Relu(name="act"), *nodes).at_phase(Phase.PREPARE)
    )

    with pytest.raises(VerifyError) as error:
        verify_phase(chain((3,), *nodes).at_phase(Phase.PREPARE))

    assert str(error.value) == (
        "verify at 'odd': rearranges what is no activation, and only spikes can be relayed\n"
        "  hint: rearrange behind an activation, or where a dense layer follows"
    )


def sum_of_two():
    """Return two layers of the input whose sum an activation reads, and a last layer."""
    graph = chain((3,), dense("one", 3, 3), Relu(name="act"), dense("last", 2, 3))
    two = dataclasses.replace(graph["one"], name="two")
    total = Add(name="sum", inputs=("one", "two"), origin=("sum",))
    graph = graph.insert_before("act", two, total).redirect("one", ["act"], "sum")
    return graph.at_phase(Phase.PREPARE)


def test_an_activation_may_read_a_sum_of_layers():
    graph = sum_of_two()

    verify_phase(graph)

    assert [layer.name for layer in graph.layers_into(graph["act"])] == ["one", "two"]


def test_a_sum_that_two_populations_read_is_refused():
    graph = sum_of_two()
    other = dataclasses.replace(graph["act"], name="other")

    with pytest.raises(VerifyError) as error:
        verify_phase(graph.insert_before("last", other))

    assert str(error.value) == (
        "verify at 'sum': is a sum that 2 nodes read; one population can\n"
        "  hint: put a Relu behind it"
    )


def test_a_layer_behind_a_sum_is_refused():
    graph = sum_of_two().redirect("act", ["last"], "sum").without("act")

    with pytest.raises(VerifyError) as error:
        verify_phase(dataclasses.replace(graph, source_nodes=()))

    assert str(error.value) == (
        "verify at 'last': reads the linear layer 'sum' with no activation between them\n"
        "  hint: merge the two layers, or put a Relu between them"
    )


def test_a_sum_of_what_is_no_layer_feeds_nothing():
    graph = sum_of_two()
    total = dataclasses.replace(graph["sum"], inputs=("one", "x"))
    graph = graph.swap(total).without("two")

    with pytest.raises(VerifyError, match="no convolution or dense layer feeds") as error:
        verify_phase(graph)

    assert error.value.node == "act"


@pytest.mark.parametrize("name", ["weight", "bias", "threshold", "initial"])
def test_real_numbers_are_refused_after_quantization(name):
    graph = two_layers(neurons(IntegrateFire, int), int).at_phase(Phase.QUANTIZE)
    node = graph["act" if name in ("threshold", "initial") else "first"]
    real = dataclasses.replace(node, **{name: getattr(node, name).astype(float)})

    with pytest.raises(VerifyError) as error:
        verify_phase(graph.swap(real))

    assert str(error.value) == f"verify at {node.name!r}: {name} is not an integer"


def test_an_imported_graph_may_hold_anything():
    verify_phase(chain((1, 4, 4), SumPool(name="sum", **POOL), Affine(name="scale")))


def test_a_graph_must_be_in_order():
    graph = two_layers(Relu(name="act"))
    entry, *rest = graph.nodes

    with pytest.raises(VerifyError, match="which is not before it") as error:
        verify(Graph("g", (entry, *reversed(rest))))

    assert error.value.node == "y"
    assert isinstance(graph["y"], Output)


@pytest.mark.parametrize(("inputs", "count"), [((), 0), (("x", "x"), 2)])
def test_a_layer_that_does_not_read_one_node_is_refused(inputs, count):
    graph = chain((2,), Dense(name="d", weight=np.ones((2, 2))))
    layer = dataclasses.replace(graph["d"], inputs=inputs)
    broken = graph.with_nodes([layer if node.name == "d" else node for node in graph])

    with pytest.raises(VerifyError) as error:
        verify(broken)

    assert (error.value.node, error.value.problem) == ("d", f"reads {count} nodes")
