"""The model's own values where segments begin, as samples that thresholds are set on."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from toolchain.ir.node import Shape
from toolchain.npz_file import write_arrays
from toolchain.partial.chain import Chain, pieces_of

LARGEST_BYTES = 2**30
"""Memory that the samples of one value may take."""

_NPY: Any = np.lib.format  # numpy types none of its functions


def save_boundaries(
    chain: Chain,
    x: npt.NDArray[Any],
    shapes: Mapping[str, Shape],
    files: Mapping[Path, Sequence[str]],
    done: Callable[[int], None],
) -> dict[Path, int]:
    """Write npz files of samples that segments read where the model is given samples ``x``.

    Args:
        chain: The model's segments, all on the host.
        x: Samples of the model, ``(samples, ...)``.
        shapes: Of one sample of each value.
        files: Values that each file holds: one as ``x``, several by their names.
        done: Told how many samples are done.

    Returns:
        How many samples each file has: as many of the first ones as `LARGEST_BYTES` hold.
    """
    wanted = list(dict.fromkeys(name for names in files.values() for name in names))
    counts = {
        path: min(len(x), max(1, LARGEST_BYTES // _sample_bytes(shapes, names)))
        for path, names in files.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        streams: dict[str, Path] = {n: Path(folder) / f"{i}.npy" for i, n in enumerate(wanted)}
        for piece in pieces_of(x, [shapes[name] for name in wanted]):
            for name, values in chain.values(x[piece], wanted).items():
                with streams[name].open("ab") as stream:
                    if not piece.start:
                        _write_header(stream, len(x), values)
                    stream.write(np.ascontiguousarray(values).tobytes())
            done(piece.stop)
        for path, names in files.items():
            held = {name: np.load(streams[name], mmap_mode="r") for name in names}
            keys = names if len(names) > 1 else ["x"]
            arrays = {
                key: held[name][: counts[path]] for key, name in zip(keys, names, strict=True)
            }
            write_arrays(path, arrays)
    return counts


def _sample_bytes(shapes: Mapping[str, Shape], names: Sequence[str]) -> int:
    return 8 * sum(math.prod(shapes[name]) for name in names)


def _write_header(stream: IO[bytes], count: int, values: npt.NDArray[Any]) -> None:
    header = {
        "descr": _NPY.dtype_to_descr(values.dtype),
        "fortran_order": False,
        "shape": (count, *values.shape[1:]),
    }
    _NPY.write_array_header_2_0(stream, header)
