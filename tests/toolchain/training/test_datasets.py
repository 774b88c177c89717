"""Data sets are read from the files of a user, and damaged ones are named."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from toolchain.errors import InputDataError
from toolchain.training.datasets import load_dataset
from toolchain.training.events import frames_of, load_cifar10_dvs, read_aedat
from toolchain.training.recipe import DataTable


def idx(array):
    """Return an array of bytes as an idx file has it."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def mnist(folder, *, packed=True):
    for part, count in (("train", 6), ("t10k", 4)):
        for kind, array in (
            ("images-idx3", pixels(count, 5, 5)),
            ("labels-idx1", np.arange(count) % 3),
        ):
            path = folder / f"{part}-{kind}-ubyte"
            if packed:
                path.with_name(f"{path.name}.gz").write_bytes(
                    gzip.compress(idx(array), mtime=0)
                )
            else:
                path.write_bytes(idx(array))
    return DataTable(source="fashion-mnist", path=str(folder), validation=1)


@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_idx_files_are_read_packed_or_not(tmp_path, packed):
    data = load_dataset(mnist(tmp_path, packed=packed))

    assert (data.sample_shape, data.classes, data.has_window_axis) == ((1, 5, 5), 3, False)
    np.testing.assert_array_equal(data.train_x[:, 0], pixels(6, 5, 5))
    np.testing.assert_array_equal(data.test_y, [0, 1, 2, 0])
    assert data.input_scale == 1 / 255


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x1f\x8bnonsense", "is a damaged gzip file"),
        (gzip.compress(b"nonsense", mtime=0), "is not an idx file of bytes with 3 axes"),
        (
            gzip.compress(idx(pixels(2, 3, 3))[:-1], mtime=0),
            "declares [2, 3, 3] bytes and holds 17",
        ),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path, content, problem):
    table = mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)

    with pytest.raises(InputDataError) as error:
        load_dataset(table)

    assert (error.value.problem, error.value.node) == (problem, str(path))


def test_images_without_labels_are_refused(tmp_path):
    table = mnist(tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(3))))

    with pytest.raises(InputDataError, match="has 4 images and 3 labels in part 't10k'"):
        load_dataset(table)


def test_a_missing_file_is_named(tmp_path):
    table = mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()

    with pytest.raises(InputDataError, match="holds neither t10k-labels-idx1-ubyte nor"):
        load_dataset(table)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputDataError, match="there is no such folder"):
        load_dataset(DataTable(source="mnist", path=str(tmp_path / "none")))


def npz(path, x, y):
    np.savez(path, x=x, y=y)
    return str(path)


def test_npz_files_hold_samples_with_or_without_windows(tmp_path):
    train = npz(tmp_path / "a.npz", np.zeros((4, 3, 2, 5, 5), np.float32), np.arange(4))
    test = npz(tmp_path / "b.npz", np.zeros((2, 3, 2, 5, 5), np.float32), [0, 5])

    framed = load_dataset(DataTable(source="npz", path=train, test=test, window_axis=True))
    static = load_dataset(DataTable(source="npz", path=train, test=test))

    assert (framed.sample_shape, framed.has_window_axis) == ((2, 5, 5), True)
    assert (static.sample_shape, static.has_window_axis) == ((3, 2, 5, 5), False)
    assert (framed.classes, framed.input_scale) == (6, 1.0)


@pytest.mark.parametrize(
    ("x", "y", "problem"),
    [
        (np.zeros((2, 4)), [0, 1], "samples of shape (4,)"),
        (np.zeros((2, 3)), [0, -1], "one number from 0"),
        (np.zeros((2, 3)), [[0], [1]], "one number from 0"),
        (np.zeros(2), [0, 1], "samples have an axis of their own"),
    ],
)
def test_npz_files_that_do_not_fit_are_refused(tmp_path, x, y, problem):
    train = npz(tmp_path / "a.npz", np.zeros((4, 3)), np.arange(4))
    test = npz(tmp_path / "b.npz", x, y)

    with pytest.raises(InputDataError) as error:
        load_dataset(DataTable(source="npz", path=train, test=test))

    assert problem in error.value.problem
    assert error.value.node == test


