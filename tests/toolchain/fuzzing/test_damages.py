"""Every damage changes files, always the same way, and can be done to damaged files again."""

import io
from random import Random

import h5py
import numpy as np
import pytest

from toolchain.fuzzing import (
    damaged_attributes,
    damaged_declarations,
    damaged_nodes,
    damaged_tensors,
)
from toolchain.fuzzing.damaged_archives import damage_archive, damage_json
from toolchain.fuzzing.damaged_bytes import damage_bytes
from toolchain.fuzzing.damaged_hdf5 import damage_hdf5
from toolchain.fuzzing.networks import draw_network
from toolchain.fuzzing.onnx_case import require_equal

DAMAGES = [
    *damaged_attributes.DAMAGES,
    *damaged_declarations.DAMAGES,
    *damaged_nodes.DAMAGES,
    damaged_nodes.deepen,
    *damaged_tensors.DAMAGES,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damage_changes_most_models(damage, tmp_path):
    changed = 0

    for seed in range(12):
        model = draw_network(Random(seed))
        whole = model.SerializeToString()
        damage(Random(seed), model, tmp_path)
        once = model.SerializeToString()
        if model.graph.node and damage is not damaged_nodes.deepen:
            damage(Random(seed), model, tmp_path)
        changed += once != whole

    assert changed >= 4


@pytest.mark.parametrize("seed", range(5))
def test_bytes_are_damaged_alike_every_time(seed):
    content = bytes(range(256)) * 4

    first, second = (damage_bytes(Random(seed), content) for _ in range(2))

    assert first == second


def test_archives_are_damaged_in_many_ways():
    stream = io.BytesIO()
    np.savez(stream, x=np.ones((3, 2)), content=np.array('{"type": "Window", "start": 1}'))

    damaged = {damage_archive(Random(seed), stream.getvalue()) for seed in range(60)}

    assert len(damaged) > 40


def test_json_is_damaged_in_one_place():
    value = {"a": [1, 2, {"b": "c"}], "d": 4.5}

    damaged = [damage_json(Random(seed), value) for seed in range(20)]

    assert value not in damaged
    assert value == {"a": [1, 2, {"b": "c"}], "d": 4.5}


def test_hdf5_files_are_damaged_again_and_again(tmp_path):
    path = tmp_path / "net.net"
    with h5py.File(path, "w") as file:
        file["layer/0/shape"] = [4]
        file["layer/0/weight"] = np.ones((4, 4))
        file.attrs["latency"] = 3
    whole = path.read_bytes()

    for seed in range(30):
        damage_hdf5(Random(seed), path, 2)

    assert path.read_bytes() != whole


def test_outputs_that_differ_are_found():
    wanted = np.array([[1.0, -2.0]])

    require_equal(wanted + 1e-5, wanted, magnitude=2.0)
    with pytest.raises(AssertionError, match=r"differ by 0\.01 of 2"):
        require_equal(wanted + 0.01, wanted, magnitude=2.0)
    with pytest.raises(AssertionError, match="outputs are"):
        require_equal(wanted[:, :1], wanted, magnitude=2.0)


def test_outputs_that_float32_cannot_say_are_not_compared():
    wanted = np.array([[1.0, np.inf]])

    require_equal(np.zeros((1, 2)), wanted, magnitude=1.0)
    require_equal(np.zeros((1, 2)), np.ones((1, 2)), magnitude=1e30)
