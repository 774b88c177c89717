"""``snn-compile verify`` says of a sound build that it is, and of any other where it is not."""

from __future__ import annotations

import json
import re

import h5py
import numpy as np
import pytest

from toolchain.cli import main
from toolchain.execution import CIRCUIT_FILE, GRAPH_FILE


@pytest.fixture(scope="module")
def finished():
    """Hold one build for all tests, with the bytes of its files."""
    return {}


@pytest.fixture
def build(workplace, finished):
    """Put a build of the perceptron, temporal, into the folder ``build``."""
    if not finished:
        workplace.compiled("net.onnx", "--test", "test.npz", "--lowering", "temporal")
        held = workplace.contents("build")
        finished |= {name: content for name, content in held.items() if content is not None}
    for name, content in finished.items():
        path = workplace.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return workplace.path / "build"


@pytest.fixture
def verified(build, capsys):
    """Return a function that verifies the build and returns exit code and findings."""

    def verify(*words):
        before = {path: path.read_bytes() for path in build.rglob("*") if path.is_file()}
        capsys.readouterr()
        code = main(["verify", "build", "--json", *map(str, words)])
        out, err = capsys.readouterr()
        assert err == ""
        assert {path: path.read_bytes() for path in before} == before
        return code, json.loads(out)

    return verify


def changed(found):
    return {file["name"]: file["why"] for file in found["files"] if file["status"] == "changed"}


def rung(found, name):
    (held,) = [rung for rung in found["ladder"] if rung["rung"] == name]
    return held


