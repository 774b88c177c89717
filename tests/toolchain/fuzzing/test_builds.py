"""Files of a build that are not as we write them are named, whatever is in them."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from toolchain.build_verification import verify_build
from toolchain.errors import InputDataError
from toolchain.execution import run_build
from toolchain.fuzzing.build_case import signed
from toolchain.fuzzing.whole_builds import COUNT, whole_build
from toolchain.partial.running import run_partial
from toolchain.partial.verifying import verify_partial

ORDINARY, SPLIT = 0, COUNT - 1


@pytest.fixture
def place(tmp_path):
    """Return a function that writes a build with one file changed, and samples for it."""

    def write(index, name="", content=b""):
        build = whole_build(index)
        files = signed({**build.files, name: content}, name) if name else build.files
        for path, held in files.items():
            (tmp_path / "build" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "build" / path).write_bytes(held)
        arrays = {n: np.ones((2, *shape), np.float32) for n, shape in build.shapes.items()}
        np.savez(tmp_path / "x.npz", **arrays)
        return tmp_path / "build", tmp_path / "x.npz"

    return write


def changed(index, name, *keys, value):
    """Return a JSON file of a build with another value in one place."""
    document = json.loads(whole_build(index).files[name])
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return json.dumps(document).encode()


def test_builds_as_they_are_run_and_hold(place):
    ordinary = place(ORDINARY)

    assert verify_build(ordinary[0], None).is_kept
    assert run_build(*ordinary, engine="twin").tally.samples == 2


def test_builds_in_segments_run_and_hold(place):
    split = place(SPLIT)

    assert verify_partial(*split).is_kept
    assert run_partial(*split).tally.samples == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [("levels", "many"), ("target", 5), ("max_elements", {}), ("formats", 3)],
)
def test_options_of_other_types_are_refused(place, key, value):
    folder, _ = place(
        ORDINARY, "options.json", changed(ORDINARY, "options.json", key, value=value)
    )

    with pytest.raises(InputDataError) as error:
        verify_build(folder, None)

    assert error.value.node == str(folder / "options.json")


@pytest.mark.parametrize("index", [ORDINARY, SPLIT])
@pytest.mark.parametrize("value", [None, [5], ["../x"], ["/etc/hosts"], ["a\0b"], ["x" * 300]])
def test_lists_of_what_cannot_be_in_the_folder_are_refused(place, index, value):
    name = "report.json"
    folder, _ = place(index, name, changed(index, name, "manifest", value=value))
    verify = verify_partial if index == SPLIT else verify_build

    with pytest.raises(InputDataError) as error:
        verify(folder, None)

    assert error.value.node == str(folder / name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"no model", "cannot be run: "), (b"", "has no metadata of a twin")],
)
def test_a_twin_that_cannot_be_run_is_named(place, content, problem):
    folder, data = place(ORDINARY, "twin.onnx", content)

    with pytest.raises(InputDataError, match=problem) as error:
        run_build(folder, data, engine="twin")

    assert error.value.node == str(folder / "twin.onnx")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("inputs", 0, "dtype"), "input"),
        (("inputs", 0, "dtype"), "U3"),
        (("inputs", 0, "shape"), [float("inf")]),
        (("inputs",), []),
        (("outputs", 0, "name"), "nobody"),
        (("outputs",), []),
        (("segments", 0, "outputs"), ["x"]),
        (("values",), {}),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused(place, keys, value):
    name = "partial.json"
    folder, data = place(SPLIT, name, changed(SPLIT, name, *keys, value=value))

    with pytest.raises(InputDataError) as error:
        run_partial(folder, data)

    assert error.value.node == str(folder / name)


def test_an_output_of_another_shape_than_the_manifest_says_is_refused(place):
    name = "partial.json"
    content = changed(SPLIT, name, "outputs", 0, "shape", value=[7, 7])
    folder, data = place(SPLIT, name, content)

    with pytest.raises(InputDataError, match="in each sample; the model says"):
        run_partial(folder, data)


def test_a_segment_that_is_another_network_is_refused(place):
    name = "partial.json"
    held = json.loads(whole_build(SPLIT).files[name])["values"]
    content = changed(
        SPLIT, name, "values", value={value: {"shape": [1, 2, 3]} for value in held}
    )
    folder, data = place(SPLIT, name, content)

    with pytest.raises(InputDataError, match="is missing or damaged"):
        run_partial(folder, data)


def test_a_segment_with_weights_in_other_files_is_refused(place):
    name = "segments/2-host.onnx"
    model = onnx.load_model_from_string(whole_build(SPLIT).files[name])
    tensor = model.graph.initializer.add(name="w", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="secret")
    folder, data = place(SPLIT, name, model.SerializeToString())

    with pytest.raises(InputDataError, match="has weights in other files") as error:
        run_partial(folder, data)

    assert error.value.node == str(folder / name)
