"""Segments are ordinary builds, set on the model's own values, and run one after the other."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import onnx
import pytest

from toolchain.calibration import session
from toolchain.engine import ENGINES
from toolchain.errors import ConversionError, InputDataError
from toolchain.execution import load_program, run_build
from toolchain.frontend.testing import text_model
from toolchain.options import Options
from toolchain.partial.compilation import WITHOUT_EFFECT, compile_partial
from toolchain.partial.findings import PartialReport
from toolchain.partial.manifest import read_manifest
from toolchain.partial.running import run_partial
from toolchain.report import Report


@pytest.fixture
def compiled(save, samples, tmp_path):
    """Return a function that compiles a model to ``build`` and returns the report."""

    def compile_it(name, **options):
        return compile_partial(
            Options(
                model=save(name),
                calibration=samples(name, "calibration.npz"),
                test=samples(name, "test.npz", 10),
                output=tmp_path / "build",
                formats=("twin",),
                **{"levels": 7, "lowering": "temporal", **options},
            )
        )

    return compile_it


def values_of(path, x, *names):
    """Return values of a model in onnxruntime."""
    model = onnx.load(path)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    runner = session(model.SerializeToString(), as_written=True)
    return runner.run(list(names), {"x": x})


def test_the_report_says_what_runs_where(compiled):
    report = compiled("normalized")

    assert isinstance(report, PartialReport)
    assert [(s.name, s.operators) for s in report.segments] == [
        ("1-chip", ("Conv", "Relu")),
        ("2-host", ("LRN", "MaxPool")),
        ("3-chip", ("Conv", "Relu", "Flatten", "Gemm", "Softmax")),
    ]
    work = 4 * 64 * 18 + 4 * 16 * 36 + 64 * 5
    assert report.segments[0].share == 4 * 64 * 18 / work
    assert report.share_of_nodes == 7 / 9
    assert report.is_kept


def test_the_traffic_is_counted_in_both_directions(compiled):
    report = compiled("normalized")

    found = [
        (c.segment, c.direction, c.tensor, c.values, c.bits, c.bytes_per_sample)
        for c in report.crossings
    ]
    assert found[:3] == [
        ("1-chip", "to chip", "x", 128, 9, 144),
        ("1-chip", "to host", "r", 256, 3, 96),
        ("3-chip", "to chip", "p", 64, 9, 72),
    ]
    *last, bits, size = found[3]
    assert last == ["3-chip", "to host", "y", 5]
    assert size == -(-5 * bits // 8)
    assert report.bytes_to_chip == 144 + 72
    assert report.bytes_to_host == 96 + size


def test_an_activation_is_read_as_spike_counts_and_not_as_sums(compiled, tmp_path):
    compiled("normalized", levels=5)

    graph = load_program(tmp_path / "build/segments/1-chip").graph
    (output,) = graph.outputs
    assert output.tail == ()
    assert max(node.levels for node in graph if hasattr(node, "levels")) == 5


def test_thresholds_are_set_on_the_values_of_the_model_itself(compiled, tmp_path):
    compiled("normalized")

    x = np.load(tmp_path / "calibration.npz")["x"]
    (pooled,) = values_of(tmp_path / "net.onnx", x, "p")
    (entry,) = load_program(tmp_path / "build/segments/3-chip").graph.inputs
    assert entry.encoding.scale * entry.encoding.high == pytest.approx(pooled.max(), rel=1e-6)


def test_a_segment_of_several_values_is_a_build_like_any_other(compiled, tmp_path):
    report = compiled("excited")

    first = report.segments[0]
    program = load_program(tmp_path / "build/segments/1-chip")
    assert [node.tensor for node in program.graph.outputs] == list(first.outputs)
    np.savez(tmp_path / "x.npz", x=np.load(tmp_path / "test.npz")["x"])
    result = run_build(tmp_path / "build/segments/1-chip", tmp_path / "x.npz", engine="step")
    assert result.tally.samples == 10


@pytest.mark.parametrize("name", ["normalized", "excited"])
def test_a_run_is_each_segment_on_what_those_before_it_have_made(compiled, tmp_path, name):
    compiled(name)
    data = np.load(tmp_path / "test.npz")

    run_partial(tmp_path / "build", tmp_path / "test.npz", output=tmp_path / "y.npz")

    manifest, held = read_manifest(tmp_path / "build"), {"x": data["x"]}
    for part in manifest.parts:
        if part.place == "host":
            model = (tmp_path / f"build/segments/{part.name}.onnx").read_bytes()
            feeds = {value: held[value] for value in part.inputs}
            made = session(model, as_written=True).run(list(part.outputs), feeds)
            held.update(zip(part.outputs, made, strict=True))
            continue
        inputs = [held[value] for value in part.inputs]
        x = inputs[0] if len(inputs) == 1 else np.hstack([i.reshape(10, -1) for i in inputs])
        arrays = {"x": x} if len(inputs) == 1 else dict(zip(part.inputs, inputs, strict=True))
        np.savez(tmp_path / "part.npz", **arrays)
        build = tmp_path / f"build/segments/{part.name}"
        run_build(build, tmp_path / "part.npz", output=tmp_path / "made.npz")
        with np.load(tmp_path / "made.npz") as outputs:
            made = [outputs[key] for key in outputs.files]
        held |= {
            value: array.astype(np.float32)
            for value, array in zip(part.outputs, made, strict=True)
        }
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["y"], held["y"])


def test_every_engine_gives_the_same(compiled, tmp_path):
    compiled("normalized")

    for engine in ("count", "step"):
        run_partial(
            tmp_path / "build",
            tmp_path / "test.npz",
            engine=engine,
            output=tmp_path / f"{engine}.npz",
        )

    count, step = (np.load(tmp_path / f"{engine}.npz")["y"] for engine in ("count", "step"))
    np.testing.assert_array_equal(count, step)


def test_what_segments_count_adds_up_over_pieces(compiled, samples, tmp_path):
    compiled("normalized")
    (tmp_path / "shards").mkdir()
    files = [samples("normalized", f"shards/{count}.npz", count) for count in (3, 5)]

    both = run_partial(tmp_path / "build", tmp_path / "shards", engine="step").tally

    apart = [run_partial(tmp_path / "build", file, engine="step").tally for file in files]
    assert both.samples == 8
    assert both.spikes == sum(tally.spikes for tally in apart)
    assert both.synaptic_operations == sum(tally.synaptic_operations for tally in apart)


def test_the_ladder_of_the_whole_is_the_model_its_segments_and_what_runs(compiled, tmp_path):
    report = compiled("normalized")

    rungs = {rung.rung: rung for rung in report.ladder}
    assert list(rungs) == ["onnxruntime", "split", "chain"]
    assert rungs["split"].max_abs_error == 0.0
    assert rungs["chain"].max_abs_error > 0
    result = run_partial(tmp_path / "build", tmp_path / "test.npz")
    assert result.tally.metric == rungs["chain"].metric


def test_errors_add_up_from_segment_to_segment(compiled):
    report = compiled("normalized")

    back = [c for c in report.crossings if c.direction == "to host"]
    first, last = back
    assert first.isolated_error == first.cumulative_error > 0
    assert 0 < last.isolated_error < 1
    assert last.isolated_error != last.cumulative_error


def test_a_model_that_compiles_is_compiled_as_ever(tmp_path, samples):
    text = "net (float[N, 2, 8, 8] x) => (float[N, 3, 1, 1] y) { y = Conv(x, w) }"
    weight = np.random.default_rng(0).normal(size=(3, 2, 8, 8)).astype(np.float32)
    onnx.save(text_model(text, w=weight), tmp_path / "net.onnx")
    options = Options(
        model=tmp_path / "net.onnx",
        calibration=samples("normalized"),
        output=tmp_path / "build",
        formats=(),
    )

    report = compile_partial(options)

    assert isinstance(report, Report)
    assert report.warnings[0] == WITHOUT_EFFECT
    written = json.loads((tmp_path / "build/report.json").read_text())
    assert written["warnings"][0] == WITHOUT_EFFECT
    assert not (tmp_path / "build/partial.json").exists()


def test_a_build_is_whole_or_not_there(compiled, save, samples, tmp_path):
    compiled("normalized")
    before = sorted(path for path in tmp_path.rglob("*"))
    options = Options(
        model=tmp_path / "net.onnx",
        calibration=samples("normalized", "calibration.npz"),
        output=tmp_path / "build",
        formats=("twin",),
        lowering="temporal",
    )

    def stop(stage, done, total):
        if stage == "3-chip: verify":
            raise InputDataError("stopped")

    with pytest.raises(InputDataError, match="stopped"):
        compile_partial(options, progress=stop)

    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_an_error_names_the_segment(compiled, tmp_path):
    with pytest.raises(ConversionError) as error:
        compiled("dead")

    assert error.value.problem.startswith("in segment 3-chip, the layer is dead")
    assert error.value.node == "relu2"
    assert not (tmp_path / "build").exists()


def test_a_build_that_was_changed_is_refused(compiled, tmp_path):
    compiled("normalized")
    manifest = tmp_path / "build/partial.json"
    held = json.loads(manifest.read_text())
    held["segments"][0]["outputs"] = ["p"]
    manifest.write_text(json.dumps(held))

    with pytest.raises(InputDataError, match="has changed since the build was written"):
        read_manifest(tmp_path / "build")


def test_segments_run_without_an_engine_that_is_absent_are_refused(
    compiled, tmp_path, monkeypatch
):
    compiled("normalized")
    absent = dataclasses.replace(ENGINES["step"], missing=lambda: "it is not installed")
    monkeypatch.setitem(ENGINES._things, "step", absent)

    with pytest.raises(ImportError, match="it is not installed"):
        run_partial(tmp_path / "build", tmp_path / "test.npz", engine="step")