def change_array(path, wanted, index, change):
    """Change one element of the first array of an archive that ``wanted`` holds of."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = next(name for name in arrays if wanted(arrays[name]))
    arrays[name] = arrays[name].astype(np.int64)
    arrays[name][index] += change
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def is_first_layer(array):
    return array.shape == (8, 4)


def test_a_sound_build_has_every_rung_and_ends_with_zero(verified):
    code, found = verified("--data", "test.npz")

    assert code == 0
    assert found["is_kept"]
    assert {file["status"] for file in found["files"]} == {"ok"}
    statuses = {rung["rung"]: rung["status"] for rung in found["ladder"]}
    assert list(statuses)[:7] == [
        "onnxruntime", "imported", "converted", "lowered", "quantized", "count", "step"
    ]  # fmt: skip
    assert set(list(statuses.values())[:7]) == {"ok"}


def test_the_rungs_are_those_of_the_compilation(verified, build):
    _, found = verified("--data", "test.npz")

    report = json.loads((build / "report.json").read_text())
    assert found["ladder"] == report["ladder"]


def test_without_samples_the_files_are_looked_at(verified):
    code, found = verified()

    assert (code, found["ladder"]) == (0, [])


def test_the_page_for_people_names_files_and_rungs(build, capsys):
    assert main(["verify", "build", "--data", "test.npz", "--rungs", "count,step"]) == 0

    out = capsys.readouterr().out
    assert re.match(r"(\d+) of \1 files are as they were written\n", out)
    assert "step" in out
    assert "onnxruntime" not in out


@pytest.mark.parametrize(
    "names", ["step", "count", "quantized", "lowered", "converted", "imported", "onnxruntime"]
)
def test_a_rung_alone_is_what_it_is_among_all(verified, build, names):
    _, found = verified("--data", "test.npz", "--rungs", names)

    report = json.loads((build / "report.json").read_text())
    (alone,) = found["ladder"]
    (among,) = [rung for rung in report["ladder"] if rung["rung"] == names]
    of_source = {} if alone["agreement"] is None else {"agreement": among["agreement"]}
    assert alone == among | {"agreement": alone["agreement"]} | of_source


def test_a_weight_of_the_circuit_that_was_changed_is_named_with_neuron_and_step(
    verified, build
):
    change_array(build / CIRCUIT_FILE, is_first_layer, (3, 1), 40)

    code, found = verified("--data", "test.npz", "--rungs", "count,step")

    assert code == 3
    (where,) = changed(found).values()
    assert re.search(r"'Gemm:a/synapse'\.weight\[3, 1\] is (-?\d+) and not (-?\d+)$", where)
    assert rung(found, "count")["status"] == "ok"
    broken = rung(found, "step")
    assert broken["status"] == "broken"
    assert re.match(
        r"population 'Relu:r', neuron \(3,\), sample \d+, time step \d+: [01] against [01]",
        broken["first_difference"],
    )


def test_a_weight_of_the_graph_that_was_changed_is_named(verified, build):
    change_array(build / GRAPH_FILE, is_first_layer, (3, 1), 40)

    code, found = verified("--data", "test.npz", "--rungs", "quantized,count,step")

    assert code == 3
    assert list(changed(found)) == [GRAPH_FILE]
    assert "'Gemm:a/synapse'.weight[3, 1]" in changed(found)[GRAPH_FILE]
    assert "neuron (3,)" in rung(found, "step")["first_difference"]


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_weight_of_the_netx_file_that_was_changed_is_named(
    workplace, capsys, is_silent, monkeypatch
):
    workplace.compiled("net.onnx", "--lowering", "spatial")
    path = workplace.path / "build/network.net"
    with h5py.File(path, "r+") as file:
        file["layer/1/weight"][2, 1] += 8
    if is_silent:  # the digest was changed, too
        report = json.loads((workplace.path / "build/report.json").read_text())
        from toolchain.digest import digest_of

        report["sha256"]["network.net"] = digest_of(path)
        (workplace.path / "build/report.json").write_text(json.dumps(report))
    capsys.readouterr()

    code = main(["verify", "build", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert code == 3
    assert list(changed(found)) == ["network.net"]
    assert re.search(
        r"layer/1/weight\[2, 1\] is \S+ and not \S+$", changed(found)["network.net"]
    )


@pytest.mark.lava
def test_the_netx_rung_names_layer_neuron_and_step_of_a_changed_weight(workplace, capsys):
    workplace.compiled("net.onnx", "--lowering", "spatial", "--format", "netx")
    with h5py.File(workplace.path / "build/network.net", "r+") as file:
        file["layer/1/weight"][:8, 1] += 40
    capsys.readouterr()

    code = main(["verify", "build", "--data", "test.npz", "--rungs", "netx", "--json"])

    (found,) = json.loads(capsys.readouterr().out)["ladder"]
    assert code == 3
    assert found["status"] == "broken"
    assert re.match(
        r"population 'Relu:r', neuron \(\d+,\), sample \d+, time step \d+: ",
        found["first_difference"],
    )


def test_a_file_that_is_gone_is_named(verified, build):
    (build / "lava/run.py").unlink()

    code, found = verified()

    assert code == 3
    (missing,) = [file for file in found["files"] if file["status"] == "missing"]
    assert missing["name"] == "lava/run.py"


def test_a_script_that_was_changed_is_named_by_its_line(verified, build):
    path = build / "lava/run.py"
    path.write_text(path.read_text().replace("import", "import os, ", 1))

    _, found = verified()

    assert re.match(r"line \d+ is ", changed(found)["lava/run.py"])


def test_a_build_of_another_version_is_compared_by_its_digests(verified, build):
    report = json.loads((build / "report.json").read_text())
    report["written_by"] = "snn-compile 0.0.9"
    (build / "report.json").write_text(json.dumps(report))
    change_array(build / CIRCUIT_FILE, is_first_layer, (3, 1), 40)

    code, found = verified()

    assert code == 3
    assert list(changed(found)) == [CIRCUIT_FILE]


def test_without_the_model_its_rungs_are_skipped_with_reason(verified, workplace):
    (workplace.path / "net.onnx").unlink()

    code, found = verified("--data", "test.npz")

    assert code == 0
    skipped = [held for held in found["ladder"] if held["status"] == "skipped"]
    assert [held["rung"] for held in skipped][:4] == [
        "onnxruntime", "imported", "converted", "lowered"
    ]  # fmt: skip
    assert skipped[0]["why"] == (
        "the model 'net.onnx' cannot be compiled again: there is no such file; --model says "
        "where it is"
    )
    assert rung(found, "quantized")["agreement"] is None
    assert rung(found, "step")["status"] == "ok"


def test_a_model_that_moved_is_found_by_its_new_name(verified, workplace):
    (workplace.path / "net.onnx").rename(workplace.path / "moved.onnx")

    _, found = verified("--data", "test.npz", "--model", "moved.onnx", "--rungs", "imported")

    assert rung(found, "imported")["status"] == "ok"


def test_another_model_is_not_taken_for_the_one_that_was_compiled(verified, workplace):
    workplace.save_model(b1=np.ones(8, np.float32))

    _, found = verified("--data", "test.npz")

    assert "is not the model that was compiled" in rung(found, "imported")["why"]


def test_other_calibration_samples_do_not_pass_for_the_thresholds_of_the_build(
    verified, workplace
):
    workplace.save_samples("calibration.npz", x=np.full((4, 4), 0.5, np.float32), y=None)

    code, found = verified("--data", "test.npz")

    assert code == 0
    assert rung(found, "imported")["status"] == "ok"
    assert rung(found, "lowered")["status"] == "skipped"
    assert "gives another graph than graph.npz" in rung(found, "lowered")["why"]
    assert rung(found, "quantized")["max_abs_error"] is None


def test_a_tolerance_that_is_too_small_breaks_the_imported_rung_alone(verified):
    code, found = verified("--data", "test.npz", "--tolerance", "1e-12")

    assert code == 3
    assert [held["rung"] for held in found["ladder"] if held["status"] == "broken"] == [
        "imported"
    ]
    assert rung(found, "imported")["promise"] == "within 1e-12"


# What cannot be verified.


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nothing"], "input data at 'nothing': is not a build of ours"),
        (["build", "--data", "nothing.npz"], "input data at 'nothing.npz': there is no such"),
        (["build", "--rungs", "stairs"], "look-up: no rung is called 'stairs'"),
    ],
)
def test_what_makes_no_sense_is_refused(build, workplace, words, problem):
    assert workplace.refusal("verify", *words).startswith(problem)


def test_samples_of_another_shape_are_refused(build, workplace):
    workplace.save_samples("wide.npz", shape=(5,))

    assert "the model reads (4,)" in workplace.refusal("verify", "build", "--data", "wide.npz")


@pytest.mark.parametrize("name", ["options.json", "graph.npz", "circuit.npz", "report.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00"])
def test_a_damaged_build_is_refused(build, workplace, name, content):
    (build / name).write_bytes(content)

    problem = workplace.refusal("verify", "build")

    assert problem.startswith("input data at 'build")


@pytest.mark.parametrize(
    "words", [[], ["build", "--tolerance", "0"], ["build", "--rungs", ","]]
)
def test_arguments_that_make_no_sense_are_refused(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(["verify", *words])

    assert end.value.code == 2


@pytest.mark.parametrize("name", [GRAPH_FILE, CIRCUIT_FILE])
def test_an_array_of_another_size_is_found_or_refused(build, capsys, name):
    with np.load(build / name) as archive:
        arrays = {key: archive[key] for key in archive.files}
    codes = []
    for key in [key for key in arrays if arrays[key].ndim]:
        with (build / name).open("wb") as file:
            np.savez_compressed(file, **arrays | {key: arrays[key][:-1]})
        codes.append(main(["verify", "build", "--data", "test.npz", "--rungs", "count,step"]))

    assert "internal error" not in capsys.readouterr().err
    assert codes
    assert set(codes) <= {2, 3}
