"""What has no counterpart on the chip is refused by its name, with a way out: never guessed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from toolchain.checking import check_model
from toolchain.errors import UnsupportedOpError
from toolchain.frontend.importing import import_model
from toolchain.frontend.testing import small_integers, text_model

NORMALIZATION = "train with BatchNormalization"
AT_THE_END, GATE = "use Relu inside the network", "a spike cannot scale another"
OUTSIDE = "compute it before or behind the network"
FLAT, ROWS = ("N, 4", "N, 4"), ("N, 3, 4", "N, 3, 4")

STOPPED = {
    "square": (FLAT, "[stop] b = Mul (a, a)", GATE),
    "cube": (FLAT, "[stop] b = Pow (a, three)", GATE),
    "logarithm": (FLAT, "[stop] b = Log (a)", GATE),
    "gated linear unit": (
        FLAT, "c = MatMul (x, v)  k = Sigmoid (c)  [stop] b = Mul (a, k)", GATE,
    ),
    "Softmax inside": (FLAT, "[stop] b = Softmax <axis = 1> (a)", AT_THE_END),
    "LayerNormalization": (ROWS, "[stop] b = LayerNormalization (a, g, h)", NORMALIZATION),
    "InstanceNormalization": (
        ("N, 4, 4", "N, 4, 4"), "[stop] b = InstanceNormalization (a, g, h)", NORMALIZATION,
    ),
    "attention": (
        ROWS,
        "t = Transpose <perm = [0, 2, 1]> (a)  [stop] s = MatMul (a, t) "
        "p = Softmax <axis = 2> (s)  b = MatMul (p, a)",
        GATE,
    ),
    "Exp": (FLAT, "[stop] b = Exp (a)", OUTSIDE),
    "Where": (FLAT, "[stop] c = Greater (a, g)  b = Where (c, a, g)", OUTSIDE),
}  # fmt: skip


def saved(folder, model):
    path = folder / "net.onnx"
    onnx.save(model, path)
    return path


def require_stopped(path, hint):
    """Check that import and check name the node ``stop`` and the way out."""
    with pytest.raises(UnsupportedOpError) as error:
        import_model(path)
    assert error.value.node == "stop"
    assert hint in error.value.hint

    found = check_model(path)
    assert not found.compiles
    (fix,) = [obstacle.fix for obstacle in found.obstacles if obstacle.node == "stop"]
    assert hint in fix


@pytest.mark.parametrize("name", STOPPED)
def test_an_operator_without_counterpart_is_refused(tmp_path, name):
    (read, made), nodes, hint = STOPPED[name]
    text = f"""net (float[{read}] x) => (float[{made}] y) {{
        a = MatMul (x, w)  {nodes}  y = Relu (b) }}"""
    weights = {
        "w": small_integers(4, 4),
        "v": small_integers(4, 4, seed=1),
        "g": small_integers(4),
        "h": small_integers(4),
    }
    weights["three"] = np.array(3, np.float32)

    require_stopped(saved(tmp_path, text_model(text, opset=20, **weights)), hint)


@pytest.mark.parametrize(("cell", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_a_recurrent_cell_is_refused(tmp_path, cell, gates):
    text = f"""net (float[N, 3, 2] x) => (float[N, 2] y) {{
        t = Transpose <perm = [1, 0, 2]> (x)
        [stop] s, h = {cell} <hidden_size = 2> (t, w, r)
        q = Squeeze (h, first)  y = Relu (q) }}"""
    weights = {"w": small_integers(1, 2 * gates, 2), "r": small_integers(1, 2 * gates, 2)}
    path = saved(tmp_path, text_model(text, first=np.array([0]), **weights))

    with pytest.raises(UnsupportedOpError) as error:
        import_model(path)

    assert error.value.node == "stop"
    assert "its state is kept over the sequence" in error.value.problem
    assert "train a feed-forward network" in error.value.hint
    found = check_model(path)
    (obstacle,) = found.obstacles
    assert (obstacle.node, obstacle.problem) == ("stop", error.value.problem)
    verdicts = {node.operator: node.verdict for node in found.nodes}
    assert verdicts.pop(cell) == "stopped"
    assert set(verdicts.values()) == {"not reached"}


def test_a_transpose_that_other_nodes_read_too_is_refused_itself(tmp_path):
    text = """net (float[N, 3, 2] x) => (float[N, 2] y) {
        [turn] t = Transpose <perm = [1, 0, 2]> (x)
        [stop] s, h = RNN <hidden_size = 2> (t, w, r)
        q = Squeeze (h, first)
        m = ReduceMean <axes = [0], keepdims = 0> (t)  y = Add (q, m) }"""
    weights = {"w": small_integers(1, 2, 2), "r": small_integers(1, 2, 2)}
    path = saved(tmp_path, text_model(text, first=np.array([0]), **weights))

    assert {found.node for found in check_model(path).obstacles} == {"turn"}


def test_squeeze_and_excitation_is_refused(tmp_path, write):
    """Hu et al. 2018: channels scaled by what the network computes."""
    written = write()
    x = written.relu(written.conv(written.input(2, 8, 8), 4))
    gate = written.conv(written.node("GlobalAveragePool", x), 4, 1)
    x = written.node("Mul", x, written.node("HardSigmoid", gate))
    written.nodes[-1].name = "stop"

    require_stopped(saved(tmp_path, written.model(written.head(x))), GATE)


@pytest.mark.parametrize("activation", ["LeakyRelu", "Identity"])
def test_a_maximum_of_many_negative_values_is_refused(tmp_path, write, activation):
    """A spike count is never negative, and comparisons of many values cost many neurons."""
    written = write()
    x = written.node(activation, written.conv(written.input(2, 8, 8), 4))
    x = written.pool(x, 17, 2, pads=[8, 8, 8, 8])
    written.nodes[-1].name = "stop"
    path = saved(tmp_path, written.model(written.head(written.relu(written.conv(x, 4)))))

    (obstacle, *_) = [found for found in check_model(path).obstacles if found.node == "stop"]

    assert obstacle.fix == "pool behind an activation"
