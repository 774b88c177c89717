"""Samples in shards are read row by row, and a file that cannot be read so is named."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from toolchain.errors import InputDataError
from toolchain.training.datasets import load_dataset
from toolchain.training.recipe import DataTable
from toolchain.training.shard_files import find_shards


def shards(folder, sizes=(3, 5, 2), *, save=np.savez, dtype=np.uint8):
    """Write shards and return all samples and labels."""
    folder.mkdir(exist_ok=True)
    x = np.random.default_rng(0).integers(0, 256, (sum(sizes), 2, 4, 4)).astype(dtype)
    y = np.arange(sum(sizes)) % 3
    start = 0
    for i, size in enumerate(sizes):
        save(folder / f"part_{i}.npz", x=x[start : start + size], y=y[start : start + size])
        start += size
    return x, y


def test_rows_of_all_files_are_read_in_any_order(tmp_path):
    x, y = shards(tmp_path)

    found, labels = find_shards(tmp_path)

    assert (found.shape, found.dtype, len(found)) == ((10, 2, 4, 4), np.uint8, 10)
    np.testing.assert_array_equal(labels, y)
    for rows in ([9, 0, 3, 3, 7], [5], np.arange(10)):
        np.testing.assert_array_equal(found[np.asarray(rows)], x[rows])


def test_samples_stay_in_their_files(tmp_path):
    shards(tmp_path)

    found, _ = find_shards(tmp_path)

    assert all(isinstance(part, np.memmap) for part in found.parts)


def test_columns_first_are_read_too(tmp_path):
    x = np.asfortranarray(np.random.default_rng(0).normal(size=(6, 3)))
    np.savez(tmp_path / "a.npz", x=x, y=np.zeros(6, int))

    np.testing.assert_array_equal(find_shards(tmp_path)[0][np.array([4, 1])], x[[4, 1]])


def test_a_recipe_names_two_folders(tmp_path):
    shards(tmp_path / "train")
    x, y = shards(tmp_path / "test", (4,))

    data = load_dataset(
        DataTable(source="shards", path=str(tmp_path / "train"), test=str(tmp_path / "test"))
    )

    assert (data.sample_shape, data.classes, data.input_scale) == ((2, 4, 4), 3, 1 / 255)
    np.testing.assert_array_equal(data.test_x[np.arange(4)], x)
    np.testing.assert_array_equal(data.test_y, y)


def test_a_compressed_file_is_named_with_the_way_out(tmp_path):
    shards(tmp_path, save=np.savez_compressed)

    with pytest.raises(InputDataError, match="is compressed") as error:
        find_shards(tmp_path)

    assert error.value.node == str(tmp_path / "part_0.npz")
    assert error.value.hint == "save it with numpy.savez, which does not compress"


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"x": np.zeros((2, 3, 4, 4), np.uint8), "y": [0, 1]}, r"shape \(3, 4, 4\)"),
        ({"x": np.zeros((2, 2, 4, 4)), "y": [0, 1]}, "type float64"),
        ({"x": np.zeros((2, 2, 4, 4), np.uint8)}, "holds no array 'y'"),
        ({"x": np.zeros((2, 2, 4, 4), np.uint8), "y": [0.5, 1]}, "one whole number from 0"),
        ({"x": np.zeros((2, 2, 4, 4), np.uint8), "y": [-1, 1]}, "one whole number from 0"),
        ({"y": [0, 1]}, "holds no array 'x'"),
    ],
)
def test_a_file_that_does_not_fit_is_named(arrays, problem, tmp_path):
    shards(tmp_path)
    np.savez(tmp_path / "part_9.npz", **arrays)

    with pytest.raises(InputDataError, match=problem) as error:
        find_shards(tmp_path)

    assert error.value.node == str(tmp_path / "part_9.npz")


def test_a_file_that_ends_too_early_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((100, 8)), y=np.zeros(100, int))
    path = tmp_path / "b.npz"
    with zipfile.ZipFile(path, "w") as archive, zipfile.ZipFile(tmp_path / "a.npz") as whole:
        archive.writestr("y.npy", whole.read("y.npy"))
        archive.writestr("x.npy", whole.read("x.npy")[:-3000])

    with pytest.raises(InputDataError, match="truncated") as error:
        find_shards(tmp_path)

    assert error.value.node == str(path)


def test_a_folder_without_files_is_named(tmp_path):
    with pytest.raises(InputDataError, match="holds no npz files") as error:
        find_shards(tmp_path)

    assert error.value.node == str(tmp_path)


def test_a_value_that_is_no_number_is_found_when_it_is_read(tmp_path):
    x = np.zeros((4, 3))
    x[2, 1] = np.nan
    np.savez(tmp_path / "a.npz", x=x, y=np.zeros(4, int))
    found, _ = find_shards(tmp_path)

    assert not found[np.array([0, 1, 3])].any()
    with pytest.raises(InputDataError, match="sample 2 of all has values that are NaN"):
        found[np.array([0, 2])]
