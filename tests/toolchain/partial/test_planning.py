"""A plan leaves to the host what cannot be spikes, and what is not worth the way there."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.helper
import pytest

from toolchain.errors import ImportModelError, TimeLimitError, UnsupportedOpError
from toolchain.frontend.testing import spiking_model
from toolchain.limits import Limits
from toolchain.partial.planning import plan_model


def places(plan):
    return [(segment.name, segment.nodes) for segment in plan.segments]


def weights(*shapes):
    random = np.random.default_rng(0)
    return {
        f"w{number}": random.normal(size=shape).astype(np.float32)
        for number, shape in enumerate(shapes, 1)
    }


def test_a_node_that_cannot_be_spikes_goes_to_the_host_and_the_rest_stays(save):
    plan = plan_model(save("normalized"))

    assert places(plan) == [
        ("1-chip", ("conv1", "relu1")),
        ("2-host", ("norm", "pool")),
        ("3-chip", ("conv2", "relu2", "flat", "dense", "out")),
    ]
    assert plan.share_of_multiply_accumulates == 1.0


def test_a_pool_behind_it_goes_to_the_host_because_fewer_values_are_sent_then(save):
    plan = plan_model(save("normalized"))

    sent = plan.segments[1].region.outputs
    assert sent == ("p",)
    assert plan.values.shape("p") == (4, 4, 4)
    assert plan.values.shape("n") == (4, 8, 8)


def test_an_activation_at_the_beginning_goes_to_the_host(save):
    text = """
    net (float[N, 20] x) => (float[N, 20] y) {
        [first] a = Gemm(x, w1)
        [norm] n = LayerNormalization(a, w2)
        [relu] r = Relu(n)
        [last] y = Gemm(r, w1)
    }
    """

    plan = plan_model(save(text, **weights((20, 20), (20,))))

    assert places(plan)[1:] == [("2-host", ("norm", "relu")), ("3-chip", ("last",))]


def test_a_sum_of_what_both_sides_make_is_left_to_the_host(save):
    text = """
    net (float[N, 40] x) => (float[N, 40] y) {
        [first] a = Gemm(x, w1)
        [norm] n = LayerNormalization(a, w2)
        [second] b = Gemm(n, w3)
        [sum] s = Add(a, b)
        [norm2] m = LayerNormalization(s, w2)
        [last] y = Gemm(m, w3)
    }
    """

    plan = plan_model(save(text, **weights((40, 40), (40,), (40, 40))))

    assert places(plan)[2:4] == [("3-chip", ("second",)), ("4-host", ("sum", "norm2"))]


def test_a_segment_may_make_several_values(save):
    plan = plan_model(save("excited"))

    first = plan.segments[0]
    assert first.nodes == ("conv1", "relu1", "mean", "squeeze", "bend", "excite", "gate")
    assert set(first.region.outputs) == {"b", "g"}
    assert plan.segments[1].nodes == ("scale", "sum")


def test_products_of_two_values_go_to_the_host(save):
    plan = plan_model(save("attending"))

    host = {name for segment in plan.of("host") for name in segment.nodes}
    assert {"scores", "weights", "mix"} <= host
    assert {"embed", "q", "k", "v", "dense"} <= {
        name for segment in plan.of("chip") for name in segment.nodes
    }


def test_what_only_stands_at_the_end_of_a_network_goes_to_the_host_elsewhere(save):
    text = """
    net (float[N, 20] x) => (float[N, 20] y) {
        [first] a = Gemm(x, w1)
        [soft] s = Softmax <axis = 1> (a)
        [second] y = Gemm(s, w1)
    }
    """

    plan = plan_model(save(text, **weights((20, 20))))

    assert places(plan) == [
        ("1-chip", ("first",)),
        ("2-host", ("soft",)),
        ("3-chip", ("second",)),
    ]


def test_a_region_with_little_work_for_what_is_sent_goes_to_the_host(save):
    text = """
    net (float[N, 64] x) => (float[N, 2] y) {
        [first] a = Gemm(x, w1)
        [norm] n = LayerNormalization(a, w2)
        [last] y = Gemm(n, w3)
    }
    """

    plan = plan_model(save(text, **weights((64, 64), (64,), (64, 2))))

    assert places(plan) == [("1-chip", ("first",)), ("2-host", ("norm", "last"))]
    assert plan.share_of_multiply_accumulates == 64 / 66


def test_a_region_with_little_of_the_work_of_the_model_goes_to_the_host(save):
    text = """
    net (float[N, 10, 40, 40] x) => (float[N, 10] y) {
        [conv] c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w1)
        [hard] h = Hardmax <axis = 1> (c)
        [mean] m = GlobalAveragePool(h)
        [flat] f = Flatten(m)
        [last] y = Gemm(f, w2)
    }
    """

    plan = plan_model(save(text, **weights((10, 10, 3, 3), (10, 10))))

    assert places(plan) == [
        ("1-chip", ("conv",)),
        ("2-host", ("hard", "mean", "flat", "last")),
    ]


def test_a_recurrent_layer_goes_to_the_host_with_its_work(save):
    text = """
    net (float[N, 8, 5] x) => (float[N, 4] y) {
        [conv] c = Conv <kernel_shape = [3], pads = [1, 1]> (x, w1)
        [relu] r = Relu(c)
        [turn] t = Transpose <perm = [2, 0, 1]> (r)
        [lstm] o, h = LSTM <hidden_size = 6> (t, w2, w3)
        [squeeze] s = Squeeze(h, axis)
        [dense] y = Gemm(s, w4)
    }
    """
    held = weights((16, 8, 3), (1, 24, 16), (1, 24, 6), (6, 4))

    plan = plan_model(save(text, axis=np.array([0]), **held))

    assert places(plan) == [
        ("1-chip", ("conv", "relu")),
        ("2-host", ("turn", "lstm", "squeeze", "dense")),
    ]
    work = [segment.multiply_accumulates for segment in plan.segments]
    assert work == [16 * 8 * 3 * 5, 5 * 24 * (16 + 6) + 24]


def test_nodes_that_carry_graphs_run_on_the_host(tmp_path):
    branch = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["a"], ["n"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("n", 1, None)],
    )
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w"], ["a"], name="first"),
        onnx.helper.make_node("ReduceSum", ["a"], ["total"], name="total", keepdims=0),
        onnx.helper.make_node("Cast", ["total"], ["c"], name="cast", to=9),
        onnx.helper.make_node("If", ["c"], ["b"], "if", then_branch=branch, else_branch=branch),
        onnx.helper.make_node("Gemm", ["b", "w"], ["y"], name="last"),
    ]
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1, 9]) for name in "xy"]
    weight = onnx.numpy_helper.from_array(np.eye(9, dtype=np.float32), "w")
    graph = onnx.helper.make_graph(nodes, "net", ends[:1], ends[1:], [weight])
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")

    plan = plan_model(tmp_path / "net.onnx")

    assert places(plan)[0] == ("1-chip", ("first",))
    assert "if" in plan.segments[1].nodes


def test_a_model_without_a_part_for_the_chip_is_refused(save):
    text = """
    net (float[N, 4] x) => (float[N, 4] y) {
        [norm] y = LayerNormalization(x, w1)
    }
    """

    with pytest.raises(UnsupportedOpError) as error:
        plan_model(save(text, **weights((4,))))

    assert "no part of the model is worth a segment on the chip" in error.value.problem
    assert error.value.hint == "see what stops its nodes: snn-compile check"


def test_values_of_the_host_count_for_the_limit_too(save):
    with pytest.raises(ImportModelError, match="500 are supported for all nodes together"):
        plan_model(save("normalized"), limits=Limits(elements=500))


def test_what_the_output_does_not_depend_on_is_named(save):
    text = """
    net (float[N, 20] x) => (float[N, 20] y) {
        [first] a = Gemm(x, w1)
        [dead] d = Neg(a)
        [norm] y = LayerNormalization(a, w2)
    }
    """

    plan = plan_model(save(text, **weights((20, 20), (20,))))

    assert plan.unused == ("dead",)
    assert [segment.nodes for segment in plan.segments] == [("first",), ("norm",)]


def test_an_inconsistent_model_is_refused(save, tmp_path):
    model = onnx.load(save("normalized"))
    model.graph.node.append(model.graph.node[1])
    onnx.save(model, tmp_path / "twice.onnx")

    with pytest.raises(ImportModelError, match="is inconsistent, says onnx"):
        plan_model(tmp_path / "twice.onnx")


def test_networks_of_trained_neurons_are_not_split(tmp_path):
    text = """
    net (float[N, 4] x) => (float[N, 4] y) {
        r = ai.snn_compile.RepeatWindows <windows = 2> (x)
        y = ai.snn_compile.AverageWindows <windows = 2> (r)
    }
    """
    onnx.save(spiking_model(text, windows=2), tmp_path / "net.onnx")

    with pytest.raises(UnsupportedOpError, match="a network of trained neurons, which is not"):
        plan_model(tmp_path / "net.onnx")


def test_a_plan_that_takes_too_long_is_given_up(save):
    def stop():
        raise TimeLimitError("late")

    with pytest.raises(TimeLimitError):
        plan_model(save("normalized"), check_time=stop)
