"""Tables have the paper's columns, and what its monitor leaves out in columns of its own."""

from __future__ import annotations

import json

from toolchain.training.tables import tables

MEASURED = {
    "synaptic_operations": 730_000,
    "energy_j": 0.9e-12 * 730_000,
    "mixing_operations": 4_000,
    "input_operations": 100_000,
    "energy_with_all_j": 0.9e-12 * 730_000 + 4.6e-12 * 104_000,
}


def test_units_are_millions_and_microjoules(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    metrics = {
        "network": {"name": "vgg", "levels": 2, "windows": 2, "mixing": "full"},
        "test_accuracy": 0.80564,
        "operations_per_sample": MEASURED,
        "reparameterization": {
            "before": MEASURED | {"accuracy": 0.5, "differing": 0.0},
            "uniform": MEASURED | {"accuracy": 0.51, "differing": 0.00123},
        },
    }
    (run / "metrics.json").write_text(json.dumps(metrics))

    lines = tables([run]).splitlines()

    numbers = "0.7300 | 0.657 | 0.0040 | 0.1000 | 1.135"
    assert lines[0] == (
        "| run | network | L | T | mixing | accuracy, % | SOPs, M | E, µJ | mixing, M "
        "| first layer, M | E of all, µJ |"
    )
    assert lines[2] == f"| run | vgg | 2 | 2 | full | 80.56 | {numbers} |"
    assert lines[6] == f"| run | before | 2 | 2 | 50.00 | {numbers} | 0.0000% |"
    assert lines[7] == f"| run | after, evenly spread | 1 | 4 | 51.00 | {numbers} | 0.1230% |"
