"""Networks that lava-dl ships run here as they were recorded, and as they run in stock netx.

The recordings are files of the installed package lava-dl 0.6.0. Arrays in them have the axes
``(W, H, C, T)`` or ``(N, T)``, which reversed are ours.
"""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import h5py
import numpy as np
import pytest

from targets.lava_compat import is_lava_installed
from targets.netx.layers import Drive
from targets.netx.reader import read_netx
from targets.netx.run import encode, run_netx, run_stock
from targets.simulator.step import everything

FOLDER = "lava/lib/dl/netx/"


def recorded(name):
    """Return the path of a file of lava-dl's tests; skip without lava-dl."""
    try:
        shipped = files("lava-dl") or []
    except PackageNotFoundError:
        pytest.skip("lava-dl is not installed")
    for file in shipped:
        if str(file).endswith(FOLDER + name):
            return Path(file.locate())
    pytest.skip(f"this lava-dl comes without {name}")
    return None


def load(name):
    """Return a recording with its axes reversed."""
    array = np.load(recorded(f"gts/{name}.npy"))
    return array.transpose(*range(array.ndim - 1, -1, -1))


def run(path, x, **settings):
    reading = ("num_layers", "reset_interval", "reset_offset", "input_message_bits")
    network = read_netx(path, **{key: settings[key] for key in reading if key in settings})
    run = run_netx(path, x[None], record=everything(network.circuit), **settings)
    names = [population.name for population in network.circuit.populations]
    return run.trace, names


def assert_equal(ours, theirs):
    assert ours.shape == theirs.shape
    assert np.count_nonzero(ours != theirs) == 0


def test_tinynet_spikes_as_its_training_did():
    image = load("tinynet/input_bias")

    trace, names = run(
        recorded("tiny.net"), image, time_steps=20, is_encoded=True, reset_interval=17
    )

    for depth, (name, layer) in enumerate(
        zip(names, ("input", "layer1", "output"), strict=True)
    ):
        spikes = np.load(recorded(f"gts/tinynet/{layer}.npy"))[0]
        spikes = np.moveaxis(spikes, -1, 0)[1:]
        assert_equal(trace.spikes[name][0, depth : depth + len(spikes)], spikes)


LAYERS = [f"conv-{k}" for k in range(5)] + [f"fc-{k}" for k in range(3)]
COMPARABLE_STEPS = (
    17  # then the chip was reset and given the next input, nobody wrote down when
)


@pytest.fixture(scope="module")
def pilotnet():
    image = load("pilotnet_lif/image")
    return run(
        recorded("gts/pilotnet_lif/network.net"),
        image,
        time_steps=COMPARABLE_STEPS,
        is_encoded=True,
        reset_interval=16,
    )


@pytest.mark.parametrize(("block", "layer"), [*enumerate(["input", *LAYERS])])
def test_pilotnet_spikes_as_on_loihi_2(pilotnet, block, layer):
    trace, names = pilotnet

    spikes = load(f"pilotnet_lif/{layer}")[:COMPARABLE_STEPS]

    assert_equal(trace.spikes[names[block]][0], spikes)


@pytest.mark.parametrize(("block", "layer"), [*enumerate(LAYERS, start=1)])
def test_pilotnet_has_the_currents_of_loihi_2(pilotnet, block, layer):
    trace, names = pilotnet

    u = load(f"pilotnet_lif/{layer}-u")[:COMPARABLE_STEPS]

    assert_equal(trace.u[names[block]][0], u)


@pytest.mark.parametrize(("block", "layer"), [*enumerate(LAYERS, start=1)])
def test_pilotnet_has_the_potentials_of_loihi_2_but_right_after_a_spike(pilotnet, block, layer):
    trace, names = pilotnet
    spikes, v = trace.spikes[names[block]][0], trace.v[names[block]][0]

    on_chip = load(f"pilotnet_lif/{layer}-v")[:COMPARABLE_STEPS]

    assert_equal(v[~spikes], on_chip[~spikes])
    assert set(np.unique(on_chip[spikes])) <= {128}, "the chip's v after a spike is 128, not 0"


