"""separate-positions keeps what scales of positions compute, with kernels that are shared."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.ir.ann import Affine, Conv, Rearrange, Relu, SumPool
from toolchain.ir.graph import Phase
from toolchain.ir.reference import run
from toolchain.passes.separate_positions import separate_positions
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain

CONTEXT = Context(target=TARGETS["loihi2"], levels=7, method="mmse", lowering="temporal")
RANDOM = np.random.default_rng(0)
EDGES = np.pad(np.full((1, 2, 2), 1 / 9), ((0, 0), (1, 1), (1, 1)), constant_values=1 / 6)
PADS = ((1, 1), (1, 1))


def conv(name, outputs, inputs):
    return Conv(name=name, weight=RANDOM.integers(-3, 4, (outputs, inputs, 3, 3)), padding=PADS)


def scaled(scale, *nodes, shift=0.0):
    """Return a network with a scale between two layers, and the other nodes behind it."""
    scaling = Affine(name="scale", scale=scale, shift=np.asarray(shift))
    return chain((2, 4, 4), conv("first", 3, 2), Relu(name="r"), scaling, *nodes)


def samples(graph):
    return RANDOM.integers(-4, 5, (3, *graph.input.shape))


@pytest.mark.parametrize(
    "scale", [EDGES, EDGES * np.array([1, -2, 3]).reshape(3, 1, 1)], ids=["alike", "by channel"]
)
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_the_function_stays(scale, shift):
    graph = scaled(scale, conv("last", 2, 3), shift=shift)
    x = samples(graph)

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    np.testing.assert_allclose(run(prepared, x), run(graph, x), rtol=1e-12, atol=1e-12)


def test_an_average_without_its_padding_goes_into_the_layer_behind_it():
    total = SumPool(name="sum", kernel=(3, 3), stride=(1, 1), padding=PADS)
    counts = np.array([2, 3, 3, 2])
    average = Affine(name="average", scale=1 / (counts * counts[:, None])[None])
    graph = chain((2, 4, 4), conv("a", 3, 2), Relu(name="r"), total, average, conv("b", 2, 3))
    x = samples(graph)

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    kinds = [type(node) for node in prepared.nodes[1:-1]]
    assert kinds == [Conv, Relu, Conv, Relu, Rearrange, Conv]
    assert prepared["b"].weight.shape == (2, 9, 3, 3)
    np.testing.assert_allclose(run(prepared, x), run(graph, x), rtol=1e-12, atol=1e-12)


def test_a_positive_scale_passes_a_rectifier():
    graph = scaled(EDGES, Relu(name="again"), conv("last", 2, 3))

    separated = separate_positions(graph, CONTEXT)

    assert [node.name for node in separated][3:5] == ["again", "scale"]


@pytest.mark.parametrize(
    ("scale", "shift", "maximum"),
    [(-EDGES, 0.0, np.inf), (EDGES, 1.0, np.inf), (EDGES, 0.0, 6)],
)
def test_what_a_rectifier_does_not_let_pass_stays(scale, shift, maximum):
    graph = scaled(scale, Relu(name="again", maximum=maximum), shift=shift)

    assert separate_positions(graph, CONTEXT) is graph


@pytest.mark.parametrize("scale", [np.array(2.0), np.array([1.0, 2, 3]).reshape(3, 1, 1)])
def test_a_scale_of_channels_is_left_alone(scale):
    graph = scaled(scale, conv("last", 2, 3))

    assert separate_positions(graph, CONTEXT) is graph


def test_a_scale_of_every_neuron_is_left_alone():
    scale = Affine(name="scale", scale=np.arange(25.0).reshape(1, 5, 5))
    graph = chain((3, 5, 5), scale, conv("last", 2, 3))

    assert separate_positions(graph, CONTEXT) is graph
