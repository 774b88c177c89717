"""Spikes that rounding decides are told and forgiven, all others that differ are found."""

import numpy as np
import pytest

from toolchain.frontend.testing import import_proto, spiking_model
from toolchain.ir.reference import Windows, evaluate, run
from toolchain.verification.source import spike_source
from toolchain.verification.ties import TieTally, force

WINDOWS = 3
TOLERANCE = 1e-4


def neuron(threshold=0.75):
    return (
        f"ai.snn_compile.MultiThreshold <levels = 4, windows = {WINDOWS}, "
        f"threshold = {threshold}, retention = 0.75, initial = 0.25, "
        "mixing = [0.75, 0.25, 0.0, -0.25, 1.0, 0.5, 0.5, 0.25, 0.5]>"
    )


TEXT = f"""net (float[N, {WINDOWS}, 2, 3] x) => (float[N, 4] y) {{
    a = ai.snn_compile.FoldWindows <windows = {WINDOWS}> (x)
    t = Transpose <perm = [0, 2, 1]> (a)
    f = Flatten (t)
    b = Gemm (f, w1, b1)
    c = Reshape (b, shape)
    d = Transpose <perm = [0, 2, 1]> (c)
    [first] e = {neuron()} (d)
    g = Flatten (e)
    h = Gemm (g, w2, b2)
    [second] i = {neuron(0.5)} (h)
    j = MatMul (i, w3)
    y = ai.snn_compile.AverageWindows <windows = {WINDOWS}> (j) }}"""


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(0.1, 0.6, shape).astype(np.float32)
        for name, shape in {
            "w1": (6, 12), "b1": (12,), "w2": (12, 8), "b2": (8,), "w3": (8, 4)
        }.items()
    }  # fmt: skip
    weights["shape"] = np.array([-1, 3, 4])
    return import_proto(spiking_model(TEXT, windows=WINDOWS, **weights))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).random((200, WINDOWS, 2, 3)).astype(np.float32)


def counts_of(graph, values, name):
    return np.rint(values[name].values / graph[name].threshold)


def test_the_source_tells_what_each_neuron_sends(model, x):
    y, sent = spike_source(model, model.graph)(x)

    values = evaluate(model.graph, x)
    assert sent.keys() == {"first", "second"}
    for name in sent:
        ours, theirs = (counts_of(model.graph, held, name) for held in (values, sent))
        assert 0.1 < theirs.mean() < 3.9
        assert (ours != theirs).mean() < 1e-4
    np.testing.assert_allclose(y, run(model.graph, x), rtol=1e-5, atol=1e-4)


def test_equal_spikes_give_the_outputs_of_the_network_itself(model, x):
    y, sent = spike_source(model, model.graph)(x)

    forced = force(model.graph, x, sent, TOLERANCE)

    assert forced.difference is None
    assert forced.counts == len(x) * WINDOWS * (12 + 8)
    np.testing.assert_allclose(forced.y, y, rtol=1e-5, atol=1e-5)


def changed(sent, node, where, by):
    values = sent[node.name].values.copy()
    values[where] += by * node.threshold
    return {**sent, node.name: Windows(values)}


@pytest.mark.parametrize("by", [-1, 1])
def test_a_spike_that_rounding_does_not_explain_is_named(model, x, by):
    _, sent = spike_source(model, model.graph)(x)
    node = model.graph["second"]
    counts = counts_of(model.graph, sent, "second")
    where = tuple(int(i) for i in np.argwhere((counts > 0) & (counts < node.levels))[0])

    forced = force(model.graph, x, changed(sent, node, where, by), TOLERANCE, first_sample=40)

    sample, window, *position = where
    assert forced.difference == (
        f"population 'second', neuron {tuple(position)}, sample {40 + sample}, "
        f"window {window}: {counts[where]:.0f} spikes against {counts[where] + by:.0f}"
    )


def test_what_a_layer_reads_is_what_the_source_sends_and_not_what_it_should(model, x):
    _, sent = spike_source(model, model.graph)(x)
    node = model.graph["first"]
    counts = counts_of(model.graph, sent, "first")
    where = tuple(np.argwhere(counts < node.levels)[0])
    last = (where[0], WINDOWS - 1, *where[2:])

    forced = force(model.graph, x, changed(sent, node, last, 1), TOLERANCE)

    assert forced.difference is not None
    assert "population 'first'" in forced.difference
    values = evaluate(model.graph, x, changed(sent, node, last, 1))
    np.testing.assert_array_equal(forced.y, values[model.graph.output.name])


def on_a_threshold(potential):
    """Return a network of one neuron whose potential is ``potential`` thresholds."""
    text = """net (float[N, 1, 1] x) => (float[N, 1] y) {
        a = ai.snn_compile.FoldWindows <windows = 1> (x)
        [pop] b = ai.snn_compile.MultiThreshold <levels = 4, windows = 1, threshold = 2.0,
            retention = 1.0, initial = 0.0, mixing = [1.0]> (a)
        y = ai.snn_compile.AverageWindows <windows = 1> (b) }"""
    graph = import_proto(spiking_model(text, windows=1)).graph
    return graph, np.array([[[2.0 * potential]]])


@pytest.mark.parametrize(
    ("potential", "sent", "ties", "differs"),
    [
        (2.0, 2, 0, False),
        (2.0, 1, 1, False),
        (2.00001, 1, 1, False),
        (1.99999, 2, 1, False),
        (2.01, 1, 0, True),
        (1.99, 2, 0, True),
        (2.0, 3, 0, True),
        (2.5, 2, 0, False),
        (4.0, 3, 1, False),
        (5.0, 4, 0, False),
        (0.0, 0, 0, False),
        (-1.0, 0, 0, False),
    ],
)
def test_only_next_to_a_threshold_two_counts_are_right(potential, sent, ties, differs):
    graph, x = on_a_threshold(potential)
    values = Windows(np.full((1, 1, 1), 2.0 * sent))

    forced = force(graph, x, {"pop": values}, TOLERANCE)

    assert (forced.ties, forced.difference is not None) == (ties, differs)


def test_the_tally_says_how_many_samples_depend_on_ties():
    graph, x = on_a_threshold(2.0)
    tied = force(graph, x, {"pop": Windows(np.full((1, 1, 1), 2.0))}, TOLERANCE)
    tally = TieTally()

    tally.add(tied, np.array([[4.0]]), np.array([[4.0]]), TOLERANCE)
    tally.add(tied, np.array([[4.0]]), np.array([[2.0]]), TOLERANCE)

    assert tally.sentence == (
        "2 of 2 spike counts are ties, by rounding errors; 1 of 2 samples have outputs that "
        "depend on one, by up to 2"
    )
