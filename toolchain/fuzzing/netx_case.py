"""One damaged netx file: refused, or run."""

from __future__ import annotations

from pathlib import Path
from random import Random

import h5py
import numpy as np

from toolchain.errors import CompileError
from toolchain.execution import run_network_file
from toolchain.fuzzing.builds import COUNT, netx_file
from toolchain.fuzzing.damaged_bytes import damage_bytes
from toolchain.fuzzing.damaged_hdf5 import damage_hdf5

_BYTES_SHARE = 0.3
_SAMPLES = 2
_INPUTS_MAX = 4096


def run_netx_case(seed: int, folder: Path) -> str:
    """Run samples through the file of a seed.

    Returns:
        ``"refused ..."`` with the class of the error, or ``"ran"``.
    """
    random = Random(f"netx {seed}")
    path = folder / "network.net"
    path.write_bytes(_file(random, folder))
    shape = _input_shape(path, random)
    if random.random() < _BYTES_SHARE:
        path.write_bytes(damage_bytes(random, path.read_bytes()))
    else:
        damage_hdf5(random, path, random.choice((0, 1, 1, 1, 2, 3)))
    data = folder / "x.npz"
    np.savez(data, x=np.ones((_SAMPLES, *shape), np.float32))
    try:
        run_network_file(path, data)
    except CompileError as error:
        return f"refused {type(error).__name__}"
    return "ran"


def _file(random: Random, folder: Path) -> bytes:
    """Return one that we wrote, or one as lava-dl writes them."""
    if random.random() < _OWN_SHARE:
        return netx_file(random.randrange(COUNT // 2))
    path = folder / "plain.net"
    with h5py.File(path, "w") as file:
        _write_plain(random, file)
    return path.read_bytes()


_OWN_SHARE = 0.5


def _write_plain(random: Random, file: h5py.File) -> None:
    """Write LIF or sigma-delta neurons behind one convolution and dense layers."""
    numbers = np.random.default_rng(random.getrandbits(32))
    kind = random.choice(("CUBA", "SDNN"))
    is_image = random.random() < 0.5
    shape = (2, 4, 4) if is_image else (6,)
    layers = file.create_group("layer")
    entry = layers.create_group("0")
    entry["type"], entry["shape"] = np.bytes_(b"input"), np.array(shape)
    if random.random() < 0.5:
        entry["bias"], entry["weight"] = 1, 4
        _write_neuron(entry, kind)
    size = int(np.prod(shape))
    if is_image:
        layer = layers.create_group("1")
        layer["type"], layer["shape"] = np.bytes_(b"conv"), np.array((3, 4, 4))
        layer["weight"] = 2.0 * numbers.integers(-50, 50, (3, 2, 3, 3))
        for name, value in (("stride", 1), ("padding", 1), ("dilation", 1), ("groups", 1)):
            layer[name] = value
        _write_neuron(layer, kind)
        layers.create_group("2")["type"] = np.bytes_(b"flatten")
        size = 48
    for index, neurons in enumerate((5, 3), len(layers)):
        layer = layers.create_group(str(index))
        is_loop = kind == "CUBA" and random.random() < 0.3
        layer["type"] = np.bytes_(b"dense_rec" if is_loop else b"dense")
        layer["shape"] = np.array([neurons])
        layer["weight"] = 2.0 * numbers.integers(-50, 50, (neurons, size))
        if is_loop:
            layer["weight_rec"] = 2.0 * numbers.integers(-20, 20, (neurons, neurons))
        if random.random() < 0.3:
            layer["delay"] = numbers.integers(0, 4, size).astype(np.float32)
        layer["bias"] = numbers.integers(-9, 9, neurons).astype(np.float32)
        _write_neuron(layer, kind)
        size = neurons


def _write_neuron(layer: h5py.Group, kind: str) -> None:
    neuron = layer.create_group("neuron")
    neuron["type"], neuron["vThMant"] = np.bytes_(kind.encode()), 40
    if kind == "CUBA":
        neuron["iDecay"], neuron["vDecay"] = 1024, 256
        neuron["refDelay"], neuron["wgtExp"] = 1, 0


def _input_shape(path: Path, random: Random) -> tuple[int, ...]:
    """Return the shape of a sample: that of the first layer, now and then another."""
    with h5py.File(path, "r") as file:
        shape = tuple(int(size) for size in np.ravel(file["layer/0/shape"][()]))
        if "clock" in file:
            shape = tuple(int(size) for size in file["clock/sample_shape"][()])
    if random.random() < _OTHER_SHARE or np.prod(shape) > _INPUTS_MAX:
        return random.choice(((), (1,), (3, 3), (1, *shape)))
    return shape


_OTHER_SHARE = 0.03
