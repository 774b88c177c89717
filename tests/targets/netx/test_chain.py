"""Branches are no chain: a netx file is refused by the population where they part or meet."""

from __future__ import annotations

import numpy as np
import pytest

from targets.formats.netx_hdf5 import emit_netx
from targets.netx.branches import cost_of_chain
from targets.netx.chain import chain_of
from toolchain.errors import EmitError
from toolchain.frontend.testing import import_text, small_integers
from toolchain.ir.mapped import Circuit, DenseSynapse, Lif, Source
from toolchain.target import TARGETS
from toolchain.testing import compile_network

HINT = "write the format 'lava' instead: --format lava"
RESIDUAL = "h = Relu (a)  b = MatMul (h, w)  s = Add (b, h)  y = Relu (s)"
FROM_THE_INPUT = "h = Relu (a)  b = MatMul (h, w)  s = Add (b, x)  y = Relu (s)"
CONCAT = "h = Relu (a)  b = MatMul (h, w)  r = Relu (b)  c = Concat <axis = 1> (r, h)"
CONCAT += "  y = MatMul (c, w2)"
SPLIT = "h, g = Split <axis = 1> (x, parts)  r = Relu (h)  p = MatMul (r, u)"
SPLIT += "  q = MatMul (g, u)  t = Relu (q)  o = MatMul (t, v)  y = Add (p, o)"


def compiled(lines, lowering):
    text = f"net (float[N, 4] x) => (float[N, 4] y) {{ a = MatMul (x, w0)  {lines} }}"
    weights = {
        "w0": small_integers(4, 4, seed=1),
        "w": small_integers(4, 4, seed=2),
        "w2": small_integers(8, 4, seed=3),
        "u": small_integers(2, 4, seed=4),
        "v": small_integers(4, 4, seed=5),
        "parts": np.array([2, 2]),
    }
    if "a)" not in lines:
        text = text.replace("a = MatMul (x, w0)", "")
    used = {name: array for name, array in weights.items() if f" {name})" in text}
    x = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    graph = import_text(text, **used).graph
    return compile_network(graph, x, TARGETS["loihi2"], levels=3, lowering=lowering)


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@pytest.mark.parametrize(
    "lines",
    [RESIDUAL, FROM_THE_INPUT, CONCAT, SPLIT],
    ids=["residual", "from the input", "concat", "split"],
)
def test_branches_are_refused_with_a_way_out(lines, lowering, tmp_path):
    stages = compiled(lines, lowering)

    with pytest.raises(EmitError) as error:
        emit_netx(stages.circuit, tmp_path)

    assert (error.value.hint or "").endswith(HINT)
    assert not list(tmp_path.iterdir())


def test_the_message_names_where_branches_part_and_by_which_synapses():
    stages = compiled(CONCAT, "temporal")

    with pytest.raises(EmitError) as error:
        chain_of(stages.circuit)

    assert str(error.value) == (
        "emit at 'Relu:h': 2 synapses leave for other populations (MatMul:b/synapse, "
        "MatMul:y/part2/synapse); a netx file is a chain: as one, it would pass spikes on by "
        "neurons that keep nothing, and those of 'Relu:h' keep their sums; a layer has one "
        f"decay for all\n  hint: {HINT}"
    )


@pytest.mark.parametrize(
    ("lines", "numbers"),
    [
        (
            RESIDUAL,
            "12 and 4 neurons, 0 and 0 of them to pass spikes on, and 96 weights up to 159",
        ),
        (
            CONCAT,
            "12, 24 and 4 neurons, 0, 12 and 0 of them to pass spikes on, and 432 weights",
        ),
        (
            SPLIT,
            "24 and 4 neurons, 0 and 0 of them to pass spikes on, and 192 weights up to 127",
        ),
    ],
    ids=["residual", "concat", "split"],
)
def test_the_message_has_the_numbers_of_the_chain_that_it_would_be(lines, numbers):
    stages = compiled(lines, "spatial")

    with pytest.raises(EmitError) as error:
        chain_of(stages.circuit)

    assert f"as one, its layers would have {numbers}" in error.value.problem


def test_spikes_that_nobody_relays_yet_are_counted_as_passed_on():
    """Populations of 5, 3 and 2 neurons in a row; the first drives the last, too."""

    def population(name, size):
        return Lif(name=name, shape=(size,), threshold=0, decay_u=4096, decay_v=4096)

    def synapse(source, target, *shape):
        weight = np.ones(shape, np.int64)
        return DenseSynapse(
            name=f"{source}{target}", source=source, target=target, weight=weight
        )

    circuit = Circuit(
        name="skip",
        inputs=("x",),
        period=1,
        latency=4,
        sources=(Source(name="x", shape=(4,), message_bits=2),),
        populations=(population("c", 2), population("a", 5), population("b", 3)),
        synapses=(
            synapse("x", "a", 5, 4),
            synapse("a", "b", 3, 5),
            synapse("b", "c", 2, 3),
            synapse("a", "c", 2, 5),
        ),
    )

    assert cost_of_chain(circuit) == (
        "as one, its layers would have 5, 8 and 2 neurons, 0, 5 and 0 of them to pass spikes "
        "on, and 76 weights up to 1, of 127 that one holds"
    )


@pytest.mark.parametrize(
    ("ends", "lines", "problem"),
    [
        ("float[N, 4] x, float[N, 4] z", "y = Sub (p, q)", "the second of 2 inputs"),
        ("float[N, 4] x", "y = MatMul (r, w)", "the second of 2 outputs"),
    ],
    ids=["inputs", "outputs"],
)
def test_several_ends_are_refused_by_name(ends, lines, problem, tmp_path):
    second = "z" if "z" in ends else "x"
    outputs = "float[N, 4] y" + (", float[N, 4] p" if second == "x" else "")
    text = f"""net ({ends}) => ({outputs}) {{
        a = MatMul (x, w0)  r = Relu (a)  p = MatMul (r, w)
        {f"q = MatMul ({second}, w0)" if second == "z" else ""} {lines} }}"""
    graph = import_text(
        text, w0=small_integers(4, 4, seed=1), w=small_integers(4, 4, seed=2)
    ).graph
    x = np.random.default_rng(0).normal(size=(16, 4 * len(graph.inputs))).astype(np.float32)
    stages = compile_network(graph, x, TARGETS["loihi2"], levels=3, lowering="temporal")

    with pytest.raises(EmitError, match=problem) as error:
        emit_netx(stages.circuit, tmp_path)

    assert error.value.hint == HINT
    assert not list(tmp_path.iterdir())
