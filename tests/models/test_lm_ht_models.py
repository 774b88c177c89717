"""The bundled LM-HT networks go from training through ONNX to Lava with every spike equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolchain.frontend import import_model
from toolchain.ir.snn import LmHt
from toolchain.ir.verify import accounted
from toolchain.options import Options
from toolchain.pipeline import compile_model

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(folder.name for folder in MODELS.glob("lmht_*"))


@pytest.mark.parametrize("name", NAMES)
def test_the_frontend_recognizes_all_of_it(name):
    model = import_model(MODELS / name / "model.onnx")

    neurons = model.graph.of_type(LmHt)
    assert len(neurons) >= 2
    assert all(node.windows >= 2 for node in neurons)
    assert any(np.ptp(node.mixing) > 0.05 for node in neurons)
    assert accounted(model.graph) == set(model.graph.source_nodes)


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("name", ["lmht_digits"])
def test_every_spike_on_lava_is_equal(name, tmp_path):
    folder = MODELS / name

    report = compile_model(
        Options(
            model=folder / "model.onnx",
            test=folder / "test.npz",
            formats=("lava",),
            output=tmp_path / "build",
        )
    )

    rungs = {rung.rung: rung for rung in report.ladder}
    assert report.nodes["in"] == report.nodes["accounted"]
    assert (report.windows, report.method) == (3, "trained")
    for exact in ("lowered", "count", "step", "lava"):
        rung = rungs[exact]
        assert (rung.promise, rung.status, rung.max_abs_error) == ("exact", "ok", 0)
    assert rungs["lava"].samples >= 1
    assert rungs["imported"].status == "ok"
    assert rungs["step"].agreement > 0.99
