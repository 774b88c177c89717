"""The nine architectures that onnx has without weights are read, and what stops them named."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from toolchain.checking import check_model
from toolchain.frontend.importing import import_model
from toolchain.ir.verify import accounted, verify
from toolchain.partial.planning import plan_model

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
COMPILED = ("densenet121", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19")
NORMALIZED = {"bvlc_alexnet": 2, "inception_v1": 2, "zfnet512": 2}
SLOW = {"densenet121"}

SOME_SLOW = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in COMPILED
]


def path(name):
    return FOLDER / f"light_{name}.onnx"


def test_the_list_is_that_of_onnx():
    names = {file.stem.removeprefix("light_") for file in FOLDER.glob("*.onnx")}

    assert names == {*COMPILED, *NORMALIZED}


@pytest.mark.parametrize("name", SOME_SLOW)
def test_an_architecture_compiles(name):
    check = check_model(path(name))

    assert check.obstacles == ()
    assert {node.verdict for node in check.nodes} <= {"on chip", "folded", "host"}


@pytest.mark.parametrize("name", COMPILED)
def test_no_node_is_lost_on_import(name):
    model = import_model(path(name))

    verify(model.graph)
    assert accounted(model.graph) == set(model.graph.source_nodes)
    assert model.input_shape == (3, 224, 224)


@pytest.mark.parametrize(("name", "count"), NORMALIZED.items())
def test_local_response_normalization_alone_stops_the_oldest(name, count):
    check = check_model(path(name))

    operators = {node.name: node.operator for node in check.nodes}
    assert len(check.obstacles) == count
    assert {operators[found.node] for found in check.obstacles} == {"LRN"}
    assert "BatchNormalization" in check.obstacles[0].fix


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMALIZED)
def test_what_normalization_stops_is_split_around_it(name):
    plan = plan_model(path(name))

    operators = {node.name: node.op_type for node in plan.file.source.graph.node}
    host = {operators[node] for segment in plan.of("host") for node in segment.nodes}
    assert [segment.place for segment in plan.segments] == ["chip", "host"] * 2 + ["chip"]
    assert host == {"LRN", "MaxPool"}
    assert plan.share_of_multiply_accumulates == 1.0
