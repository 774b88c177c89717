"""Sessions of onnxruntime that share their cores with others."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime

from targets.twin.split_model import SplitModel


def open_session(model: SplitModel, threads: int) -> onnxruntime.InferenceSession:
    """Return a session on the CPU.

    Threads that wait do not spin: with more than one session in a process spinning ones keep
    the cores from those that work. On CPUs without dot products of bytes, kernels are asked for
    that do not saturate; where there are such products, those kernels take twice the time.
    There is no arena: it would keep the memory of the largest run, and is not faster. Large
    constants are taken from their arrays, because a session keeps the text of its model.

    Args:
        model: What is run.
        threads: That share the work of one run, >= 1.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not has_byte_products():
        options.add_session_config_entry("session.x64quantprecision", "1")
    make = onnxruntime.OrtValue.ortvalue_from_numpy
    values = [make(array) for array in model.large.values()]
    options.add_external_initializers(list(model.large), values)
    content = model.proto.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_once(model: SplitModel, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the only output of a model."""
    (output,) = open_session(model, 1).run(None, dict(inputs))
    return output


@functools.cache
def has_byte_products() -> bool:
    """Tell whether the CPU is known to add up products of bytes in 32 bits (VNNI)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags.split())