def test_the_sigma_delta_pilotnet_gives_the_recorded_angle():
    frame = load("pilotnet_sdnn/input")[0]
    path = recorded("gts/pilotnet_sdnn/network.net")

    trace, names = run(path, frame, time_steps=20, is_encoded=True)

    assert_equal(trace.spikes[names[-1]][0, :9], load("pilotnet_sdnn/output"))
    assert_equal(trace.spikes[names[0]][0], load("pilotnet_sdnn/act0"))
    for name, layer in zip(names[1:3], ("sigma1", "sigma2"), strict=True):
        assert_equal(trace.v[name][0], load(f"pilotnet_sdnn/{layer}"))


def test_the_square_pilotnet_has_the_recorded_sums():
    frame = load("pilotnet_sdnn/input")[0, :, :, :33]
    path = recorded("gts/pilotnet_sdnn/square_network.net")

    trace, names = run(path, frame, time_steps=20, is_encoded=True)

    for layer, name in enumerate(names[1:], start=1):
        assert_equal(trace.v[name][0], load(f"pilotnet_sdnn/sigma{layer}_square"))


def test_ntidigits_delays_its_spikes_as_recorded():
    trace, names = run(
        recorded("gts/ntidigits/ntidigits.net"), load("ntidigits/input"), num_layers=5
    )

    spikes = load("ntidigits/output")  # from the step before ours on

    assert_equal(trace.spikes[names[-1]][0, :-1], spikes[1:])


def write(path, *layers):
    """Write layers, mappings from field to value, as a netx file."""
    with h5py.File(path, "w") as file:
        for index, layer in enumerate(layers):
            for field, value in layer.items():
                file[f"layer/{index}/{field}"] = value
    return path


SDNN = {"neuron/type": b"SDNN", "neuron/vThMant": 20, "neuron/activation": b"relu"}


def test_a_block_of_lif_neurons_spikes_as_recorded(tmp_path):
    neuron = {"type": b"CUBA", "iDecay": 4096, "vDecay": 415, "vThMant": 6}
    layer = {
        "type": b"dense",
        "shape": [256],
        "weight": np.load(recorded("gts/dense/weight.npy")),
    }
    layer |= {f"neuron/{key}": value for key, value in neuron.items()}
    path = write(tmp_path / "dense.net", layer)

    trace, (name,) = run(path, load("dense/in"))

    assert_equal(trace.spikes[name][0], load("dense/out"))


def test_a_block_of_delta_neurons_sends_as_recorded(tmp_path):
    path = write(tmp_path / "delta.net", {"type": b"input", "shape": [3, 16, 16], **SDNN})
    phases = 2 * np.pi * np.arange(15) / 15
    x = (load("tinynet_sdnn/input_bias") * np.sin(phases)[:, None, None, None]).astype(int)

    trace, (name,) = run(path, x, is_encoded=True)

    assert_equal(trace.spikes[name][0], load("tinynet_sdnn/input"))


def test_a_convolution_of_sigma_delta_neurons_sends_as_recorded(tmp_path):
    kernel = np.load(recorded("gts/tinynet_sdnn/layer1_kernel.npy"))
    conv = {
        "type": b"conv",
        "shape": [24, 6, 6],
        "weight": kernel.transpose(0, 3, 2, 1)[:, :, ::-1, ::-1],
        "bias": np.load(recorded("gts/tinynet_sdnn/layer1_bias.npy")),
        "stride": 2,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
    }
    path = write(
        tmp_path / "conv.net", {"type": b"input", "shape": [3, 16, 16]}, {**conv, **SDNN}
    )
    x = np.concatenate([load("tinynet_sdnn/input"), np.zeros((1, 3, 16, 16))])

    trace, (name,) = run(path, x, input_message_bits=0)

    assert_equal(trace.spikes[name][0], load("tinynet_sdnn/layer1"))


def test_a_dense_block_of_sigma_neurons_sends_as_recorded(tmp_path):
    weight = np.load(recorded("gts/tinynet_sdnn/layer2_weight.npy"))
    layer = {"type": b"dense", "shape": [100], "weight": weight, "neuron/sigma_output": True}
    path = write(tmp_path / "sigma.net", {**layer, "neuron/type": b"SDNN"})
    x = np.load(recorded("gts/tinynet_sdnn/layer1.npy")).reshape(-1, 16).T

    trace, (name,) = run(path, x)

    assert_equal(trace.spikes[name][0], load("tinynet_sdnn/layer2"))


