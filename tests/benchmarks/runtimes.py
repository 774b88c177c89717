"""The source network in onnxruntime and OpenVINO, in float32 and in their own static int8."""

from __future__ import annotations

import copy
import importlib.util
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from contest import Contender
from networks import Floats


def onnxruntime_float(model: onnx.ModelProto, x: Floats, threads: int) -> Contender:
    """Return the network in onnxruntime, float32."""
    run = onnxruntime_runner(model.SerializeToString(), threads)
    return Contender("onnxruntime float32", len(x), lambda: run(x))


def onnxruntime_int8(quantized: onnx.ModelProto, x: Floats, threads: int) -> Contender:
    """Return the network that `quantize_statically` made, in onnxruntime."""
    run = onnxruntime_runner(quantized.SerializeToString(), threads)
    return Contender("onnxruntime int8", len(x), lambda: run(x))


def onnxruntime_runner(model: Path | bytes, threads: int) -> Callable[[Floats], Any]:
    """Return a function that runs samples; its threads sleep while others have their turn."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def quantize_statically(model: onnx.ModelProto, calibration: Floats) -> onnx.ModelProto:
    """Return the network as onnxruntime's own static quantization leaves it.

    QDQ nodes, a scale for each output channel, 8-bit unsigned activations and signed weights:
    its fastest form on processors with VNNI.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter([{model.graph.input[0].name: calibration}])

        def get_next(self) -> dict[str, Floats] | None:
            return next(self.batches, None)

    logging.getLogger().setLevel(logging.ERROR)  # it advises to fold what is folded
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "quantized.onnx")
        quantize_static(
            copy.deepcopy(model),  # it moves the weights of what it is given to a file
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(path)


def has_openvino() -> bool:
    """Tell whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def openvino_contender(name: str, model: onnx.ModelProto, x: Floats, threads: int) -> Contender:
    """Return a network in OpenVINO, for this batch size."""
    import numpy as np

    from targets.twin.quiet_openvino import openvino

    core = openvino.Core()
    read = core.read_model(model.SerializeToString())
    read.reshape(list(x.shape))
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(read, "CPU", options).create_infer_request()
    given = np.ascontiguousarray(x)
    return Contender(name, len(x), lambda: request.infer([given]))
