"""Images in class folders are decoded when they are asked for, in the order of their names."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from toolchain.errors import InputDataError, MissingDependencyError
from toolchain.training.datasets import load_dataset
from toolchain.training.image_files import find_images
from toolchain.training.recipe import DataTable


@pytest.fixture
def image():
    return pytest.importorskip("PIL.Image", reason="Pillow is optional")


def save(image, path, *, value=0, size=(8, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    fill = (value,) * 3 if mode == "RGB" else value
    image.new(mode, size, fill).save(path)


def test_rows_are_in_the_order_of_names_whatever_order_they_were_made_in(image, tmp_path):
    for value, name in enumerate(("b/2.png", "a/9.png", "b/10.png", "a/1.JPEG", "a/notes.txt")):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no image")
        else:
            save(image, tmp_path / name, value=value)

    files, labels, names = find_images(tmp_path, 4)

    assert files.shape == (4, 3, 4, 4)
    assert (labels.tolist(), names) == ([0, 0, 1, 1], ["a", "b"])
    assert files[np.array([3, 0, 1])][:, 0, 0, 0].tolist() == [0, 3, 1]


def test_the_middle_of_an_image_is_cut_out(image, tmp_path):
    x = np.zeros((16, 32, 3), np.uint8)
    x[:, 8:24] = [10, 20, 30]
    (tmp_path / "a").mkdir()
    image.fromarray(x).save(tmp_path / "a" / "wide.png")

    (found,) = find_images(tmp_path, 14)[0][np.array([0])]

    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.broadcast_to([[[10]], [[20]], [[30]]], (3, 14, 14)))


@pytest.mark.parametrize(("mode", "suffix"), [("L", "png"), ("P", "png"), ("CMYK", "jpeg")])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (400, 300)])
def test_images_of_every_mode_and_size_are_brought_to_three_channels(
    image, mode, suffix, size, tmp_path
):
    save(image, tmp_path / "a" / f"x.{suffix}", mode="L", value=100, size=size)
    with image.open(tmp_path / "a" / f"x.{suffix}") as held:
        held.convert(mode).save(tmp_path / "a" / f"x.{suffix}")

    assert find_images(tmp_path, 7)[0][np.array([0])].shape == (1, 3, 7, 7)


def test_labels_of_the_test_set_are_those_of_the_training_set(image, tmp_path):
    for name in ("train/ant", "train/bee", "train/cat", "test/cat", "test/ant"):
        save(image, tmp_path / name / "0.png")

    data = load_dataset(
        DataTable(
            source="images", path=str(tmp_path / "train"), test=str(tmp_path / "test"), size=4
        )
    )

    assert data.test_y.tolist() == [0, 2]
    assert (data.classes, data.sample_shape, data.input_scale) == (3, (3, 4, 4), 1 / 255)
    save(image, tmp_path / "test" / "dog" / "0.png")
    with pytest.raises(InputDataError, match="class that the training set does not") as error:
        find_images(tmp_path / "test", 4, ["ant", "bee", "cat"])
    assert error.value.node == str(tmp_path / "test" / "dog")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 damaged", b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_image_is_named(image, content, tmp_path):
    path = tmp_path / "a" / "broken.jpg"
    path.parent.mkdir()
    path.write_bytes(content)
    files, _, _ = find_images(tmp_path, 4)

    with pytest.raises(InputDataError, match="is no image that can be read") as error:
        files[np.array([0])]

    assert error.value.node == str(path)


def test_a_folder_without_classes_or_images_is_named(tmp_path):
    with pytest.raises(InputDataError, match="a folder with images for each class is read"):
        find_images(tmp_path, 4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputDataError, match="holds no images") as error:
        find_images(tmp_path, 4)

    assert error.value.node == str(tmp_path / "empty")


def test_without_pillow_it_is_said_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)

    with pytest.raises(MissingDependencyError) as error:
        find_images(tmp_path, 4)

    assert error.value.hint == "install it with: pip install 'snn-compile[images]'"
