"""A network on a device computes the integers of the reference and of the circuit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the gpu engine needs torch")

from targets.torch_counts.network import TorchNetwork
from toolchain.data import load_samples
from toolchain.engine import ENGINES, Program
from toolchain.errors import CompileError, VerifyError
from toolchain.frontend import import_model
from toolchain.ir.ann import (
    Add,
    Conv,
    Dense,
    Encoding,
    Input,
    MaxPool,
    Output,
    Rearrange,
)
from toolchain.ir.graph import Graph
from toolchain.ir.reference import counts_of, encode, evaluate
from toolchain.ir.snn import MultiThreshold, Spiking
from toolchain.target import TARGETS
from toolchain.testing import (
    chain_from,
    compile_network,
    extreme_inputs,
    random_network,
    random_samples,
    random_windows,
    samples_of,
)

MODELS = Path(__file__).parents[3] / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/model.onnx"))


def compiled(random, draw, levels):
    """Return the stages of a random network; hypothesis draws another if it is refused."""
    network = draw(random)
    x = random_samples(network, random, 4)
    lowering = random.choice(("temporal", "spatial"))
    try:
        return compile_network(network, x, TARGETS["loihi2"], levels=levels, lowering=lowering)
    except CompileError:
        assume(False)


def entry(shape, high=15):
    encoding = Encoding(1.0, 0, high)
    return Input(name="x", shape=shape, source_shape=shape, encoding=encoding)


def assert_as_the_reference(graph, encoded, network):
    values = evaluate(graph, samples_of(graph.input, encoded))

    readout, counts = network.readout(encoded), network.counts(encoded)

    np.testing.assert_array_equal(readout, counts_of(values[graph.output.inputs[0]]))
    assert list(counts) == [node.name for node in graph.of_type(Spiking)]
    for name in counts:
        np.testing.assert_array_equal(counts[name], counts_of(values[name]))


@pytest.mark.parametrize("draw", [random_network, random_windows], ids=["one", "windows"])
@given(random=st.randoms(), levels=st.sampled_from([1, 4, 15, 255]))
def test_counts_and_readout_are_those_of_the_reference(draw, device, random, levels):
    graph = compiled(random, draw, levels).quantized
    encoded = extreme_inputs(graph, random, 5)

    assert_as_the_reference(graph, encoded, TorchNetwork(graph, device, batch=3))


@pytest.mark.parametrize("draw", [random_network, random_windows], ids=["one", "windows"])
@given(random=st.randoms(), levels=st.integers(1, 7))
def test_counts_and_readout_are_those_of_all_steps_of_the_circuit(draw, device, random, levels):
    stages = compiled(random, draw, levels)
    encoded = extreme_inputs(stages.quantized, random, 3)
    network = TorchNetwork(stages.quantized, device, batch=4)

    stepped = ENGINES["step"].run(
        Program(stages.quantized, stages.circuit), encoded, trace=False
    )

    assume(not stepped.saturations)  # samples beyond an observed bound leave registers
    np.testing.assert_array_equal(network.readout(encoded), stepped.readout)
    for name, counts in network.counts(encoded).items():
        np.testing.assert_array_equal(counts, stepped.counts[name])


@pytest.mark.parametrize("name", NAMES)
def test_bundled_networks_give_the_integers_of_the_reference(name, device):
    imported = import_model(MODELS / name / "model.onnx").graph
    x = load_samples(MODELS / name / "calibration.npz", None, labelled=None).x
    graph = compile_network(
        imported, x, TARGETS["loihi2"], levels=4, lowering="temporal"
    ).quantized
    encoded = encode(graph.input, x[:20]).astype(np.int64)

    assert_as_the_reference(graph, encoded, TorchNetwork(graph, device, batch=16))


def test_branches_that_share_a_population_meet_again(device):
    """Two layers read one population, one of them past a pool; their sum feeds another."""
    random = np.random.default_rng(0)

    def conv(name, source, *shape, **geometry):
        weight = random.integers(-127, 128, shape)
        bias = random.integers(-500, 500, (shape[0], 1, 1))
        return Conv(name=name, inputs=(source,), weight=weight, bias=bias, **geometry)

    order = random.permutation(8 * 4 * 4)
    order[::7] = -1
    nodes = (
        entry((3, 8, 8), high=255),
        conv("stem", "x", 8, 3, 3, 3, padding=((1, 0), (2, 0))),
        MultiThreshold(name="n1", inputs=("stem",), levels=15, threshold=np.asarray(9001)),
        conv("a", "n1", 8, 2, 3, 3, padding=((1, 1), (1, 1)), stride=(2, 2), groups=4),
        MaxPool(
            name="pool", inputs=("n1",), kernel=(3, 2), stride=(2, 2), padding=((1, 1), (0, 0))
        ),
        conv("b", "pool", 8, 8, 1, 1),
        Add(name="sum", inputs=("a", "b")),
        MultiThreshold(
            name="n2",
            inputs=("sum",),
            levels=7,
            threshold=random.integers(300, 900, (8, 1, 1)),
            initial=np.asarray(150),
        ),
        Rearrange(name="order", inputs=("n2",), shape=(128,), order=order),
        Dense(name="fc", inputs=("order",), weight=random.integers(-127, 128, (10, 128))),
        Output(name="y", inputs=("fc",), shape=(10,)),
    )
    graph = Graph("branches", nodes)
    assert graph.shapes["a"] == graph.shapes["b"] == (8, 4, 4)
    encoded = random.integers(0, 256, (9, 3, 8, 8))

    assert_as_the_reference(graph, encoded, TorchNetwork(graph, device, batch=4))


@pytest.mark.parametrize("threshold", [3, 1118480, 1118481, 2**24 + 1, 2**40 + 3])
def test_one_below_a_multiple_of_the_threshold_is_one_spike_less(threshold, device):
    steps = np.arange(1, 16)
    weight = np.concatenate([steps * threshold - 1, steps * threshold])[:, None]
    neurons = MultiThreshold(name="n", levels=15, threshold=np.asarray(threshold))
    graph = chain_from(entry((1,)), Dense(name="sum", weight=weight), neurons)

    counts = TorchNetwork(graph, device, batch=1).counts(np.array([[1]]))["n"][0]

    np.testing.assert_array_equal(counts, np.concatenate([steps - 1, steps]))


def test_the_form_of_every_layer_is_on_record(device):
    narrow = Dense(name="narrow", weight=np.full((2, 3), 100))
    wide = Dense(name="wide", weight=np.full((1, 2), 2**30))
    neurons = MultiThreshold(name="n", levels=15, threshold=np.asarray(50))
    graph = chain_from(entry((3,)), narrow, neurons, wide)

    forms = TorchNetwork(graph, device, batch=1).forms

    assert list(forms) == ["narrow", "wide"]
    assert forms["narrow"] in {"int8", "float16", "tf32", "float32"}
    assert forms["wide"] == "float64"


def test_a_network_without_integers_is_refused(device):
    graph = chain_from(Input(name="x", shape=(2,), source_shape=(2,)))

    with pytest.raises(VerifyError) as error:
        TorchNetwork(graph, device, batch=1)

    assert error.value.node == "x"
