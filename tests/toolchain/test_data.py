"""Samples are read as they were saved, or refused with the file and what is wrong with it."""

import io
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.data import (
    Samples,
    describe_samples,
    load_samples,
    require_shape,
    save_arrays,
    stream_samples,
    synthetic_samples,
)
from toolchain.errors import InputDataError, OutputFolderError


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves arrays to an npz file and returns its path."""

    def save(**arrays):
        path = tmp_path / "samples.npz"
        np.savez_compressed(path, **arrays)
        return path

    return save


def refusal(path, shape=(3,), labelled=True, **options):
    """Return the error that reading gives."""
    with pytest.raises(InputDataError) as error:
        load_samples(path, shape, labelled=labelled, **options)
    assert error.value.node == str(path)
    return error.value


def header(descr, shape):
    """Return what an npy file begins with."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def archive(path, **entries):
    """Write bytes as the entries of an npz file and return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64", "bool"])
def test_samples_come_back_as_they_were_saved(saved, dtype):
    x = np.arange(12).reshape(4, 3).astype(dtype)
    y = np.array([0, 1, 2, 1], np.uint8)

    samples = load_samples(saved(x=x, y=y), (3,), labelled=True)

    np.testing.assert_array_equal(samples.x, x)
    assert samples.x.dtype == x.dtype
    assert samples.y is not None
    assert samples.y.tolist() == [0, 1, 2, 1]
    assert len(samples) == 4


def test_samples_in_fortran_order_come_back_in_their_own(saved):
    x = np.asfortranarray(np.arange(24.0).reshape(2, 3, 4))

    samples = load_samples(saved(x=x), (3, 4), labelled=False)

    np.testing.assert_array_equal(samples.x, x)


def test_any_shape_is_read_where_none_is_given(saved):
    assert load_samples(saved(x=np.zeros((2, 5, 7))), None, labelled=False).x.shape == (2, 5, 7)


@pytest.mark.parametrize(("labelled", "read"), [(True, True), (None, True), (False, False)])
def test_labels_are_read_if_they_are_wanted(saved, labelled, read):
    path = saved(x=np.zeros((2, 3)), y=np.array([0, 1]))

    assert (load_samples(path, (3,), labelled=labelled).y is not None) == read


def test_labels_may_be_absent_unless_they_are_required(saved):
    assert load_samples(saved(x=np.zeros((2, 3))), (3,), labelled=None).y is None


def test_labels_that_nobody_wants_may_be_anything(saved):
    path = saved(x=np.zeros((2, 3)), y=np.array(["cat", "dog"]))

    assert load_samples(path, (3,), labelled=False).y is None


def test_a_missing_file_is_named_in_a_whole_message(tmp_path):
    path = tmp_path / "none.npz"

    error = refusal(path)

    assert str(error) == f"input data at {str(path)!r}: there is no such file"


def test_a_folder_is_no_file(tmp_path):
    assert refusal(tmp_path).problem == "cannot be read: Is a directory"


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 1000])
def test_what_is_not_an_npz_file_is_refused(tmp_path, content):
    path = tmp_path / "samples.npz"
    path.write_bytes(content)

    assert refusal(path).problem == "is not an npz file"


def test_a_single_array_is_refused_with_the_way_to_save_it(tmp_path):
    path = tmp_path / "samples.npy"
    np.save(path, np.zeros((2, 3)))

    error = refusal(path)

    assert error.problem == "is a single npy array; an npz file with an array 'x' is read"
    assert error.hint == "save it with numpy.savez(path, x=x)"


def test_a_truncated_file_is_refused(saved):
    path = saved(x=np.random.default_rng(0).random((20, 3)))
    path.write_bytes(path.read_bytes()[:200])

    assert refusal(path).problem == "is a truncated or damaged npz file"


def test_an_array_cut_short_inside_the_archive_is_refused(tmp_path):
    path = archive(tmp_path / "cut.npz", x=header("<f8", (10, 3)) + b"\0" * 8)

    assert refusal(path, labelled=False).problem == "array 'x' is truncated or damaged"


@pytest.mark.parametrize("text", ["{", "(1,", "'''", "1L +", "{'descr': 1}", "\\", "[" * 900])
@pytest.mark.parametrize("version", [1, 2, 3, 9])
def test_a_header_that_says_nothing_is_refused(tmp_path, text, version):
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    content = b"\x93NUMPY" + bytes([version, 0]) + length + text.encode()

    path = archive(tmp_path / "header.npz", x=content)

    assert refusal(path, labelled=False).problem == "array 'x' is truncated or damaged"


@given(st.data())
def test_no_damage_to_a_file_gives_another_error_than_ours(tmp_path_factory, data):
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.arange(60.0).reshape(20, 3), y=np.arange(20))
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.mktemp("damaged") / "samples.npz"
    path.write_bytes(bytes(content[: cut or len(content)]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            samples = load_samples(path, (3,), labelled=None, largest_bytes=10_000)
        except InputDataError:
            return

    assert samples.x.shape[1:] == (3,)
    assert np.isfinite(samples.x.astype(float)).all()


def test_a_file_without_samples_says_what_it_holds(saved):
    error = refusal(saved(images=np.zeros(3), labels=np.zeros(3)))

    assert error.problem == "holds no array 'x'; it holds 'images', 'labels'"


def test_missing_labels_are_asked_for(saved):
    error = refusal(saved(x=np.zeros((2, 3))))

    assert error.problem == "holds no array 'y'; it holds 'x'"
    assert error.hint == "save integer labels as 'y'"


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path = tmp_path / "objects.npz"
    np.savez(path, x=np.array([Bomb(), None], dtype=object))

    assert refusal(path).problem == "'x' holds Python objects; real numbers are read"


@pytest.mark.parametrize(
    ("x", "held"),
    [
        (np.array([["a", "b", "c"]]), "values of type <U1"),
        (np.zeros((2, 3), complex), "values of type complex128"),
        (np.zeros((2, 3), "datetime64[s]"), "values of type datetime64[s]"),
        (np.zeros(2, [("a", "f4")]), "values of type [('a', '<f4')]"),
    ],
)
def test_what_is_not_a_real_number_is_refused(saved, x, held):
    assert refusal(saved(x=x)).problem == f"'x' holds {held}; real numbers are read"


def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path):
    path = archive(tmp_path / "bomb.npz", x=header("<f8", (10**12, 3)))

    error = refusal(path, labelled=False)

    assert error.problem == (
        "'x' declares (1000000000000, 3) values of type float64, 24000000000000 bytes; "
        "4294967296 are read at most"
    )


def test_the_limit_of_memory_can_be_set(saved):
    path = saved(x=np.zeros((100, 3)))

    error = refusal(path, labelled=False, largest_bytes=2399)

    assert "2400 bytes; 2399 are read at most" in error.problem
    assert len(load_samples(path, (3,), labelled=False, largest_bytes=2400)) == 100


@pytest.mark.parametrize("x", [np.zeros((0, 3)), np.zeros(())])
def test_no_sample_is_too_few(saved, x):
    assert "no samples; one or more are needed" in refusal(saved(x=x), labelled=False).problem


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_found(saved, bad):
    x = np.zeros((5, 3), np.float32)
    x[2, 1] = x[4, 0] = bad

    assert refusal(saved(x=x), labelled=False).problem == (
        "'x' has 2 of 15 values that are NaN or infinite, the first in sample 2"
    )


@pytest.mark.parametrize(
    ("shape", "wanted", "hint"),
    [
        ((2, 8, 9, 3), (3, 8, 9), "move the channels first: x.transpose(0, 3, 1, 2)"),
        ((2, 3, 8, 9), (8, 9, 3), "move the channels last: x.transpose(0, 2, 3, 1)"),
        ((2, 28, 28), (1, 28, 28), "reshape it: x.reshape(-1, 1, 28, 28)"),
        ((3, 8, 9), (3, 8, 9), "add the axis of samples: x[None]"),
        ((2, 5), (3, 5), "repeat them along the first axis: x[:, None].repeat(3, axis=1)"),
        ((2, 4), (5,), "bring the samples into the shape that the model declares"),
    ],
)
def test_another_shape_is_refused_with_both_and_what_to_do(saved, shape, wanted, hint):
    error = refusal(saved(x=np.zeros(shape)), shape=wanted, labelled=False)

    assert error.problem == f"'x' holds samples of shape {shape[1:]}; the model reads {wanted}"
    assert error.hint == hint


def test_synthetic_samples_are_refused_without_a_file_to_name():
    with pytest.raises(InputDataError) as error:
        require_shape(synthetic_samples((3,), 2), (4,))

    assert error.value.node is None


@pytest.mark.parametrize("y", [np.zeros(2), np.array(["0", "1"]), np.eye(2)])
def test_labels_that_are_not_integers_are_refused(saved, y):
    problem = refusal(saved(x=np.zeros((2, 3)), y=y)).problem

    assert "integers are read" in problem or "real numbers are read" in problem


@pytest.mark.parametrize("y", [np.arange(3), np.array(1)])
def test_labels_of_another_number_are_refused(saved, y):
    assert refusal(saved(x=np.zeros((2, 3)), y=y)).problem == (
        f"labels 'y' have shape {y.shape}; 2 samples need 2 labels"
    )


def test_synthetic_samples_are_the_same_for_the_same_seed():
    first, second = synthetic_samples((2, 3), 5, 1), synthetic_samples((2, 3), 5, 1)
    other = synthetic_samples((2, 3), 5, 2)

    assert isinstance(first, Samples)
    assert first.x.shape == (5, 2, 3)
    assert first.x.dtype == np.float32
    assert ((first.x >= 0) & (first.x < 1)).all()
    np.testing.assert_array_equal(first.x, second.x)
    assert (first.x != other.x).any()


def test_outputs_are_written_under_the_very_name_given(tmp_path):
    path = tmp_path / "answers.out"

    save_arrays(path, {"y": np.arange(3.0)})

    with np.load(path) as arrays:
        assert arrays["y"].tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["answers.out"]


def test_outputs_that_cannot_be_written_leave_nothing(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OutputFolderError) as error:
        save_arrays(tmp_path / "file" / "y.npz", {"y": np.zeros(3)})

    assert error.value.problem == "cannot be written: Not a directory"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_outputs_replace_no_folder(tmp_path):
    (tmp_path / "y.npz").mkdir()

    with pytest.raises(OutputFolderError):
        save_arrays(tmp_path / "y.npz", {"y": np.zeros(3)})

    assert [file.name for file in tmp_path.iterdir()] == ["y.npz"]


@pytest.mark.parametrize("size", [1, 3, 4, 7, 100])
@pytest.mark.parametrize("order", ["C", "F"])
def test_parts_of_a_file_are_its_samples_in_their_order(saved, size, order):
    x = np.asarray(np.arange(42.0).reshape(7, 2, 3), order=order)
    y = np.arange(7, dtype=np.uint8)

    parts = list(stream_samples(saved(x=x, y=y), size, labelled=True))

    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    np.testing.assert_array_equal(np.concatenate([part.x for part in parts]), x)
    assert np.concatenate([part.y for part in parts]).tolist() == y.tolist()


def test_a_part_takes_no_more_memory_than_its_samples(tmp_path):
    path = tmp_path / "huge.npz"
    declared = header("<f4", (10**9, 1000)) + np.ones(5000, np.float32).tobytes()
    archive(path, x=declared)

    first = next(stream_samples(path, 5, labelled=False))

    assert first.x.shape == (5, 1000)
    assert describe_samples(path).shape == (10**9, 1000)


def test_parts_of_a_truncated_file_are_refused_where_it_ends(tmp_path):
    path = tmp_path / "short.npz"
    archive(path, x=header("<f4", (10, 3)) + np.ones(20, np.float32).tobytes())
    parts = stream_samples(path, 4, labelled=False)

    next(parts)

    with pytest.raises(InputDataError, match="'x' is truncated or damaged") as error:
        next(parts)
    assert error.value.node == str(path)


def test_a_damaged_byte_is_noticed_in_the_last_part_at_the_latest(tmp_path):
    path = tmp_path / "damaged.npz"
    np.savez(path, x=np.ones((10, 300), np.float32))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(InputDataError, match="'x' is truncated or damaged"):
        list(stream_samples(path, 4, labelled=False))


def test_a_sample_that_is_not_finite_is_numbered_within_its_file(saved):
    x = np.zeros((9, 2))
    x[7, 1] = np.nan

    with pytest.raises(InputDataError, match="the first in sample 7"):
        list(stream_samples(saved(x=x), 4, labelled=False))


def test_a_description_has_the_shape_and_whether_there_are_labels(saved):
    path = saved(x=np.zeros((6, 2)), y=np.arange(6))

    found = describe_samples(path)

    assert (len(found), found.shape, found.is_labelled) == (6, (6, 2), True)
    assert found.source == str(path)
    assert not describe_samples(saved(x=np.zeros((6, 2)))).is_labelled


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"x": np.zeros((0, 3))}, "no samples"),
        ({"x": np.zeros(())}, "no samples"),
        ({"x": np.zeros((3, 2)), "y": np.arange(2)}, "3 samples need 3 labels"),
        ({"y": np.zeros(3)}, "holds no array 'x'"),
        ({"x": np.array(["cat"])}, "real numbers are read"),
    ],
)
def test_a_description_of_what_holds_no_samples_is_refused(saved, arrays, problem):
    with pytest.raises(InputDataError, match=problem):
        describe_samples(saved(**arrays))


IMAGES = {"image": (2, 3), "numbers:0": (4,)}


@pytest.fixture
def several(saved):
    """Return a file of two inputs, and what their samples are as one array."""
    image, numbers = np.arange(30.0).reshape(5, 2, 3), -np.arange(20, dtype=np.int16)
    numbers = numbers.reshape(5, 4)
    path = saved(**{"image": image, "numbers:0": numbers, "y": np.arange(5)})
    return path, np.hstack([image.reshape(5, 6), numbers])


def test_samples_of_several_inputs_are_read_as_one_array(several):
    path, x = several

    samples = load_samples(path, (10,), IMAGES, labelled=True)
    pieces = list(stream_samples(path, 2, IMAGES, labelled=True))

    np.testing.assert_array_equal(samples.x, x)
    np.testing.assert_array_equal(np.concatenate([piece.x for piece in pieces]), x)
    assert describe_samples(path, IMAGES).shape == (5, 10)
    assert samples.y.tolist() == np.concatenate([piece.y for piece in pieces]).tolist()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"image": np.zeros((5, 3, 2))},
            "'image' has shape .5, 3, 2.; the model reads .5, 2, 3.",
        ),
        (
            {"image": np.zeros((6, 2, 3))},
            "'numbers:0' has shape .5, 4.; the model reads .6, 4.",
        ),
        ({"image": np.zeros(())}, r"'image' has shape \(\); the model reads .'samples', 2, 3."),
        ({"image": np.full((5, 2, 3), np.nan)}, "'image' has 30 of 30 values that are NaN"),
        ({"image": None}, "holds no array 'image'"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(saved, change, problem):
    arrays = {"image": np.zeros((5, 2, 3)), "numbers:0": np.zeros((5, 4)), **change}
    path = saved(**{name: array for name, array in arrays.items() if array is not None})

    with pytest.raises(InputDataError, match=problem) as error:
        load_samples(path, (10,), IMAGES, labelled=False)
    assert error.value.node == str(path)


def test_an_input_called_like_the_labels_is_no_label(saved):
    path = saved(a=np.zeros((2, 1)), y=np.ones((2, 3)))

    samples = load_samples(path, (4,), {"a": (1,), "y": (3,)}, labelled=None)

    assert samples.y is None
    assert samples.x.tolist() == [[0, 1, 1, 1]] * 2


def test_arrays_may_have_any_name(tmp_path):
    arrays = {name: np.arange(4.0) + i for i, name in enumerate(("file", "self", "a/b:0", "é"))}

    save_arrays(tmp_path / "y.npz", arrays)

    with np.load(tmp_path / "y.npz") as found:
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
