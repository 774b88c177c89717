"""The flow is what the answer depends on and what depends on the sample, and nothing else."""

from __future__ import annotations

import onnx
import onnx.helper
import onnx.parser

from toolchain.frontend.testing import text_model
from toolchain.partial.dataflow import Flow, reads_of

GRAPH = """
net (float[N, 4] x) => (float[N, 4] y) {
    [shape] s = Shape(x)
    [constant] c = Cast <to = 1> (s)
    [first] a = Relu(x)
    [dead] d = Neg(a)
    [second] b, k = TopK(a, two)
    [last] y = Mul(a, a)
}
"""


def test_steps_are_those_between_the_sample_and_the_output():
    graph = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {GRAPH}').graph

    flow = Flow(graph, ["x"])

    assert [step.name for step in flow.steps] == ["first", "last"]
    assert flow.dependent == {"first", "dead", "second", "last"}
    assert flow.makers["a"].name == "first"
    assert [step.name for step in flow.readers["a"]] == ["last"]


def test_a_node_reads_what_its_graphs_read_from_around_it():
    inner = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Neg", ["outside"], ["own"]),
            onnx.helper.make_node("Add", ["own", "other"], ["made"]),
        ],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("made", 1, None)],
    )
    node = onnx.helper.make_node(
        "If", ["condition"], ["y"], then_branch=inner, else_branch=inner
    )

    assert reads_of(node) == ("condition", "outside", "other")


def test_outputs_that_nothing_reads_are_not_made():
    model = text_model(
        """
        net (float[N, 4] x) => (float[N, 4] y) {
            [split] a, b = Split <axis = 1> (x, sizes)
            [last] y = Concat <axis = 1> (a, a)
        }
        """,
        sizes=onnx.numpy_helper.to_array(onnx.helper.make_tensor("s", 7, [2], [2, 2])),
    )

    flow = Flow(model.graph, ["x"])

    assert flow.steps[0].makes == ("a",)
