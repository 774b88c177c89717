"""Event recordings as frames: CIFAR10-DVS from its own files.

The data set is ten folders, one a class, with 1000 recordings in AEDAT 2.0 each: lines of text
that begin with ``#``, then pairs of big-endian 32-bit words, address and time. The sensor lay
on its side: an address has 127 less the row in bits 1 to 7 and 127 less the column in bits 8 to
14. Bit 0 is 0 where it became brighter, polarity 1; words with bit 31 set are no events. Frames
are equal numbers of consecutive events, counted per polarity and pixel and brought from 128 x
128 to 48 x 48.

The files do not say which recordings are for testing; the last tenth of each class is, the
split that most work on this data set takes.

Source: recipe of LM-HT (Hao et al., NeurIPS 2024), appendix A.3: 48 x 48, 10 frames. What the
bits mean is as in the readers of SpikingJelly and of jackd/events-tfds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.errors import InputDataError

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]

_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_SENSOR, _SIZE = 128, 48
_NOT_AN_EVENT = np.uint32(1 << 31)


def load_cifar10_dvs(folder: Path, frames: int) -> tuple[Array, Labels, Array, Labels]:
    """Return training samples ``(N, frames, 2, 48, 48)``, labels, and those to test.

    Args:
        folder: With a folder for each class.
        frames: Windows of a sample, >= 1.

    Raises:
        InputDataError: A folder is missing or empty, or a file is no such recording.
    """
    samples: tuple[list[Array], list[Array]] = ([], [])
    labels: tuple[list[int], list[int]] = ([], [])
    for label, name in enumerate(_CLASSES):
        files = sorted((folder / name).glob("*.aedat"), key=_number)
        if len(files) < 2:
            raise InputDataError(
                f"holds {len(files)} recordings (*.aedat); 2 or more are needed",
                node=str(folder / name),
            )
        tested = max(1, len(files) // 10)
        for i, path in enumerate(files):
            part = int(i >= len(files) - tested)
            samples[part].append(frames_of(*read_aedat(path), frames))
            labels[part].append(label)
    (train_x, test_x), (train_y, test_y) = map(np.stack, samples), map(np.asarray, labels)
    return train_x, train_y, test_x, test_y


def read_aedat(path: Path) -> tuple[Array, Array, Array]:
    """Return x, y (0 to 127, y downwards) and polarity (0, 1) of the events in their order.

    Pictures are upright.

    Raises:
        InputDataError: The file holds no events, or is cut off.
    """
    content = path.read_bytes()
    start = 0
    while content[start : start + 1] == b"#":
        end = content.find(b"\n", start)
        start = len(content) if end < 0 else end + 1
    if (len(content) - start) % 8 or len(content) == start:
        raise InputDataError(
            f"has {len(content) - start} bytes behind its header; events have 8 each",
            node=str(path),
        )
    address = np.frombuffer(content, ">u4", offset=start)[::2].astype(np.uint32)
    address = address[(address & _NOT_AN_EVENT) == 0]
    x = (_SENSOR - 1) - ((address >> 8) & 0x7F)
    y = (_SENSOR - 1) - ((address >> 1) & 0x7F)
    return x.astype(np.int64), y.astype(np.int64), 1 - (address & 1).astype(np.int64)


def frames_of(x: Array, y: Array, polarity: Array, frames: int) -> npt.NDArray[np.uint8]:
    """Return ``(frames, 2, 48, 48)`` counts of events, 255 at most.

    Args:
        x: Column of each event, 0 to 127.
        y: Row of each event, 0 to 127.
        polarity: 0 or 1.
        frames: Parts of equal numbers of events.
    """
    frame = np.arange(len(x)) * frames // max(len(x), 1)
    shape = (frames, 2, _SIZE, _SIZE)
    place = (frame, polarity, y * _SIZE // _SENSOR, x * _SIZE // _SENSOR)
    flat = np.ravel_multi_index(place, shape)
    counts = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
    return np.minimum(counts, 255).astype(np.uint8)


def _number(path: Path) -> tuple[int, str]:
    """Return the number at the end of a file's name, so that 10 comes after 9."""
    digits = path.stem.rpartition("_")[2]
    return (int(digits) if digits.isdecimal() else -1, path.name)
