"""Data sets from files that the user has: nothing is downloaded, and nothing is unpickled.

Images stay bytes, 0 to 255, channels first. A network reads them as they are and divides by
255 itself, so that what is deployed reads pixels. Those of ``images`` and ``shards`` stay in
their files, too, and are read a batch at a time.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.data import load_samples
from toolchain.errors import InputDataError
from toolchain.training.events import load_cifar10_dvs
from toolchain.training.image_files import find_images
from toolchain.training.recipe import DataTable
from toolchain.training.shard_files import find_shards

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]

_BYTE_TYPE = 8
_RECORD = 3 * 32 * 32
_FOLDERS = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples and labels.

    Attributes:
        train_x: ``(samples, *shape)``, or ``(samples, windows, *shape)``: an array, or
            `samples.Streamed`.
        train_y: Labels from 0.
        test_x: As ``train_x``.
        test_y: Labels.
        has_window_axis: Whether samples have a window axis.
        input_scale: Factor that brings samples to about 1.
    """

    train_x: Any
    train_y: Labels
    test_x: Any
    test_y: Labels
    has_window_axis: bool = False
    input_scale: float = 1.0

    @property
    def classes(self) -> int:
        """Number of classes: one more than the largest label."""
        return int(max(self.train_y.max(), self.test_y.max())) + 1

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample without its window axis."""
        return tuple(self.train_x.shape[2 if self.has_window_axis else 1 :])


def load_dataset(table: DataTable) -> Dataset:
    """Read the data set that a recipe names.

    Raises:
        InputDataError: A file is missing or is not what it should be; it is named.
        MissingDependencyError: A package that decodes its files is not installed.
    """
    path = Path(table.path)
    if table.source == "npz":
        return _npz(path, Path(table.test), has_window_axis=table.window_axis)
    _require_folder(path, "path")
    if table.source in ("images", "shards"):
        _require_folder(Path(table.test), "test")
        return _streamed(path, Path(table.test), table)
    if table.source in ("mnist", "fashion-mnist"):
        return Dataset(*_idx(path, "train"), *_idx(path, "t10k"), input_scale=1 / 255)
    if table.source == "cifar10-dvs":
        parts = load_cifar10_dvs(path, table.frames)
        return Dataset(*parts, has_window_axis=True)
    return _cifar(path, table.source)


def _require_folder(path: Path, key: str) -> None:
    if not path.is_dir():
        raise InputDataError(
            "there is no such folder",
            node=str(path),
            hint=f"name it in data.{key} of the recipe",
        )


def _streamed(train: Path, test: Path, table: DataTable) -> Dataset:
    if table.source == "images":
        train_x, train_y, names = find_images(train, table.size)
        test_x, test_y, _ = find_images(test, table.size, names)
        return Dataset(train_x, train_y, test_x, test_y, input_scale=1 / 255)
    parts = (*find_shards(train), *find_shards(test))
    return _matching(parts, train, test, has_window_axis=table.window_axis)


def _npz(train: Path, test: Path, *, has_window_axis: bool) -> Dataset:
    parts: list[Any] = []
    for path in (train, test):
        samples = load_samples(path, None, labelled=True)
        y = samples.y if samples.y is not None else np.zeros(0, np.int64)
        if y.ndim != 1 or y.min() < 0:
            raise InputDataError(
                "labels 'y' must be one number from 0 for each sample", node=str(path)
            )
        parts += [samples.x, y]
    return _matching(parts, train, test, has_window_axis=has_window_axis)


def _matching(parts: Any, train: Path, test: Path, *, has_window_axis: bool) -> Dataset:
    """Return the data set of samples and labels, if those to train and to test on fit."""
    train_x, train_y, test_x, test_y = parts
    _require_axes(train_x, train, has_window_axis)
    _require_axes(test_x, test, has_window_axis)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise InputDataError(
            f"holds samples of shape {test_x.shape[1:]}; those to train on have "
            f"{train_x.shape[1:]}",
            node=str(test),
        )
    scale = 1 / 255 if train_x.dtype == np.uint8 else 1.0
    return Dataset(
        train_x,
        train_y,
        test_x,
        test_y,
        has_window_axis=has_window_axis,
        input_scale=scale,
    )


def _require_axes(x: Any, path: Path, has_window_axis: bool) -> None:
    if len(x.shape) < (3 if has_window_axis else 2):
        raise InputDataError(
            f"'x' has shape {x.shape}; samples have an axis of their own"
            + (", and one for the windows before it" if has_window_axis else ""),
            node=str(path),
        )


def _idx(folder: Path, part: str) -> tuple[Array, Labels]:
    """Return images ``(N, 1, H, W)`` and labels of one part of an MNIST-like folder."""
    images = _idx_array(_existing(folder, f"{part}-images-idx3-ubyte"), axes=3)
    labels = _idx_array(_existing(folder, f"{part}-labels-idx1-ubyte"), axes=1)
    if len(images) != len(labels):
        raise InputDataError(
            f"has {len(images)} images and {len(labels)} labels in part {part!r}",
            node=str(folder),
        )
    return images[:, None], labels.astype(np.int64)


def _existing(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise InputDataError(f"holds neither {name} nor {name}.gz", node=str(folder))


def _idx_array(path: Path, *, axes: int) -> npt.NDArray[np.uint8]:
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise InputDataError("is a damaged gzip file", node=str(path)) from None
    start = 4 + 4 * axes
    if len(content) < start or content[:4] != bytes([0, 0, _BYTE_TYPE, axes]):
        raise InputDataError(f"is not an idx file of bytes with {axes} axes", node=str(path))
    shape = np.frombuffer(content, ">u4", count=axes, offset=4).tolist()
    if len(content) - start != int(np.prod(shape)) or not shape[0]:
        raise InputDataError(
            f"declares {shape} bytes and holds {len(content) - start}", node=str(path)
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _cifar(folder: Path, source: str) -> Dataset:
    inner = folder / _FOLDERS[source]
    folder = inner if inner.is_dir() else folder
    labels = 1 if source == "cifar10" else 2
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if labels == 1 else ["train.bin"]
    test = "test_batch.bin" if labels == 1 else "test.bin"
    train = [_cifar_records(folder / name, labels) for name in names]
    train_x, train_y = (np.concatenate(part) for part in zip(*train, strict=True))
    return Dataset(
        train_x, train_y, *_cifar_records(folder / test, labels), input_scale=1 / 255
    )


def _cifar_records(path: Path, labels: int) -> tuple[Array, Labels]:
    if not path.is_file():
        raise InputDataError(
            "there is no such file",
            node=str(path),
            hint="get the 'binary version' of the data set; the one for Python is pickled",
        )
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if not content.size or content.size % (_RECORD + labels):
        raise InputDataError(
            f"has {content.size} bytes, which are no whole records of {_RECORD + labels}",
            node=str(path),
        )
    records = content.reshape(-1, _RECORD + labels)
    images = records[:, labels:].reshape(-1, 3, 32, 32)
    return images, records[:, labels - 1].astype(np.int64)
