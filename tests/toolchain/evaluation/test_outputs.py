"""Outputs are written as the data set was given, complete and in the order of the samples."""

import numpy as np
import pytest

from toolchain.errors import OutputFolderError
from toolchain.evaluation.outputs import Outputs, require_place
from toolchain.evaluation.piece_result import PieceResult, Tally
from toolchain.evaluation.shards import find_shards


def kept(data, target, order):
    """Keep twice the samples as outputs, in an order of the pieces."""
    outputs = Outputs(data, target)
    pieces = list(find_shards(data, (4,)).pieces())
    for piece in sorted(pieces, key=lambda piece: order * piece.start):
        tally = Tally(samples=len(piece.samples), answers=0, right=0)
        outputs.keep(piece, PieceResult(2 * piece.samples.x, tally))


def read(path):
    with np.load(path) as held:
        return held["y"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_folder_of_shards_gives_a_folder_of_outputs(data_set, tmp_path, order):
    target = tmp_path / "new" / "outputs"

    kept(data_set.folder, target, order)

    files = sorted(target.iterdir())
    assert [path.name for path in files] == [f"x_{number}.npz" for number in range(4)]
    np.testing.assert_array_equal(np.concatenate([*map(read, files)]), 2 * data_set.x)


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_gives_a_file(data_set, tmp_path, order):
    kept(data_set.folder / "x_0.npz", tmp_path / "y.npz", order)

    np.testing.assert_array_equal(read(tmp_path / "y.npz"), 2 * data_set.x[:700])


def test_the_folder_of_the_samples_is_left_alone(data_set):
    with pytest.raises(OutputFolderError) as error:
        Outputs(data_set.folder, data_set.folder)

    assert error.value.problem.startswith("is not empty")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("x_0.npz", "would be among the samples that are read"),
        ("../shards/x_0.npz", "would be among the samples that are read"),
        ("no/y.npz", "cannot be written: there is no such folder"),
        (".", "cannot be written: it is a folder"),
        ("/dev/null", "cannot be written: it is no file"),
        ("y" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_run(data_set, target, problem):
    folder = data_set.folder.rename(data_set.folder.with_name("shards"))

    with pytest.raises(OutputFolderError) as error:
        Outputs(folder / "x_0.npz", folder / target)

    assert error.value.problem == problem


def test_no_file_goes_among_shards(data_set):
    with pytest.raises(OutputFolderError, match="among the samples"):
        require_place(data_set.folder / "t.npz", data_set.folder)

    assert require_place(data_set.folder.parent / "t.npz", data_set.folder) is None


def test_a_place_that_cannot_be_a_folder_is_refused(data_set, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OutputFolderError, match="cannot be made"):
        Outputs(data_set.folder, tmp_path / "file" / "outputs")
