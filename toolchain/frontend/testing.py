"""Small ONNX models for tests: written as text, saved, imported and run by onnxruntime."""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnx.checker
import onnx.numpy_helper
import onnx.parser

from toolchain.frontend.importing import ImportedModel, import_model
from toolchain.ir.packing import pack
from toolchain.ir.reference import run
from toolchain.ir.verify import verify
from toolchain.limits import DEFAULT, Limits
from toolchain.onnx_functions import DOMAIN, DOMAIN_VERSION, OPSET, functions

Array: TypeAlias = npt.NDArray[Any]


def text_model(text: str, *, opset: int = 17, **weights: Array) -> onnx.ModelProto:
    """Return a model that onnx has checked.

    Args:
        text: A graph in ONNX's text form, ``net (float[N, 3] x) => (float[N, 3] y) { ... }``.
        opset: Version of the operators.
        weights: Initializers by name, besides those in the text.
    """
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    for name, array in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.checker.check_model(model, full_check=True)
    return model


def spiking_model(text: str, *, windows: int, **weights: Array) -> onnx.ModelProto:
    """Return a model with functions of our own domain, that onnx has checked.

    Args:
        text: As for `text_model`; nodes of the domain are ``ai.snn_compile.MultiThreshold``
            and so on.
        windows: Windows for which the functions are defined.
        weights: Initializers by name, besides those in the text.
    """
    opsets = f'"" : {OPSET}, "{DOMAIN}" : {DOMAIN_VERSION}'
    model = onnx.parser.parse_model(f"<ir_version: 8, opset_import: [{opsets}]> {text}")
    model.functions.extend(functions(windows))
    for name, array in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.checker.check_model(model)
    return model


def import_text(text: str, *, opset: int = 17, **weights: Array) -> ImportedModel:
    """Return what a model in text form is imported as; arguments as for `text_model`."""
    return import_proto(text_model(text, opset=opset, **weights))


def import_proto(model: onnx.ModelProto, limits: Limits = DEFAULT) -> ImportedModel:
    """Return what a model is imported as, within limits on its size.

    The file is there as long as its `source`.
    """
    with contextlib.ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        imported = import_model(path, limits)
        weakref.finalize(imported.source, stack.pop_all().close)
    return imported


def run_onnxruntime(model: ImportedModel, x: Array) -> Array:
    """Return the output of the model itself for a batch, one sample at a time.

    Args:
        model: Of which the file's own form is run.
        x: ``(batch, *input_shape)``.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.source.runnable(), options)
    feeds = (model.feeds(sample) for sample in x[:, None])
    return np.concatenate([pack(session.run(None, feed)) for feed in feeds])


def run_reference(model: ImportedModel, x: Array) -> Array:
    """Return what ONNX's own reference computes, for opsets that onnxruntime does not know yet.

    Args:
        model: Of which the file's own form is run.
        x: ``(batch, *input_shape)``.
    """
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load_model_from_string(model.source.content()))
    feeds = (model.feeds(sample) for sample in x[:, None])
    return np.concatenate([pack(evaluator.run(None, feed)) for feed in feeds])


def check_against_onnxruntime(model: ImportedModel, x: Array) -> None:
    """Compare what the imported graph computes with what onnxruntime does.

    Args:
        model: As imported.
        x: ``(batch, *input_shape)``.

    Raises:
        AssertionError: They differ by more than float32 explains.
        VerifyError: The graph is not well formed, or a node of the model is not in it.
    """
    verify(model.graph)
    wanted = run_onnxruntime(model, x)
    np.testing.assert_allclose(run(model.graph, x), wanted, rtol=1e-5, atol=1e-5)


def small_integers(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return an array of integers from -4 to 4, with which float32 makes no rounding errors."""
    return np.asarray(np.random.default_rng(seed).integers(-4, 5, shape), np.float32)
