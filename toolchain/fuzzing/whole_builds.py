"""Builds as a user has them, with all their files, from a few seeds."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import onnx

from toolchain.build_folder import files_in
from toolchain.errors import CompileError
from toolchain.fuzzing.networks import quantized
from toolchain.fuzzing.unusual_networks import hosted, several_ends, smooth_perceptron
from toolchain.fuzzing.writer import Writer
from toolchain.options import Options
from toolchain.partial.compilation import compile_partial
from toolchain.partial.findings import PartialReport

_KINDS: Sequence[tuple[Callable[[Writer], onnx.ModelProto], str, bool]] = (
    (several_ends, "temporal", False),
    (smooth_perceptron, "spatial", False),
    (quantized, "radix", False),
    (hosted, "temporal", True),
)
"""Of networks, with a lowering, and whether their builds are to be in segments."""

COUNT = len(_KINDS)
"""Builds that there are."""

_LEVELS = 3


@dataclass(frozen=True)
class WholeBuild:
    """A finished build.

    Attributes:
        model: Bytes of the source model.
        files: Content of each file of the build, by its path in the folder.
        shapes: Of one sample of each array that it reads, by name.
    """

    model: bytes
    files: Mapping[str, bytes]
    shapes: Mapping[str, tuple[int, ...]]


@functools.cache
def whole_build(index: int) -> WholeBuild:
    """Return a build.

    Args:
        index: 0 to `COUNT` - 1.
    """
    draw, lowering, is_split = _KINDS[index]
    random = Random(f"whole {index}")
    while True:
        model = draw(Writer(random))
        with tempfile.TemporaryDirectory() as folder:
            found = _compiled(model, Path(folder), lowering, is_split=is_split)
        if found is not None:
            return found


def _compiled(
    model: onnx.ModelProto, place: Path, lowering: str, *, is_split: bool
) -> WholeBuild | None:
    source, folder = place / "model.onnx", place / "build"
    source.write_bytes(model.SerializeToString())
    options = Options(
        model=source, output=folder, levels=_LEVELS, lowering=lowering, formats=("twin",)
    )
    try:
        report = compile_partial(options)
    except CompileError:
        return None  # dead layers, or too large
    if isinstance(report, PartialReport) is not is_split:
        return None
    files = {name: (folder / name).read_bytes() for name in files_in(folder)}
    values = model.graph.input
    names = ["x"] if len(values) == 1 else [value.name for value in values]
    sizes = (value.type.tensor_type.shape.dim[1:] for value in values)
    shapes = {
        name: tuple(size.dim_value for size in each)
        for name, each in zip(names, sizes, strict=True)
    }
    return WholeBuild(model.SerializeToString(), files, shapes)
