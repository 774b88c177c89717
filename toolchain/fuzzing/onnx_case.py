"""One damaged ONNX model: refused, or imported as what onnxruntime computes."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np
import onnx
import onnxruntime

from toolchain.checking import check_model
from toolchain.errors import CompileError, UnsupportedOpError
from toolchain.frontend import ImportedModel, import_model
from toolchain.fuzzing import (
    damaged_attributes,
    damaged_declarations,
    damaged_nodes,
    damaged_tensors,
)
from toolchain.fuzzing.compilation import LEVELS, LIMITS, built, compiled, split
from toolchain.fuzzing.damaged_bytes import damage_bytes
from toolchain.fuzzing.networks import draw_network
from toolchain.ir.node import Array
from toolchain.ir.packing import pack
from toolchain.ir.reference import Value, answers_of, counts_of, evaluate
from toolchain.ir.verify import verify

TOLERANCE = 1e-4
"""Largest difference from onnxruntime, relative to the largest magnitude in the network."""

_GROUPS = (
    damaged_attributes.DAMAGES,
    damaged_nodes.DAMAGES,
    damaged_tensors.DAMAGES,
    damaged_declarations.DAMAGES,
)
_SUBTLE = (
    damaged_attributes.nudge_attribute,
    damaged_nodes.bypass_node,
    damaged_nodes.double_node,
    damaged_nodes.insert_node,
    damaged_nodes.join_values,
    damaged_nodes.rewire_input,
    damaged_tensors.overwrite,
    damaged_tensors.reshape,
    damaged_declarations.change_opset,
)
"""After which a model is still valid often enough."""

_COUNTS = (0, 1, 1, 1, 1, 1, 2, 2, 3)
_RUN_ELEMENTS = 2**18
"""Elements of one sample's values up to which the network is run."""

_SURVEYED_SHARE = 0.2
_BUILT_SHARE = 0.03
_COMPILED_SHARE = 0.2
_SPLIT_SHARE = 0.06
_RUN_NODES = 1000
"""Nodes of a model up to which it is run; float32 adds up more rounding errors behind more, and
onnxruntime takes its time for ten thousand."""

_MAGNITUDE_MAX = 1e6
"""Largest value up to which outputs are compared; float32 may overflow or round too much."""

_ROUNDING = 1e-5
"""Rounding error of float32 over a network, relative to its largest value."""

_SAMPLES = 2
_MODEL = "model.onnx"


def run_onnx_case(seed: int, folder: Path) -> str:
    """Import the model of a seed, and compare what it computes.

    Returns:
        ``"refused ..."`` with the class of the error, or how far the model came.

    Raises:
        AssertionError: The graph is not what onnxruntime computes.
    """
    random = Random(f"onnx {seed}")
    path = folder / _MODEL
    path.write_bytes(damaged_model(random, folder))
    is_surveyed = random.random() < _SURVEYED_SHARE
    try:
        model = import_model(path, LIMITS)
    except CompileError as error:
        if is_surveyed:
            _require_obstacles(path, error)
        elif isinstance(error, UnsupportedOpError) and random.random() < _SPLIT_SHARE:
            return split(path, folder / "build", random)
        return f"refused {type(error).__name__}"
    verify(model.graph)
    if is_surveyed:
        _require_obstacles(path, None)
    elements = sum(math.prod(shape) for shape in model.graph.shapes.values())
    if elements > _RUN_ELEMENTS or len(model.graph.source_nodes) > _RUN_NODES:
        return "imported"
    found = compared(model, random)
    draw = random.random()
    if draw < _BUILT_SHARE:
        return built(path, folder / "build", random)
    return compiled(model.graph, random) if draw < _COMPILED_SHARE else found


def _require_obstacles(path: Path, error: CompileError | None) -> None:
    """Look at a model as ``check`` does, which must find what is in the way of a refused one.

    Args:
        path: Of the model.
        error: That refused it; `None` if it was imported.

    Raises:
        AssertionError: It does not.
    """
    try:
        found = check_model(path, levels=LEVELS, limits=LIMITS)
    except CompileError:
        return
    if error is not None and found.compiles:
        raise AssertionError(f"check finds nothing in the way, and it is refused: {error}")


def damaged_model(random: Random, folder: Path) -> bytes:
    """Return the bytes of a model, damaged in up to three places, beside files of weights."""
    model = draw_network(random)
    if random.random() < _LARGE_SHARE:
        model = _structure(random) or model
    for _ in range(random.choice(_COUNTS)):
        if model.graph.node:
            group = _SUBTLE if random.random() < _SUBTLE_SHARE else random.choice(_GROUPS)
            random.choice(group)(random, model, folder)
    if random.random() < _DEEP_SHARE and model.graph.node:
        damaged_nodes.deepen(random, model, folder)
    content = model.SerializeToString()
    return damage_bytes(random, content) if random.random() < _BYTES_SHARE else content


_SUBTLE_SHARE = 0.5
_LARGE_SHARE = 0.003
_DEEP_SHARE = 0.003
_BYTES_SHARE = 0.1


def _structure(random: Random) -> onnx.ModelProto | None:
    """Return one of the large networks without weights that the onnx wheel brings."""
    spec = find_spec("onnx")
    root = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    files = sorted((root / "backend/test/data/light").glob("light_*.onnx"))
    return onnx.load(random.choice(files)) if files else None


def compared(model: ImportedModel, random: Random) -> str:
    """Compare an imported graph with onnxruntime on samples.

    Raises:
        AssertionError: They differ.
    """
    numbers = np.random.default_rng(random.getrandbits(32))
    shape = (_SAMPLES, *model.input_shape)
    kinds = {np.dtype(node.dtype).kind for node in model.graph.inputs}
    x = numbers.normal(size=shape) if kinds == {"f"} else numbers.integers(0, 9, shape)
    source = model.source.runnable()
    try:
        wanted = _run_onnxruntime(model, source, x)
    except Exception:
        return "imported, and not run by onnxruntime"
    with np.errstate(all="ignore"):
        values = evaluate(model.graph, x)
    found = answers_of(model.graph, values)
    require_equal(found, wanted, max(map(_magnitude, values.values())))
    return "compared"


def _magnitude(value: Value) -> float:
    """Return the largest magnitude in a value, infinite where it is not finite."""
    largest = float(np.abs(counts_of(value)).max(initial=0))
    return largest if np.isfinite(largest) else np.inf


def require_equal(found: Array, wanted: Array, magnitude: float) -> None:
    """Compare two outputs, where float32 can say them.

    Args:
        found: By the imported graph.
        wanted: By onnxruntime, in float32.
        magnitude: Largest of all values in the network: what cancels out leaves rounding
            errors of its size.

    Raises:
        AssertionError: They differ by more than `TOLERANCE` of the largest output.
    """
    if found.shape != wanted.shape:
        raise AssertionError(f"outputs are {found.shape}, and {wanted.shape} in onnxruntime")
    if not np.isfinite(wanted).all() or magnitude > _MAGNITUDE_MAX:
        return
    scale = max(float(np.abs(wanted).max(initial=0)), 1.0)
    difference = float(np.abs(found - wanted).max(initial=0))
    if not difference <= TOLERANCE * scale + _ROUNDING * magnitude:
        raise AssertionError(f"outputs differ by {difference:g} of {scale:g}")


def _run_onnxruntime(model: ImportedModel, source: Path | bytes, x: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(source, options)
    batches = np.split(x, len(x)) if model.has_fixed_batch else [x]
    rows = [pack(session.run(model.output_names, model.feeds(batch))) for batch in batches]
    return np.concatenate(rows).astype(np.float64)
