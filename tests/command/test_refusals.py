"""What cannot be compiled is refused in a clear message, and leaves everything as it was."""

import numpy as np
import onnx
import pytest

from toolchain.cli import main

# Bad models.


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"\x00" * 64, b"\xff" * 64])
def test_what_is_not_an_onnx_file_is_refused(workplace, content):
    (workplace.path / "net.onnx").write_bytes(content)

    assert workplace.refusal("net.onnx").startswith("import at 'net.onnx': ")


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_truncated_model_is_refused(workplace, share):
    content = (workplace.path / "net.onnx").read_bytes()
    (workplace.path / "net.onnx").write_bytes(content[: int(share * len(content))])

    assert workplace.refusal("net.onnx").startswith("import at ")


def test_a_missing_model_is_refused(workplace):
    assert workplace.refusal("nothing.onnx").startswith("import at 'nothing.onnx': ")


def test_a_folder_is_no_model(workplace):
    (workplace.path / "nets").mkdir()

    assert workplace.refusal("nets").startswith("import at 'nets': ")


def test_an_unknown_operator_is_named_with_its_node(workplace):
    workplace.save_model(
        """net (float[N, 4] x) => (float[N, 4] y) {
            [first] r = Relu(x)
            [curve] y = ThresholdedRelu(r)
        }""",
    )

    problem = workplace.refusal("net.onnx")

    assert problem.startswith("import at 'curve': ")
    assert "ThresholdedRelu" in problem


def test_an_unsupported_attribute_is_named_with_its_node(workplace):
    workplace.save_model(
        """net (float[N, 4] x) => (int64[N, 1] y) {
            [first] r = Relu(x)
            [last] y = ArgMax <axis = 1, select_last_index = 1> (r)
        }""",
    )

    problem = workplace.refusal("net.onnx")

    assert problem.startswith("import at 'last': ")
    assert "select_last_index" in problem


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(workplace, bad):
    w1 = workplace.weights()["w1"]
    w1[2, 3] = bad
    workplace.save_model(w1=w1)

    problem = workplace.refusal("net.onnx")

    assert problem.startswith("import at 'w1': ")
    assert "not finite" in problem


def test_a_dead_layer_is_refused(workplace):
    workplace.save_model(b1=np.full(8, -1000, np.float32))

    problem = workplace.refusal("net.onnx")

    assert problem.startswith("convert at ")
    assert "the layer is dead" in problem


def test_weights_outside_the_folder_of_the_model_are_not_read(workplace):
    model = onnx.load("net.onnx")
    onnx.save(model, "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    model = onnx.load("net.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../../secret" if entry.key == "location" else entry.value
    (workplace.path / "net.onnx").write_bytes(model.SerializeToString())

    assert "../../secret" in workplace.refusal("net.onnx")


# Bad samples.


@pytest.mark.parametrize("option", ["--calibration", "--test"])
def test_samples_of_another_shape_are_refused(workplace, option):
    workplace.save_samples("wide.npz", shape=(5,))

    assert workplace.refusal("net.onnx", option, "wide.npz") == (
        "input data at 'wide.npz': 'x' holds samples of shape (5,); the model reads (4,)"
    )


def test_empty_calibration_is_refused(workplace):
    workplace.save_samples("calibration.npz", count=0)

    problem = workplace.refusal("net.onnx")

    assert problem.startswith("input data at 'calibration.npz': 'x' has shape (0, 4)")


@pytest.mark.parametrize("option", ["--calibration", "--test"])
def test_missing_samples_are_refused(workplace, option):
    assert workplace.refusal("net.onnx", option, "nothing.npz") == (
        "input data at 'nothing.npz': there is no such file"
    )


def test_pickled_samples_are_refused(workplace):
    np.savez(workplace.path / "calibration.npz", x=np.array([{"a": 1}], dtype=object))

    assert "Python objects" in workplace.refusal("net.onnx")


def test_a_truncated_sample_file_is_refused(workplace):
    path = workplace.path / "test.npz"
    path.write_bytes(path.read_bytes()[:300])

    assert "truncated or damaged" in workplace.refusal("net.onnx", "--test", "test.npz")


def test_samples_that_are_not_finite_are_refused(workplace):
    workplace.save_samples("test.npz", x=np.full((40, 4), np.nan))

    assert "NaN" in workplace.refusal("net.onnx", "--test", "test.npz")


def test_labels_of_classes_that_the_model_has_not_are_refused(workplace):
    workplace.save_samples("test.npz", y=np.arange(40))

    assert "go from 0 to 39" in workplace.refusal("net.onnx", "--test", "test.npz")


# Bad outputs.


def test_an_output_below_a_file_is_refused(workplace):
    problem = workplace.refusal("net.onnx", "--output", "test.npz/build")

    assert problem.startswith("write at ")
    assert "which is a file" in problem


def test_a_folder_of_someone_else_is_refused(workplace):
    (workplace.path / "thesis").mkdir()
    (workplace.path / "thesis/chapter1.tex").write_text("It was a dark and stormy night.")

    problem = workplace.refusal("net.onnx", "--output", "thesis")

    assert "holds 'chapter1.tex'" in problem


def test_a_build_with_a_file_of_someone_else_is_refused(workplace):
    workplace.compiled("net.onnx")
    (workplace.path / "build/notes.txt").touch()

    assert "holds 'notes.txt'" in workplace.refusal("net.onnx", "--output", "build")


def test_a_build_survives_a_compile_that_fails(workplace):
    workplace.compiled("net.onnx")
    workplace.save_model(b1=np.full(8, -1000, np.float32))

    workplace.refusal("net.onnx", "--output", "build")


LONG = 300 * "x"


@pytest.mark.parametrize(
    "words",
    [
        ("run", LONG, "--input", "test.npz"),
        ("run", "build", "--input", f"{LONG}.npz"),
        ("run", f"{LONG}.net", "--input", "test.npz"),
        ("check", f"{LONG}.onnx"),
        (f"{LONG}.onnx",),
    ],
)
def test_a_path_longer_than_any_is_refused(workplace, words, capsys):
    workplace.compiled("net.onnx")

    code = main([*words])

    assert code == 2
    assert LONG in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (
            np.zeros((40, 3), int),
            "labels 'y' have shape (40, 3); outputs of shape (40, 3) give",
        ),
        (np.full(40, 7), "labels 'y' go from 7 to 7; the answers of this model go from 0 to 2"),
    ],
)
def test_labels_that_are_no_answers_are_named_with_their_file(workplace, labels, problem):
    workplace.save_samples("test.npz", y=labels)

    told = workplace.refusal("net.onnx", "--test", "test.npz", "--quiet")

    assert told.startswith(f"input data at 'test.npz': {problem}")
