"""A data set is all samples of all its files once, whatever their sizes, or a named refusal."""

import numpy as np
import pytest

from toolchain.errors import InputDataError
from toolchain.evaluation.shards import PIECE_SAMPLES, find_shards


def refusal(path):
    """Return the error of looking for samples of four numbers."""
    with pytest.raises(InputDataError) as error:
        find_shards(path, (4,))
    return error.value


def test_pieces_are_all_samples_once_and_in_order(data_set):
    shards = find_shards(data_set.folder, (4,))

    pieces = list(shards.pieces())

    assert len(shards) == len(data_set.x)
    assert max(len(piece.samples) for piece in pieces) <= PIECE_SAMPLES
    np.testing.assert_array_equal(
        np.concatenate([piece.samples.x for piece in pieces]), data_set.x
    )
    np.testing.assert_array_equal(
        np.concatenate([piece.samples.y for piece in pieces]), data_set.y
    )


def test_a_piece_knows_where_it_is_from(data_set):
    for piece in find_shards(data_set.folder, (4,)).pieces():
        with np.load(piece.file.path) as held:
            stop = piece.start + len(piece.samples)
            np.testing.assert_array_equal(piece.samples.x, held["x"][piece.start : stop])


def test_one_file_is_a_data_set_of_its_own(data_set):
    shards = find_shards(data_set.folder / "x_1.npz", (4,))

    assert len(shards) == 3
    assert [piece.start for piece in shards.pieces()] == [0]


def test_a_folder_without_npz_files_is_refused(tmp_path):
    (tmp_path / ".x_0.npz.partial").touch()
    (tmp_path / "notes.txt").touch()

    error = refusal(tmp_path)

    assert (error.problem, error.node) == ("the folder holds no npz files", str(tmp_path))


def test_a_shard_of_another_shape_is_named_before_anything_is_read(data_set):
    odd = data_set.folder / "x_2.npz"
    np.savez(odd, x=np.zeros((5, 3)), y=np.zeros(5, int))

    error = refusal(data_set.folder)

    assert error.node == str(odd)
    assert error.problem == "'x' holds samples of shape (3,); the model reads (4,)"


def test_a_damaged_shard_is_named(data_set):
    damaged = data_set.folder / "x_3.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])

    assert refusal(data_set.folder).node == str(damaged)


@pytest.mark.parametrize("unlabelled", [0, 2])
def test_shards_with_and_without_labels_are_refused_together(data_set, unlabelled):
    path = data_set.folder / f"x_{unlabelled}.npz"
    np.savez(path, x=np.zeros((5, 4)))

    error = refusal(data_set.folder)

    assert error.node == str(path)
    assert error.problem.startswith("holds no labels 'y'; 'x_")
