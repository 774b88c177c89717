"""Regions hold each step once, and run one after the other: what one reads is made before."""

from __future__ import annotations

import onnx
import onnx.helper
from hypothesis import given
from hypothesis import strategies as st

from toolchain.partial.dataflow import Flow
from toolchain.partial.regions import levels_of, region_of, regions_of


@st.composite
def flows(draw):
    """Return a flow of random nodes, with those of them that are on the host."""
    count = draw(st.integers(1, 12))
    values, nodes = ["x"], []
    for number in range(count):
        read = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
        nodes.append(onnx.helper.make_node("Sum", read, [f"v{number}"], name=f"n{number}"))
        values.append(f"v{number}")
    output = onnx.helper.make_tensor_value_info(values[-1], 1, None)
    graph = onnx.helper.make_graph(nodes, "net", [], [output])
    flow = Flow(graph, ["x"])
    names = [step.name for step in flow.steps]
    host = draw(st.sets(st.sampled_from(names)))
    first = draw(st.sets(st.sampled_from(names))) - host
    return flow, host, first


def parts_of(flow, host, first):
    """Return all parts of a model in the order in which a plan runs them."""
    levels = levels_of(flow, host, first)
    parts = [(levels[r.steps[0].name], 0, r) for r in regions_of(flow, levels, host)]
    left = {}
    for step in flow.steps:
        if step.name in host:
            left.setdefault(levels[step.name], []).append(step)
    parts += [(level, 1, region_of(flow, steps)) for level, steps in left.items()]
    return [part for _, _, part in sorted(parts, key=lambda part: part[:2])]


@given(flows())
def test_every_step_is_in_one_part(case):
    names = [step.name for part in parts_of(*case) for step in part.steps]

    assert sorted(names) == sorted(step.name for step in case[0].steps)


@given(flows())
def test_what_a_part_reads_is_made_before_it(case):
    known = {"x"}
    for part in parts_of(*case):
        assert known.issuperset(part.inputs)
        known.update(part.outputs)

    assert case[0].outputs[0] in known


@given(flows())
def test_steps_that_only_begin_regions_read_nothing_of_their_region(case):
    flow, host, first = case
    for part in parts_of(flow, host, first):
        made = {value for step in part.steps for value in step.makes}
        for step in part.steps:
            assert step.name not in first or made.isdisjoint(step.reads)


def test_all_readers_of_a_value_are_one_region():
    nodes = [
        onnx.helper.make_node("Relu", ["x"], ["a"], name="left"),
        onnx.helper.make_node("Neg", ["x"], ["b"], name="right"),
        onnx.helper.make_node("Mul", ["a", "b"], ["y"], name="product"),
    ]
    output = onnx.helper.make_tensor_value_info("y", 1, None)
    flow = Flow(onnx.helper.make_graph(nodes, "net", [], [output]), ["x"])

    regions = regions_of(flow, levels_of(flow, {"product"}, set()), {"product"})

    assert [(region.inputs, region.outputs) for region in regions] == [(("x",), ("a", "b"))]
