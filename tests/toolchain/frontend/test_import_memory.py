"""An import takes little more than twice the size of a model, and keeps its weights once."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from toolchain.frontend.testing import text_model

SIDE, LAYERS = 1024, 8
PROGRAM = """
import json, sys
from pathlib import Path
from toolchain.frontend import import_model

def held(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))

small, large = map(Path, sys.argv[1:])
import_model(small)
before = held("VmRSS")
model = import_model(large)
print(json.dumps([held("VmHWM") - before, held("VmRSS") - before]))
"""


def chain(path, layers, side):
    """Save a perceptron; return the bytes of its weights."""
    names = ["x", *(f"r{i}" for i in range(layers - 1)), "y"]
    lines = [
        f"a{i} = MatMul ({names[i]}, w{i})  {names[i + 1]} = Relu (a{i})" for i in range(layers)
    ]
    weights = {f"w{i}": np.full((side, side), i + 1, np.float32) for i in range(layers)}
    model = text_model(
        f"net (float[N, {side}] x) => (float[N, {side}] y) {{ {'  '.join(lines)} }}", **weights
    )
    onnx.save(model, path)
    return 4 * layers * side**2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells memory")
def test_an_import_takes_little_more_than_a_model_twice(tmp_path):
    chain(tmp_path / "small.onnx", 1, 4)
    size = chain(tmp_path / "large.onnx", LAYERS, SIDE)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "small.onnx", tmp_path / "large.onnx"],
        check=True,
        stdout=subprocess.PIPE,
    )

    peak, kept = json.loads(done.stdout)
    assert peak < 2.75 * size
    assert kept < 1.25 * size
