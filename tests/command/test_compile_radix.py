"""The radix lowering through the command: exact, compared with the others, and not stock."""

from __future__ import annotations

import numpy as np

from toolchain.cli import main


def test_a_network_compiles_to_binary_numbers(workplace):
    report = workplace.compiled("net.onnx", "--test", "test.npz", "--lowering", "radix")

    assert report["lowering"] == "radix"
    assert report["period"] == 4
    assert [rung["status"] for rung in report["ladder"]][:7] == ["ok"] * 7
    assert any("neuron programs" in sentence for sentence in report["assumptions"])
    netx = next(rung for rung in report["ladder"] if rung["rung"] == "netx")
    assert netx["status"] == "skipped"
    assert "--lowering spatial or temporal" in netx["why"]


def test_the_report_compares_the_lowerings(workplace):
    report = workplace.compiled("net.onnx", "--lowering", "radix", "--format", "lava")

    rows = {row["name"]: row for row in report["lowerings"]}
    assert sorted(rows) == ["radix", "spatial", "temporal"]
    assert [name for name in rows if rows[name]["is_chosen"]] == ["radix"]
    assert [name for name in rows if rows[name]["needs_program"]] == ["radix"]
    for key in ("time_steps", "period", "neurons", "synapses"):
        assert rows["radix"][key] == report[key]


def test_more_levels_are_tried_where_they_cost_a_step_each(workplace):
    """No number of levels keeps answers that hang on less than a weight can say."""
    random = np.random.default_rng(0)
    alike = random.normal(size=(8, 1)) + 1e-4 * random.normal(size=(8, 3))
    workplace.save_model(w2=alike.astype(np.float32), b2=np.zeros(3, np.float32))

    radix, temporal = (
        workplace.compiled("net.onnx", "--levels", "auto", "--lowering", lowering)
        for lowering in ("radix", "temporal")
    )

    assert any(sentence.startswith("up to 255 levels") for sentence in radix["warnings"])
    assert any(sentence.startswith("up to 63 levels") for sentence in temporal["warnings"])


def test_what_was_not_asked_for_is_not_chosen(workplace):
    report = workplace.compiled("net.onnx", "--levels", "255")

    assert report["lowering"] in ("spatial", "temporal")


def test_a_netx_file_of_binary_numbers_is_refused(workplace, capsys):
    code = main(["net.onnx", "--lowering", "radix", "--format", "netx"])

    assert code == 2
    assert "--format lava" in capsys.readouterr().err
