"""``snn-compile check`` says of every node what becomes of it, and names all obstacles."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx.checker
import pytest

from toolchain.checking import check_model
from toolchain.cli import main
from toolchain.frontend.testing import import_proto, run_onnxruntime, text_model
from toolchain.ir.ann import MaxPool, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.verify import ALLOWED

CONVOLUTIONS = """
net (float[N, 1, 6, 6] x) => (float[N, 3] y) {
    [scaled] s = Mul(x, two)
    [conv] c = Conv <kernel_shape = [3, 3]> (s, w1)
    [norm] n = BatchNormalization(c, one, one, one, one)
    [act] r = Relu(n)
    [pool] p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)
    [shape] q = Shape(p)
    [first] i = Constant <value_ints = [0]> ()
    [size] b = Gather(q, i)
    [rest] j = Constant <value_ints = [-1]> ()
    [wanted] t = Concat <axis = 0> (b, j)
    [flat] f = Reshape(p, t)
    [dense] d = Gemm(f, w2)
    [out] y = Softmax(d)
}
"""
OBSTACLES = """
net (float[N, 4] x) => (float[N, 3] y) {
    [first] a = Gemm(x, w1)
    [curve] b = ThresholdedRelu(a)
    [second] c = Gemm(b, w2)
    [bend] d = ThresholdedRelu(c)
    [third] e = Gemm(d, w2)
    [kept] f = Relu(e)
    [odd] g = ArgMax <axis = 1, select_last_index = 1> (f)
    [cast] h = Cast <to = 1> (g)
    [last] y = Gemm(f, w3)
}
"""


def weights_of_convolutions():
    random = np.random.default_rng(0)
    return {
        "two": np.array(2, np.float32),
        "one": np.ones(2, np.float32),
        "w1": random.normal(size=(2, 1, 3, 3)).astype(np.float32),
        "w2": random.normal(size=(8, 3)).astype(np.float32),
    }


def weights_of_obstacles():
    random = np.random.default_rng(0)
    shapes = {"w1": (4, 5), "w2": (5, 5), "w3": (5, 3)}
    return {name: random.normal(size=s).astype(np.float32) for name, s in shapes.items()}


@pytest.fixture
def checked(workplace, capsys):
    """Return a function that checks a model written as text."""

    def check(text, *words, opset=18, foreign=None, **weights):
        model = text_model(text, opset=opset, **weights)
        for node in model.graph.node:
            if node.name == foreign:
                node.domain = "com.acme"
        onnx.save(model, "net.onnx")
        before = workplace.contents()
        capsys.readouterr()
        code = main(["check", "net.onnx", "--json", *words])
        out, err = capsys.readouterr()
        assert err == ""
        if not words:
            assert workplace.contents() == before
        found = json.loads(out)
        assert found["compiles"] is (code == 0)
        return code, found

    return check


def verdicts(found):
    return {node["name"]: node["verdict"] for node in found["nodes"]}


def test_every_node_has_a_verdict(checked):
    code, found = checked(CONVOLUTIONS, **weights_of_convolutions())

    assert code == 0
    assert verdicts(found) == {
        "scaled": "folded",
        "conv": "on chip",
        "norm": "folded",
        "act": "on chip",
        "pool": "on chip",
        "shape": "folded",
        "first": "folded",
        "size": "folded",
        "rest": "folded",
        "wanted": "folded",
        "flat": "folded",
        "dense": "on chip",
        "out": "host",
    }
    into = {node["name"]: node["into"] for node in found["nodes"] if node["into"]}
    assert into["norm"] == into["scaled"] == "conv"
    assert into["flat"] == "dense"
    assert into["shape"] == "a constant"


def test_an_average_is_folded_into_what_reads_it_and_not_into_itself(checked):
    _, found = checked(
        """net (float[N, 2, 4, 4] x) => (float[N, 3] y) {
            [act] a = Relu (x)
            [mean] b = GlobalAveragePool (a)
            [flat] c = Flatten (b)
            [square] s = Mul (c, c)
            [root] r = Sqrt (s)
            [dense] y = MatMul (r, w)
        }""",
        w=np.ones((2, 3), np.float32),
    )

    assert {n["name"]: n["into"] for n in found["nodes"]}["mean"] == "square"


def test_what_keeps_a_model_from_being_split_is_said(workplace, capsys):
    text = """net (float[N, 4] x, float[N, 4] z) => (float[N, 3] y) {
        a = Mul (x, z)
        y = MatMul (a, w)
    }"""
    workplace.save_model(text, w=np.ones((4, 3), np.float32))
    capsys.readouterr()

    assert main(["check", "net.onnx"]) == 4

    said = " ".join(capsys.readouterr().out.split())
    assert (
        "--partial is no way out: no part of the model is worth a segment on the chip" in said
    )


def test_a_node_that_is_only_measured_is_a_constant(checked):
    code, found = checked(
        """net (float[N, 4] x) => (float[N, 1, 2] y) {
            [turned] t = Unsqueeze <axes = [1]> (x)
            [dead] d = Softmax (t)
            [shape] s = Shape (d)
            [dense] a = MatMul (x, w)
            [size] i = Slice <starts = [1], ends = [2], axes = [0]> (s)
            [filled] z = Concat <axis = 0> (minus, i, two)
            [out] y = Reshape (a, z)
        }""",
        opset=9,
        w=np.ones((4, 2), np.float32),
        minus=np.array([-1]),
        two=np.array([2]),
    )

    measured = [node for node in found["nodes"] if node["name"] in ("turned", "dead", "shape")]
    assert code == 0
    assert found["obstacles"] == []
    assert [node["verdict"] for node in measured] == ["folded"] * 3
    assert [node["into"] for node in measured] == ["a constant"] * 3
    assert sum(node["multiply_accumulates"] for node in measured) == 0


def test_what_the_host_does_to_the_sample_is_the_host_s(checked):
    _, found = checked(
        """net (uint8[N, 4] x) => (float[N, 3] y) {
            [begin] a = Cast <to = 1> (x)
            [dense] y = MatMul(a, w)
        }""",
        w=np.ones((4, 3), np.float32),
    )

    assert verdicts(found) == {"begin": "host", "dense": "on chip"}


def test_shares_are_of_nodes_and_of_work(checked):
    _, found = checked(CONVOLUTIONS, **weights_of_convolutions())

    work = {node["name"]: node["multiply_accumulates"] for node in found["nodes"]}
    assert work["conv"] == 4 * 4 * 2 * 9
    assert work["dense"] == 8 * 3
    assert found["multiply_accumulates"] == sum(work.values()) == 4 * 4 * 2 * 9 + 8 * 3
    assert found["share_of_multiply_accumulates"] == 1
    assert found["share_of_nodes"] == pytest.approx(12 / 13)


def test_capacity_is_what_no_sample_is_needed_for(checked):
    _, found = checked(CONVOLUTIONS, **weights_of_convolutions())
    _, fewer = checked(CONVOLUTIONS, "--levels", "3", **weights_of_convolutions())

    capacity = found["capacity"]
    units = 2 * 4 * 4 + 2 * 2 * 2
    assert capacity["lowering"] == "spatial"
    assert (capacity["units"], capacity["neurons"]) == (units, 15 * units)
    assert fewer["capacity"]["neurons"] == 3 * units
    assert capacity["connections"] == 4 * 4 * 2 * 9 + 8 * 3
    assert capacity["fan_in"] == 9


def test_what_is_checked_to_compile_compiles(workplace):
    code = main(["check", "net.onnx"])

    assert code == 0
    assert main(["net.onnx", "--quiet"]) == 0


def test_all_obstacles_are_named_and_what_is_behind_them_is_judged(checked):
    code, found = checked(OBSTACLES, **weights_of_obstacles())

    assert code == 4
    stopped = {obstacle["node"]: obstacle for obstacle in found["obstacles"]}
    assert set(stopped) == {"curve", "bend", "odd", "cast"}
    assert stopped["curve"]["stage"] == "import"
    assert stopped["curve"]["code"] == "SNN-OPERATOR"
    assert stopped["curve"]["fix"] == "train with Relu as activation"
    assert "select_last_index=1" in stopped["odd"]["problem"]
    assert "nothing reads" in stopped["cast"]["problem"]
    assert verdicts(found)["second"] == "on chip"
    assert verdicts(found)["last"] == "on chip"
    assert found["capacity"] is None
    assert "may stop more nodes" in found["notes"][0]


def test_what_waits_for_a_value_of_unknown_type_is_not_reached(checked):
    code, found = checked(
        """net (float[N, 4] x) => (float[N, 4] y) {
            [first] a = Relu(x)
            [foreign] b = ThresholdedRelu(a)
            [behind] c = Relu(b)
            [beside] d = ThresholdedRelu(a)
            [joined] y = Add(c, d)
        }""",
        foreign="foreign",
    )

    assert code == 4
    assert verdicts(found) == {
        "first": "on chip",
        "foreign": "stopped",
        "behind": "not reached",
        "beside": "stopped",
        "joined": "not reached",
    }
    assert {obstacle["node"] for obstacle in found["obstacles"]} == {"foreign", "beside"}


def test_work_behind_unknown_shapes_is_not_guessed(checked):
    _, found = checked(
        """net (float[N, 4] x) => (float[N, 3] y) {
            [foreign] b = ThresholdedRelu(x)
            [dense] y = MatMul(b, w)
        }""",
        foreign="foreign",
        w=np.ones((4, 3), np.float32),
    )

    assert found["nodes"][1]["multiply_accumulates"] is None
    assert found["share_of_multiply_accumulates"] is None


def test_a_constant_that_cannot_be_computed_stops_its_readers(checked):
    _, found = checked(
        """net (float[N, 4] x) => (float[N, 4] y) {
            [noise] r = RandomNormal <shape = [4]> ()
            [sum] a = Add(x, r)
            [last] y = Relu(a)
        }""",
    )

    assert verdicts(found) == {"noise": "stopped", "sum": "not reached", "last": "not reached"}


def test_weights_that_are_not_finite_stop_what_reads_them(checked):
    weights = weights_of_obstacles() | {"w1": np.full((4, 5), np.nan, np.float32)}

    _, found = checked(OBSTACLES, **weights)

    assert "w1" in {obstacle["node"] for obstacle in found["obstacles"]}
    assert verdicts(found)["first"] == "not reached"


def test_a_smooth_operator_inside_the_network_is_blamed_itself(checked):
    _, found = checked(
        """net (float[N, 4] x) => (float[N, 5] y) {
            [first] a = Gemm(x, w1)
            [curve] b = ThresholdedRelu(a)
            [second] c = Gemm(b, w2)
            [sink] y = Relu(c)
        }""",
        **{name: array for name, array in weights_of_obstacles().items() if name != "w3"},
    )

    assert verdicts(found)["curve"] == "stopped"
    assert verdicts(found)["second"] == "on chip"


@pytest.fixture
def forbid(monkeypatch):
    """Return a function that forbids a primitive behind preparation."""

    def forbid(kind):
        rest = tuple(other for other in ALLOWED[Phase.PREPARE] if other is not kind)
        monkeypatch.setitem(ALLOWED, Phase.PREPARE, rest)

    return forbid


def test_what_preparation_leaves_over_is_named_by_its_onnx_node(checked, forbid):
    forbid(Relu)

    code, found = checked(
        """net (float[N, 4] x) => (float[N, 3] y) {
            [first] a = Gemm(x, w1)
            [act] b = Relu(a)
            [second] c = Gemm(b, w2)
            [act2] d = Relu(c)
            [last] y = Gemm(d, w3)
        }""",
        **weights_of_obstacles(),
    )

    assert code == 4
    stopped = [(obstacle["stage"], obstacle["node"]) for obstacle in found["obstacles"]]
    assert stopped == [("verify", "act"), ("verify", "act2")]
    assert [name for name, verdict in verdicts(found).items() if verdict != "on chip"] == [
        "act", "act2"
    ]  # fmt: skip
    assert found["capacity"] is None


def test_behind_a_refused_activation_preparation_is_looked_at_too(checked, forbid):
    forbid(MaxPool)

    _, found = checked(
        """net (float[N, 1, 4, 4] x) => (float[N, 1, 2, 2] y) {
            [first] a = Conv <kernel_shape = [1, 1]> (x, w)
            [curve] b = ThresholdedRelu(a)
            [second] c = Conv <kernel_shape = [1, 1]> (b, w)
            [act] d = Relu(c)
            [pool] e = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d)
            [last] y = Conv <kernel_shape = [1, 1]> (e, w)
        }""",
        w=np.ones((1, 1, 1, 1), np.float32),
    )

    stopped = {obstacle["node"]: obstacle["stage"] for obstacle in found["obstacles"]}
    assert stopped == {"curve": "import", "pool": "verify"}
    assert verdicts(found)["first"] == verdicts(found)["last"] == "on chip"
    assert found["notes"][0].startswith("behind the import, rectifiers stood in")
    assert found["capacity"] is None


def test_a_second_input_and_output_do_not_hide_the_rest(checked):
    _, found = checked(
        """net (float[N, 4] x, float[N, 4] z) => (float[N, 4] y, float[N, 4] v) {
            [first] y = ThresholdedRelu(x)
            [second] v = ThresholdedRelu(y)
            [third] u = ThresholdedRelu(z)
        }""",
    )

    assert {"first", "second"} <= {obstacle["node"] for obstacle in found["obstacles"]}
    assert len(found["obstacles"]) >= 3


def test_a_node_that_is_written_out_in_several_has_one_verdict(checked):
    scale, zero = np.array(0.5, np.float32), np.array(0, np.uint8)

    code, found = checked(
        """net (float[N, 4] x) => (float[N, 3] y) {
            [begin] q = QuantizeLinear(x, s, z)
            [product] p = QLinearMatMul(q, s, z, w, s, z, s, z)
            [end] y = DequantizeLinear(p, s, z)
        }""",
        "--tagged",
        "tagged.onnx",
        s=scale,
        z=zero,
        w=np.ones((4, 3), np.uint8),
    )

    assert [node["operator"] for node in found["nodes"]] == [
        "QuantizeLinear", "QLinearMatMul", "DequantizeLinear"
    ]  # fmt: skip
    assert found["nodes"][1]["multiply_accumulates"] == 4 * 3
    assert {obstacle["node"] for obstacle in found["obstacles"]} <= {"begin", "product", "end"}
    assert "snn-compile.verdict" in metadata("tagged.onnx")["product"]
    assert code in (0, 4)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 1, 1, 2]])
def test_a_model_whose_nodes_are_out_of_order_is_in_the_way_of_itself(workplace, capsys, order):
    model = onnx.load("net.onnx")
    nodes = [model.graph.node[index] for index in order]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    (workplace.path / "net.onnx").write_bytes(model.SerializeToString())

    assert main(["check", "net.onnx"]) == 4
    assert "stopped: import" in capsys.readouterr().out


def test_a_network_that_is_larger_than_a_chip_is_told_so(checked):
    _, found = checked(
        """net (float[N, 1, 1100, 1000] x) => (float[N, 1, 1100, 1000] y) {
            [first] a = Conv <kernel_shape = [1, 1]> (x, w)
            [act] b = Relu(a)
            [last] y = Conv <kernel_shape = [1, 1]> (b, w)
        }""",
        w=np.ones((1, 1, 1, 1), np.float32),
    )

    assert found["capacity"]["lowering"] == "temporal"
    assert found["notes"][0].startswith("1,100,000 neurons do not fit one chip, which has ")


def test_the_page_for_people_groups_what_is_alike(checked, capsys):
    checked(OBSTACLES, **weights_of_obstacles())

    code = main(["check", "net.onnx"])

    out = capsys.readouterr().out
    assert code == 4
    assert "10 ONNX nodes" not in out
    assert "9 ONNX nodes" in out
    assert out.count("ThresholdedRelu is not supported") == 1
    assert "'curve', 'bend'" in " ".join(out.split())
    assert "  fix: train with Relu as activation\n" in out
    assert out.endswith("something stops this model\n")
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80


# The copy for viewers.


def metadata(path):
    model = onnx.load(path, load_external_data=False)
    return {
        node.name: {entry.key: entry.value for entry in node.metadata_props}
        for node in model.graph.node
    }


def test_the_tagged_copy_is_the_model_with_verdicts(checked, workplace):
    checked(CONVOLUTIONS, "--tagged", "tagged.onnx", **weights_of_convolutions())

    onnx.checker.check_model("tagged.onnx", full_check=True)
    tags = metadata("tagged.onnx")
    assert tags["conv"]["snn-compile.verdict"] == "on chip"
    assert tags["norm"]["snn-compile.into"] == "conv"
    tagged = onnx.load("tagged.onnx")
    for node in tagged.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    assert tagged == onnx.load("net.onnx")


def test_the_tagged_copy_says_what_stops_a_node(checked):
    checked(OBSTACLES, "--tagged", "tagged.onnx", **weights_of_obstacles())

    assert metadata("tagged.onnx")["curve"] == {
        "snn-compile.verdict": "stopped",
        "snn-compile.stage": "import",
        "snn-compile.code": "SNN-OPERATOR",
        "snn-compile.problem": "ThresholdedRelu is not supported; "
        "docs/supported-operators.md has those that are",
        "snn-compile.fix": "train with Relu as activation",
    }


@pytest.mark.parametrize("place", [".", "elsewhere"])
def test_weights_in_files_beside_the_model_are_read_from_the_copy(workplace, capsys, place):
    model = onnx.load("net.onnx")
    onnx.save(model, "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (workplace.path / place).mkdir(exist_ok=True)
    before = (workplace.path / "w.bin").read_bytes()

    assert main(["check", "net.onnx", "--tagged", f"{place}/tagged.onnx"]) == 0

    assert (workplace.path / "w.bin").read_bytes() == before
    tagged, original = onnx.load(f"{place}/tagged.onnx"), onnx.load("net.onnx")
    assert list(tagged.graph.initializer) == list(original.graph.initializer)
    x = np.ones((2, 4), np.float32)
    ours, theirs = (run_onnxruntime(import_proto(m), x) for m in (tagged, original))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["net.onnx", "./net.onnx", "w.bin"])
def test_the_model_itself_is_never_written_to(workplace, name):
    model = onnx.load("net.onnx")
    onnx.save(model, "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)

    problem = workplace.refusal("check", "net.onnx", "--tagged", name)

    assert "is part of the model, which stays as it is" in problem


def test_a_copy_that_cannot_be_written_leaves_nothing(workplace):
    problem = workplace.refusal("check", "net.onnx", "--tagged", "nowhere/tagged.onnx")

    assert problem.startswith("write at 'nowhere/tagged.onnx': cannot be written")


# What cannot be checked.


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\xff" * 64])
def test_what_is_no_model_is_refused(workplace, content):
    (workplace.path / "net.onnx").write_bytes(content)

    assert workplace.refusal("check", "net.onnx").startswith("import at 'net.onnx': ")


def test_a_missing_model_is_refused(workplace):
    assert "there is no such file" in workplace.refusal("check", "nothing.onnx")


def test_an_input_without_a_fixed_shape_is_refused(workplace):
    workplace.save_model("net (float[N, M] x) => (float[N, M] y) { y = Relu(x) }")

    assert "need a fixed length" in workplace.refusal("check", "net.onnx")


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--max-nodes", "has 3 nodes; 2 are read"),
        ("--max-bytes", "up to 2 are supported"),
        ("--max-elements", "2 elements are supported"),
    ],
)
def test_a_model_beyond_a_limit_is_refused(workplace, option, problem):
    assert problem in workplace.refusal("check", "net.onnx", option, "2")


def test_an_unknown_target_is_refused(workplace):
    problem = workplace.refusal("check", "net.onnx", "--target", "loihi3")

    assert problem.startswith("look-up: no target is called 'loihi3'")


@pytest.mark.parametrize("words", [[], ["net.onnx", "--levels", "0"], ["a", "b"]])
def test_arguments_that_make_no_sense_are_refused(words):
    with pytest.raises(SystemExit) as end:
        main(["check", *words])

    assert end.value.code == 2


def test_a_check_needs_no_onnxruntime(workplace, monkeypatch):
    import onnxruntime

    def refuse(*_, **__):
        raise AssertionError("a session was made")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)

    assert check_model(workplace.path / "net.onnx").compiles
