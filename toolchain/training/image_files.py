"""Images in a folder for each class, decoded when they are asked for.

An image is brought to RGB, its shorter side to 8/7 of the size asked for, and its middle is cut
out: 256 and 224 pixels, as is usual for ImageNet. Decoding is Pillow's, which is an optional
package.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.errors import InputDataError, MissingDependencyError

Array: TypeAlias = npt.NDArray[Any]
Labels: TypeAlias = npt.NDArray[np.int64]

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")
"""Of the files that are read, in any case."""

_NUMERATOR, _DENOMINATOR = 8, 7
_READERS = 8


class ImageFiles:
    """Images as rows of bytes, ``(images, 3, size, size)``.

    Attributes:
        paths: Of the images, in the order of the rows.
        size: Height and width that they are brought to.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: list[str], size: int) -> None:
        self.paths, self.size = paths, size
        self._image = _pillow()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all rows together."""
        return (len(self.paths), 3, self.size, self.size)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.paths)

    def __getitem__(self, rows: Array) -> Array:
        """Decode the images with these numbers.

        Raises:
            InputDataError: One cannot be read; it is named.
        """
        with ThreadPoolExecutor(_READERS) as readers:
            return np.stack(list(readers.map(self._decoded, [self.paths[row] for row in rows])))

    def _decoded(self, path: str) -> Array:
        image = self._image
        wanted = self.size * _NUMERATOR // _DENOMINATOR
        try:
            with image.open(path) as file:
                file.draft("RGB", (wanted, wanted))  # JPEG: decode no more than is needed
                found = file.convert("RGB")
        except (OSError, ValueError, SyntaxError, image.DecompressionBombError):
            raise InputDataError("is no image that can be read", node=path) from None
        share = wanted / min(found.size)
        width, height = (max(round(length * share), self.size) for length in found.size)
        left, top = (width - self.size) // 2, (height - self.size) // 2
        resized = found.resize((width, height), image.Resampling.BILINEAR)
        middle = resized.crop((left, top, left + self.size, top + self.size))
        return np.asarray(middle).transpose(2, 0, 1)


def find_images(
    folder: Path, size: int, names: list[str] | None = None
) -> tuple[ImageFiles, Labels, list[str]]:
    """Return the images of a folder of class folders, their labels, and the classes' names.

    Classes are numbered in the order of their names, and so are the images of a class, whatever
    the order in which the file system lists them.

    Args:
        folder: With a folder for each class.
        size: Height and width that images are brought to.
        names: Classes there must be, of the training set; `None` takes those there are.

    Raises:
        InputDataError: There is no class, one has no image, or one is not among ``names``.
        MissingDependencyError: Pillow is not installed.
    """
    found = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[:1] != ".")
    if not found:
        raise InputDataError(
            "holds no folders; a folder with images for each class is read", node=str(folder)
        )
    names = found if names is None else names
    paths: list[str] = []
    labels: list[int] = []
    for name in found:
        if name not in names:
            raise InputDataError(
                f"is a class that the training set does not have; it has {len(names)}",
                node=str(folder / name),
            )
        inside = sorted(
            str(path)
            for path in (folder / name).iterdir()
            if path.suffix.lower() in SUFFIXES and path.name[:1] != "."
        )
        if not inside:
            raise InputDataError(
                f"holds no images ({', '.join(SUFFIXES)})", node=str(folder / name)
            )
        paths += inside
        labels += [names.index(name)] * len(inside)
    return ImageFiles(paths, size), np.array(labels, np.int64), names


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError(
            "reading images needs Pillow, which is not installed",
            hint="install it with: pip install 'snn-compile[images]'",
        ) from error
    return Image
