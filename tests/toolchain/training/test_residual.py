"""Trained residual networks keep every promise down to the spikes of stock Lava processes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.options import Options  # noqa: E402
from toolchain.pipeline import compile_model  # noqa: E402
from toolchain.training.export import export_network  # noqa: E402
from toolchain.training.networks import build_network  # noqa: E402
from toolchain.training.neuron import MultiThreshold  # noqa: E402

SHAPE = (2, 8, 8)


def network(name, windows, mixing):
    """Return a network with normalized activity and mixing matrices as training leaves them."""
    torch.manual_seed(0)

    def neurons():
        return MultiThreshold(
            3, windows, threshold=1.0, mixing=mixing, retention=0.9, initial=0.5
        )

    built = build_network(
        name,
        SHAPE,
        4,
        neurons,
        has_window_axis=False,
        input_scale=1.0,
        width=3,
        blocks=[1, 1],
    )
    built.train()
    with torch.no_grad():
        for _ in range(3):
            built(torch.rand(16, *SHAPE))
        for parameter in built.parameters():
            if parameter.shape == (windows, windows):
                parameter += 0.2 * torch.randn_like(parameter)
    return built.eval()


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@pytest.mark.parametrize("name", ["resnet", "ms-resnet"])
@pytest.mark.parametrize(("windows", "mixing"), [(2, "lower"), (3, "full")])
def test_every_rung_is_kept(name, windows, mixing, lowering, tmp_path):
    model, samples = tmp_path / "model.onnx", tmp_path / "samples.npz"
    export_network(network(name, windows, mixing), model)
    np.savez(samples, x=np.random.default_rng(0).random((8, *SHAPE)).astype(np.float32))

    report = compile_model(
        Options(
            model=model,
            calibration=samples,
            lowering=lowering,
            formats=("lava", "twin"),
            output=tmp_path / "build",
        )
    )

    status = {rung.rung: rung.status for rung in report.ladder}
    assert status["lava"] == status["twin"] == status["step"] == "ok"
    assert set(status.values()) == {"ok"}