def assert_runs_as_in_stock_netx(path, x, time_steps, **settings):
    network = read_netx(path, **settings)
    inputs = encode(network, x[None], time_steps)
    trace, names = run(path, inputs[0], is_encoded=True, **settings)

    stock = run_stock(path, network, inputs[0], states=range(len(names)))

    for block, name in enumerate(names):
        assert_equal(trace.spikes[name][0], stock[f"spikes {block}"])
        for register in ("u", "v"):
            if name in getattr(trace, register):
                found = f"{register} {block}"
                theirs = stock[found] if found in stock else stock[f"sigma {block}"]
                assert_equal(getattr(trace, register)[name][0], theirs)


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny.net", "mnist.net"])
def test_a_shipped_network_runs_as_in_stock_netx(name):
    path = recorded(name)
    shape = read_netx(path).circuit.sources[0].shape

    assert_runs_as_in_stock_netx(
        path, np.random.default_rng(1).random(shape), 24, reset_interval=11
    )


LIF = {"neuron/type": b"CUBA", "neuron/iDecay": 512, "neuron/vDecay": 100, "neuron/vThMant": 90}


def dense(rng, neurons, inputs, **fields):
    weight = 2 * rng.integers(-60, 61, (neurons, inputs))
    return {"type": b"dense", "shape": [neurons], "weight": weight, **fields}


def awkward_layers(kind):
    """Return layers with what the stock reader has rules of its own for."""
    rng = np.random.default_rng(5)
    if kind == "delays per output, input and synapse":
        yield dense(rng, 9, 6, delay=rng.integers(0, 9, 9), **LIF)
        yield dense(rng, 5, 9, delay=[80, 0, 3, 1, 2, 0, 1, 5, 2], **LIF)
        yield dense(rng, 4, 5, delay=rng.integers(0, 9, (4, 5)), **LIF)
        yield dense(rng, 3, 4, delay=2.7)
    elif kind == "loops":
        yield dense(rng, 6, 6, weight_rec=-100 * np.eye(6), **LIF) | {"type": b"dense_rec"}
        loops = rng.integers(-50, 9, (5, 5))
        yield dense(rng, 5, 6, weight_rec=loops, **LIF) | {"type": b"dense_rec"}
    elif kind == "numbers per neuron":
        arrays = {f"neuron/{key}": rng.integers(0, 900, 7) for key in ("iDecay", "vDecay")}
        arrays["neuron/vThMant"] = rng.integers(10, 200, 7)
        yield dense(rng, 7, 6, bias=rng.integers(-30, 60, 7) + 0.7, **{**LIF, **arrays})
    elif kind == "weights that change":
        weight = -128 * rng.integers(0, 2, (4, 6))
        yield dense(rng, 4, 6, bias=np.full(4, 150), **LIF) | {"weight": weight}
        yield dense(rng, 3, 4) | {"weight": rng.integers(-300, 301, (3, 4)) // 2 * 2}
    elif kind == "sigma-delta":
        sdnn = SDNN | {"neuron/vThMant": 1}
        yield {"type": b"input", "shape": [6], **sdnn}
        yield dense(rng, 8, 6, bias=rng.integers(-9, 9, 8), **sdnn)
        yield dense(rng, 3, 8, **sdnn, **{"neuron/sigma_output": True})


@pytest.mark.lava
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("delays per output, input and synapse", marks=pytest.mark.slow),
        "loops",
        pytest.param("numbers per neuron", marks=pytest.mark.slow),
        pytest.param("weights that change", marks=pytest.mark.slow),
        "sigma-delta",
    ],
)
def test_an_awkward_file_runs_as_in_stock_netx(tmp_path, kind):
    if not is_lava_installed():
        pytest.skip("lava-nc is not installed")
    path = write(tmp_path / "awkward.net", *awkward_layers(kind))
    rng = np.random.default_rng(3)
    is_analogue = read_netx(path).drive is Drive.CURRENT
    x = rng.random((40, 6)) if is_analogue else rng.integers(0, 2, (40, 6))

    assert_runs_as_in_stock_netx(path, x, 40)