@pytest.mark.parametrize(
    ("source", "names", "labels"),
    [
        ("cifar10", [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"], 1),
        ("cifar100", ["train.bin", "test.bin"], 2),
    ],
)
def test_cifar_is_read_in_its_binary_version(tmp_path, source, names, labels):
    for name in names:
        records = pixels(2, labels + 3072)
        records[:, :labels] = [[9, 7][-labels:], [9, 3][-labels:]]
        (tmp_path / name).write_bytes(records.tobytes())

    data = load_dataset(DataTable(source=source, path=str(tmp_path)))

    assert data.train_x.shape == (2 * (len(names) - 1), 3, 32, 32)
    np.testing.assert_array_equal(data.test_y, [7, 3])
    np.testing.assert_array_equal(data.test_x[0].ravel(), pixels(2, labels + 3072)[0, labels:])


def test_pickled_cifar_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02")

    with pytest.raises(InputDataError) as error:
        load_dataset(DataTable(source="cifar10", path=str(tmp_path)))

    assert error.value.hint is not None
    assert "binary version" in error.value.hint


def test_a_cut_off_cifar_file_is_named(tmp_path):
    (tmp_path / "train.bin").write_bytes(bytes(100))

    with pytest.raises(InputDataError, match="no whole records of 3074"):
        load_dataset(DataTable(source="cifar100", path=str(tmp_path)))


def aedat(events, header=b"#!AER-DAT2.0\r\n# a comment\r\n"):
    """Return events ``(x, y, polarity)`` as a recording, where pictures lie on their side."""
    words = [
        ((127 - x) << 8 | (127 - y) << 1 | (1 - p), 10 * i)
        for i, (x, y, p) in enumerate(events)
    ]
    return header + np.array(words, ">u4").tobytes()


def test_a_recording_holds_its_events_in_order(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(aedat([(0, 0, 1), (127, 3, 0), (5, 127, 1)]))

    x, y, polarity = read_aedat(path)

    np.testing.assert_array_equal([x, y, polarity], [[0, 127, 5], [0, 3, 127], [1, 0, 1]])


def test_the_bits_of_an_address_are_row_column_and_polarity(tmp_path):
    path = tmp_path / "a.aedat"
    address = (127 - 5) << 8 | (127 - 100) << 1 | 0
    path.write_bytes(b"#!AER-DAT2.0\r\n" + np.array([address, 77], ">u4").tobytes())

    assert [array.tolist() for array in read_aedat(path)] == [[5], [100], [1]]


def test_words_that_are_no_events_are_left_out(tmp_path):
    path = tmp_path / "a.aedat"
    word = np.array([1 << 31, 0], ">u4").tobytes()
    path.write_bytes(aedat([(1, 2, 1)]) + word)

    assert read_aedat(path)[0].tolist() == [1]


@pytest.mark.parametrize(
    "content", [b"", b"# only text\n", b"# no end", aedat([(1, 1, 1)])[:-1]]
)
def test_a_recording_without_whole_events_is_named(tmp_path, content):
    path = tmp_path / "a.aedat"
    path.write_bytes(content)

    with pytest.raises(InputDataError, match="events have 8 each") as error:
        read_aedat(path)

    assert error.value.node == str(path)


def test_frames_hold_equal_numbers_of_events():
    x = np.array([0, 0, 127, 64])
    y = np.array([0, 1, 127, 0])
    polarity = np.array([0, 0, 1, 1])

    frames = frames_of(x, y, polarity, 2)

    assert frames.shape == (2, 2, 48, 48)
    assert frames[0, 0, 0, 0] == 2
    assert frames[1, 1, 47, 47] == 1
    assert frames[1, 1, 0, 24] == 1
    np.testing.assert_array_equal(frames.sum(axis=(1, 2, 3)), [2, 2])


def test_many_events_of_a_pixel_stay_a_byte():
    zeros = np.zeros(1000, np.int64)

    assert frames_of(zeros, zeros, zeros, 1).max() == 255


def test_cifar10_dvs_tests_on_the_last_tenth_of_each_class(tmp_path):
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
             "truck")  # fmt: skip
    for name in names:
        (tmp_path / name).mkdir()
        for i in range(12):
            file = tmp_path / name / f"cifar10_{name}_{i}.aedat"
            file.write_bytes(aedat([(i, i, 1)] * 6))

    train_x, train_y, test_x, test_y = load_cifar10_dvs(tmp_path, 3)

    assert (train_x.shape, test_x.shape) == ((110, 3, 2, 48, 48), (10, 3, 2, 48, 48))
    np.testing.assert_array_equal(test_y, np.arange(10))
    np.testing.assert_array_equal(np.bincount(train_y), np.full(10, 11))
    assert test_x[0, 0, 1, 11 * 48 // 128, 11 * 48 // 128] == 2
    loaded = load_dataset(DataTable(source="cifar10-dvs", path=str(tmp_path), frames=3))
    assert (loaded.has_window_axis, loaded.sample_shape) == (True, (2, 48, 48))


def test_a_class_without_recordings_is_named(tmp_path):
    with pytest.raises(InputDataError, match="holds 0 recordings") as error:
        load_cifar10_dvs(tmp_path, 3)

    assert error.value.node == str(tmp_path / "airplane")
