"""The twin: an ONNX model of standard operators that gives what the chip gives, bit for bit.

It takes the place of the source model: its input and output have the same names, types and
shapes, with a batch axis of any length. ``docs/twin.md`` says what is in it.
"""

from __future__ import annotations

from pathlib import Path

from toolchain.engine import Program
from toolchain.heap import trim_heap
from toolchain.target import FORMATS

FILE_NAME = "twin.onnx"


@FORMATS.register("twin")
def emit_twin(program: Program, out_dir: Path) -> tuple[Path, ...]:
    """Write ``out_dir/twin.onnx`` and return that path; the same network gives the same bytes.

    Raises:
        EmitError: No type of ONNX holds the sums of a layer exactly.
    """
    from targets.twin.layout import lay_out
    from targets.twin.model import twin_model

    pieces = twin_model(lay_out(program.graph)).pieces()
    path = out_dir / FILE_NAME
    with path.open("wb") as file:
        file.writelines(pieces)
    trim_heap()
    return (path,)
