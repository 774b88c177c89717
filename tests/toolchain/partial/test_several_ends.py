"""Models with several inputs and outputs are split, run and compared by the names of these."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from toolchain.calibration import session
from toolchain.data import Samples
from toolchain.errors import InputDataError, UnsupportedOpError
from toolchain.frontend.testing import text_model
from toolchain.ir.packing import pack
from toolchain.metrics import Head
from toolchain.options import Options
from toolchain.partial.chain import Chain, Source, packed
from toolchain.partial.compilation import compile_partial
from toolchain.partial.ladder import Ladder, climb
from toolchain.partial.manifest import read_manifest, write_manifest
from toolchain.partial.planning import plan_model
from toolchain.partial.running import run_partial
from toolchain.partial.verifying import verify_partial

HEADED = """
net (float[N, 2, 8, 8] x) => (float[N, 3] classes, float[N, 4] place) {
    [conv1] a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w1)
    [relu1] b = Relu(a)
    [mean] m = GlobalAveragePool(b)
    [squeeze] s = Conv(m, w2)
    [bend] t = Relu(s)
    [excite] u = Conv(t, w3)
    [gate] g = Sigmoid(u)
    [scale] v = Mul(b, g)
    [conv2] c = Conv <kernel_shape = [3, 3]> (v, w4)
    [relu2] d = Relu(c)
    [flat] f = Flatten(d)
    [dense1] h = Gemm(f, w5)
    [soft] classes = Softmax(h)
    [dense2] place = Gemm(f, w6)
}
"""
"""Squeeze-and-excitation before two heads, of which one ends in a softmax."""

MIXED = """
net (float[N, 1, 8, 8] image, float[N, 12] numbers) => (float[N, 5] y) {
    [conv] a = Conv <kernel_shape = [3, 3]> (image, w1)
    [relu1] b = Relu(a)
    [flat] f = Flatten(b)
    [first] c = Gemm(numbers, w2)
    [norm] d = LayerNormalization(c, w3)
    [second] e = Gemm(d, w4)
    [relu2] g = Relu(e)
    [both] h = Concat <axis = 1> (f, g)
    [last] y = Gemm(h, w5)
}
"""
"""An image, and numbers that are normalized on their way."""

PASSED = """
net (float[N, 20] x, float[N, 3] tag) => (float[N, 20] a, float[N, 20] y, float[N, 3] tag) {
    [first] a = Gemm(x, w1)
    [norm] n = LayerNormalization(a, w2)
    [last] y = Gemm(n, w1)
}
"""
"""An input that is an output, and a value in the middle that is one."""

SIZES = {
    "headed": {
        "w1": (4, 2, 3, 3),
        "w2": (2, 4, 1, 1),
        "w3": (4, 2, 1, 1),
        "w4": (4, 4, 3, 3),
        "w5": (144, 3),
        "w6": (144, 4),
    },
    "mixed": {
        "w1": (3, 1, 3, 3),
        "w2": (12, 16),
        "w3": (16,),
        "w4": (16, 24),
        "w5": (132, 5),
    },
    "passed": {"w1": (20, 20), "w2": (20,)},
}
TEXTS = {"headed": HEADED, "mixed": MIXED, "passed": PASSED}
ENDS = {
    "headed": ({"x": (2, 8, 8)}, ["classes", "place"]),
    "mixed": ({"image": (1, 8, 8), "numbers": (12,)}, ["y"]),
    "passed": ({"x": (20,), "tag": (3,)}, ["a", "y", "tag"]),
}


@pytest.fixture
def model(tmp_path):
    """Return a function that writes a model and returns its path."""

    def write(name, *, batch="N"):
        random = np.random.default_rng(0)
        weights = {
            key: (random.normal(size=size) / np.sqrt(np.prod(size[1:]))).astype(np.float32)
            for key, size in SIZES[name].items()
        }
        text = TEXTS[name].replace("[N,", f"[{batch},")
        onnx.save(text_model(text, **weights), tmp_path / "net.onnx")
        return tmp_path / "net.onnx"

    return write


def arrays(name, count=12):
    random = np.random.default_rng(5)
    return {
        key: random.random((count, *shape)).astype(np.float32)
        for key, shape in ENDS[name][0].items()
    }


def whole(path, name, given):
    """Run a model in onnxruntime, node by node as it is written; return outputs by name."""
    runner, names = session(path.read_bytes(), as_written=True), ENDS[name][1]
    return dict(zip(names, runner.run(names, given), strict=True))


@pytest.fixture
def compiled(model, tmp_path):
    """Return a function that compiles a model to ``build`` and returns the report."""

    def compile_it(name, **labels):
        path, given = model(name), arrays(name)
        if len(given) == 1:
            np.savez(tmp_path / "x.npz", x=given["x"], **labels)
        else:
            np.savez(tmp_path / "x.npz", **given, **labels)
        return compile_partial(
            Options(
                model=path,
                calibration=tmp_path / "x.npz",
                test=tmp_path / "x.npz",
                output=tmp_path / "build",
                formats=("twin",),
                levels=15,
                lowering="temporal",
            )
        )

    return compile_it


def test_both_heads_stay_on_the_chip_behind_a_product_on_the_host(model):
    plan = plan_model(model("headed"))

    assert [segment.place for segment in plan.segments] == ["chip", "host", "chip"]
    assert plan.segments[1].nodes == ("scale",)
    assert plan.segments[2].region.outputs == ("classes", "place")
    assert {name: head.shape for name, head in plan.heads.items()} == {
        "classes": (3,),
        "place": (4,),
    }
    ends = {name: [s.function for s in head.tail] for name, head in plan.heads.items()}
    assert ends == {"classes": ["softmax"], "place": []}


def test_each_input_has_a_segment_where_they_meet_only_later(model):
    plan = plan_model(model("mixed"))

    chips = [(segment.region.inputs, segment.nodes) for segment in plan.of("chip")]
    assert chips[:2] == [
        (("image",), ("conv", "relu1", "flat")),
        (("numbers",), ("first",)),
    ]
    assert [segment.nodes for segment in plan.of("host")] == [("norm",)]


@pytest.mark.parametrize("batch", ["N", "1"])
@pytest.mark.parametrize("name", list(TEXTS))
def test_segments_give_each_output_that_the_model_gives(model, tmp_path, name, batch):
    path, given = model(name, batch=batch), arrays(name, 5)
    manifest = write_manifest(plan_model(path), tmp_path)

    split = manifest.chain(manifest.on_host).values(
        pack(list(given.values())), list(manifest.heads)
    )

    singles = [{key: x[i : i + 1] for key, x in given.items()} for i in range(5)]
    parts = [given] if batch == "N" else singles
    wanted = [whole(path, name, part) for part in parts]
    assert list(split) == ENDS[name][1]
    for key, found in split.items():
        np.testing.assert_array_equal(found, np.concatenate([part[key] for part in wanted]))


def test_the_manifest_names_inputs_and_outputs_and_is_read_as_it_was_written(
    compiled, tmp_path
):
    compiled("passed")

    held = json.loads((tmp_path / "build/partial.json").read_text())
    manifest = read_manifest(tmp_path / "build")
    assert held["inputs"] == [
        {"name": "x", "dtype": "float32", "shape": [20]},
        {"name": "tag", "dtype": "float32", "shape": [3]},
    ]
    assert [(end["name"], end["shape"]) for end in held["outputs"]] == [
        ("a", [20]),
        ("y", [20]),
        ("tag", [3]),
    ]
    assert manifest.input_parts == {"x": (20,), "tag": (3,)}
    assert manifest.output_parts == {"a": (20,), "y": (20,), "tag": (3,)}
    assert manifest.shape == (23,)


@pytest.mark.parametrize("name", list(TEXTS))
def test_the_ladder_runs_answers_are_written_by_name_and_are_near(compiled, tmp_path, name):
    report = compiled(name)

    rungs = {rung.rung: rung for rung in report.ladder}
    assert report.is_kept
    assert rungs["split"].max_abs_error == 0.0
    assert rungs["chain"].max_abs_error > 0
    run_partial(tmp_path / "build", tmp_path / "x.npz", output=tmp_path / "y.npz")
    wanted = whole(tmp_path / "net.onnx", name, arrays(name))
    with np.load(tmp_path / "y.npz") as outputs:
        found = {key: outputs[key] for key in outputs.files}
    if len(wanted) == 1:
        found = dict.fromkeys(wanted, found["y"])
    assert list(found) == list(wanted)
    for key, y in wanted.items():
        assert found[key].shape == y.shape
        assert np.abs(found[key] - y).max() < 0.3 * np.abs(y).max(), key


def test_an_input_that_is_an_output_comes_back_as_it_is(compiled, tmp_path):
    compiled("passed")

    run_partial(tmp_path / "build", tmp_path / "x.npz", output=tmp_path / "y.npz")

    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["tag"], arrays("passed")["tag"])


def test_agreement_is_over_the_answers_of_all_outputs_and_labels_are_of_the_first(
    compiled, tmp_path
):
    classes = np.random.default_rng(1).integers(0, 3, 12)
    report = compiled("headed", y=classes)

    run = run_partial(tmp_path / "build", tmp_path / "x.npz", output=tmp_path / "y.npz")

    chain = report.ladder[-1]
    wanted = whole(tmp_path / "net.onnx", "headed", arrays("headed"))
    with np.load(tmp_path / "y.npz") as outputs:
        same = [outputs[key].argmax(axis=1) == y.argmax(axis=1) for key, y in wanted.items()]
        right = int((outputs["classes"].argmax(axis=1) == classes).sum())
    assert chain.agreement == pytest.approx(np.mean(same))
    assert (run.tally.right, run.tally.answers) == (right, 12)
    assert chain.metric == pytest.approx(right / 12)


def test_a_ladder_takes_the_answers_of_each_output_by_themselves():
    def chain(a, b):
        made = {"a": np.array(a, np.float32), "b": np.array(b, np.float32)}
        return Chain((Source("x", "float32", (1,)),), (lambda _: made,), is_one_by_one=False)

    model = chain([[1, 0], [1, 0]], [[9, 0, 0], [9, 0, 0]])
    ladder = Ladder(
        source=model,
        split=model,
        chain=chain([[1, 0], [0, 1]], [[9, 0, 0], [9, 0, 0]]),
        chips=[],
        shapes={},
        heads={"a": Head((2,)), "b": Head((3,))},
    )

    found = climb(ladder, Samples(np.zeros((2, 1)), np.array([0, 0])), lambda _: None)

    assert [rung.agreement for rung in found.rungs] == [1.0, 1.0, 0.75]
    assert [rung.metric for rung in found.rungs] == [1.0, 1.0, 0.5]


@pytest.mark.parametrize("name", ["headed", "mixed"])
def test_a_build_is_verified_as_it_was_compiled(compiled, tmp_path, name):
    report = compiled(name)

    found = verify_partial(
        tmp_path / "build", tmp_path / "x.npz", rungs=("onnxruntime", "split", "chain")
    )

    assert found.ladder == report.ladder


def test_an_output_that_depends_on_no_input_is_refused(tmp_path):
    text = """
    net (float[1, 20] x) => (float[1, 20] y, float[1, 20] z) {
        [norm] n = LayerNormalization(x, w2)
        [last] y = Gemm(n, w1)
        [constant] z = Relu(row)
    }
    """
    weights = {"w1": np.eye(20), "w2": np.ones(20), "row": np.ones((1, 20))}
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    onnx.save(text_model(text, **floats), tmp_path / "net.onnx")

    with pytest.raises(UnsupportedOpError, match="does not depend on its inputs") as error:
        plan_model(tmp_path / "net.onnx")

    assert error.value.node == "z"


def test_an_output_that_is_listed_twice_is_refused(model, tmp_path):
    held = onnx.load(model("headed"))
    held.graph.output.append(held.graph.output[0])
    onnx.save(held, tmp_path / "net.onnx")

    with pytest.raises(UnsupportedOpError, match="twice"):
        plan_model(tmp_path / "net.onnx")


def test_an_output_of_another_shape_than_the_model_says_is_refused():
    values = {"a": np.zeros((2, 3)), "b": np.zeros((2, 4))}

    with pytest.raises(InputDataError, match=r"has shape \(4,\) in each sample") as error:
        packed(values, {"a": Head((3,)), "b": Head((5,))})

    assert error.value.node == "b"
