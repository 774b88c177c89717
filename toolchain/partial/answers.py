"""What the last node before an output makes of it, on which it depends what an answer is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from toolchain.errors import CompileError
from toolchain.frontend import import_model
from toolchain.ir.ann import HostOp
from toolchain.partial.dataflow import Flow
from toolchain.partial.extraction import Extraction
from toolchain.partial.regions import Region


def tail_of(flow: Flow, extraction: Extraction, output: str) -> tuple[HostOp, ...]:
    """Return what the frontend finds in the node that makes an output, taken as a model."""
    if output not in flow.makers:
        return ()
    last = flow.makers[output]
    try:
        part = extraction.part(Region((last,), last.reads, (output,)))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "last.onnx"
            onnx.save(part, path)
            return import_model(path).graph.output.tail
    except CompileError:  # then it is none of those that decide what an answer is
        return ()
