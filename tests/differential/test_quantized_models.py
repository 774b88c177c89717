"""Models quantized by onnxruntime keep their counts, from the source down to single spikes."""

import dataclasses
import logging
import re
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from toolchain.data import Samples
from toolchain.engine import Program
from toolchain.frontend.testing import text_model
from toolchain.ir.counts import sweep
from toolchain.ir.reference import evaluate
from toolchain.ir.snn import Spiking
from toolchain.ir.staircase import Staircase
from toolchain.options import Options
from toolchain.pipeline import compile_stages
from toolchain.target import FORMATS
from toolchain.verification.analogue import climb_analogue
from toolchain.verification.ladder import climb, route_of

CNN = Path(__file__).parents[2] / "models" / "fashion_mnist_cnn"
RANDOM = np.random.default_rng(0)


def weight(*shape):
    return RANDOM.normal(size=shape, scale=np.prod(shape[1:]) ** -0.5).astype(np.float32)


HEAD, TAIL = "net (float[N, 2, 8, 8] x) => (float[N, 4] y) {", "y = Gemm (f, w, v) }"
CONV = "Conv <pads = [1, 1, 1, 1]>"
WEIGHTS = {
    "k1": weight(6, 2, 3, 3),
    "b1": weight(6),
    "k2": weight(6, 6, 3, 3),
    "k3": weight(6, 1, 3, 3),
    "six": np.array(6, np.float32),
    "none": np.array(0, np.float32),
    "v": weight(4),
}
NETWORKS = {
    "average pools": f"""{HEAD} a = {CONV} (x, k1, b1)  b = Relu (a)
        c = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (b)  d = {CONV} (c, k2)
        e = Relu (d)  g = GlobalAveragePool (e)  f = Flatten (g)  {TAIL}""",
    "a residual": f"""{HEAD} a = {CONV} (x, k1, b1)  b = Relu (a)  d = {CONV} (b, k2)
        s = Add (b, d)  e = Relu (s)  g = GlobalAveragePool (e)  f = Flatten (g)  {TAIL}""",
    "signed activations": f"""{HEAD} a = {CONV} (x, k1, b1)
        d = Conv <pads = [1, 1, 1, 1], group = 6> (a, k3)  e = Clip (d, none, six)
        p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (e)  g = {CONV} (p, k2)
        h = GlobalAveragePool (g)  f = Flatten (h)  {TAIL}""",
    "a concatenation": f"""{HEAD} a = {CONV} (x, k1, b1)  b = Relu (a)  c = {CONV} (b, k2)
        d = Relu (c)  j = Concat <axis = 1> (b, d)  g = GlobalAveragePool (j)
        f = Flatten (g)  z = Gemm (f, w12, v)  y = Softmax (z) }}""",
}


def quantize(source, target, x, **options):
    """Quantize a model statically, as onnxruntime does."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(x)

        def get_next(self):
            sample = next(self.rest, None)
            return None if sample is None else {name: sample[None]}

    logging.getLogger().setLevel(logging.ERROR)
    name = onnx.load(source).graph.input[0].name
    quantize_static(source, target, Reader(), weight_type=QuantType.QInt8, **options)


def compiled(path, x, lowering):
    """Return the stages of a model and the rungs that it climbs with samples."""
    np.savez(path.with_name("calibration.npz"), x=x)
    before, stages = compile_stages(Options(model=path, lowering=lowering))
    return before, stages, climbed(before, stages, x)


def climbed(before, stages, x, *artifacts):
    """Return the rungs that stages climb with samples."""
    samples = Samples(x, None)
    route = route_of(stages, climb_analogue(before, samples), artifacts)
    return climb(route, samples, lambda *_: None).rungs


def promises(rungs):
    """Return the promises of the rungs, all of which have kept them."""
    assert [rung.why for rung in rungs if rung.status != "ok"] == []
    return {rung.rung: rung.promise for rung in rungs}


def levels_off(before, stages, x):
    """Return by how many levels each count differs from the quantizer it stands for."""
    wanted = evaluate(before.prepared, x)
    return np.concatenate(
        [
            np.abs(counts - wanted[node.name]).ravel()
            for node, _, counts in sweep(stages.program.graph, x)
            if isinstance(node, Spiking)
        ]
    )


def option(name, choice):
    import onnxruntime.quantization as quantization

    return getattr(getattr(quantization, name), choice)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize(("kind", "per_channel"), [("QUInt8", False), ("QInt8", True)])
def test_the_bundled_network_answers_as_its_quantized_export(tmp_path, form, kind, per_channel):
    path, x = tmp_path / "cnn.onnx", np.load(CNN / "test.npz")["x"][:100]
    quantize(
        CNN / "model.onnx",
        path,
        np.load(CNN / "calibration.npz")["x"][:100].astype(np.float32),
        quant_format=option("QuantFormat", form),
        activation_type=option("QuantType", kind),
        per_channel=per_channel,
    )

    before, stages, rungs = compiled(path, x, "radix")

    assert promises(rungs)["quantized"] == "within a level"
    assert all(rung.agreement == 1 for rung in rungs)
    off = levels_off(before, stages, x)
    assert off.max() <= 1
    assert (off > 0).mean() <= 0.001


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("form", "kind"), [("QDQ", "QInt8"), ("QOperator", "QUInt8")])
def test_every_neuron_keeps_its_level_in_networks_of_all_kinds(tmp_path, name, form, kind):
    weights = {key: value for key, value in WEIGHTS.items() if f"{key}" in NETWORKS[name]}
    weights |= {"w": weight(6, 4)} if "f, w," in NETWORKS[name] else {"w12": weight(12, 4)}
    onnx.save(text_model(NETWORKS[name], **weights), tmp_path / "float.onnx")
    path, x = tmp_path / "net.onnx", RANDOM.normal(size=(24, 2, 8, 8)).astype(np.float32)
    quantize(
        tmp_path / "float.onnx",
        path,
        x,
        quant_format=option("QuantFormat", form),
        activation_type=option("QuantType", kind),
        per_channel=form == "QDQ",
    )

    before, _, rungs = compiled(path, x, "radix")

    found = promises(rungs)
    assert found["imported"] == "within 0.0001, ties apart"
    assert found["converted"] == "exact, ties apart"
    assert found["quantized"] == "within a level"
    assert before.prepared.of_type(Staircase)


def test_the_twin_rounds_what_the_host_rounds(tmp_path):
    weights = {name: WEIGHTS[name] for name in ("k1", "b1", "k2", "v")} | {"w": weight(6, 4)}
    onnx.save(text_model(NETWORKS["a residual"], **weights), tmp_path / "float.onnx")
    path, x = tmp_path / "net.onnx", RANDOM.normal(size=(8, 2, 8, 8)).astype(np.float32)
    quantize(tmp_path / "float.onnx", path, x)
    before, stages, _ = compiled(path, x, "radix")
    program = Program(stages.program.graph, stages.program.circuit, tmp_path)
    stages = dataclasses.replace(stages, program=program)

    FORMATS["twin"](stages.program, tmp_path)

    rungs = climbed(before, stages, x, "twin")
    assert promises(rungs)["twin"] == "exact"
    assert [step.function for step in stages.program.graph.output.tail] == ["round", "affine"]


def with_powers_of_two(model):
    """Round all scales of a quantized model up to powers of two, and its integers with them."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        value, scale = node.input[0], onnx.numpy_helper.to_array(tensors[node.input[1]])
        power = np.exp2(np.ceil(np.log2(scale))).astype(np.float32)
        if value in tensors:
            integers = onnx.numpy_helper.to_array(tensors[value])
            ratio = (scale / power).reshape(-1, *(1,) * (integers.ndim - 1))
            moved = np.rint(integers * ratio).astype(integers.dtype).reshape(integers.shape)
            tensors[value].CopyFrom(onnx.numpy_helper.from_array(moved, value))
    for name, tensor in tensors.items():
        if re.search("_scale$", name):
            scale = onnx.numpy_helper.to_array(tensor)
            power = np.exp2(np.ceil(np.log2(scale))).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(power, name))
    return model


def test_scales_that_are_powers_of_two_make_it_exact(tmp_path):
    path, x = tmp_path / "cnn.onnx", np.load(CNN / "test.npz")["x"][:20]
    calibration = np.load(CNN / "calibration.npz")["x"][:20].astype(np.float32)
    quantize(CNN / "model.onnx", path, calibration, per_channel=True)
    onnx.save(with_powers_of_two(onnx.load(path)), path)

    _, stages, rungs = compiled(path, x, "radix")

    found = promises(rungs)
    assert found["converted"] == "exact, ties apart"
    assert {found[rung] for rung in ("lowered", "quantized", "count", "step")} == {"exact"}
    assert rungs[1].max_abs_error == 0
    assert {node.level_error for node in stages.program.graph.of_type(Spiking)} == {0}


def clipped(bits, *, signed):
    """Return a chain as Brevitas exports it for fewer than 8 bits, and its limits."""
    high = 2 ** (bits - signed) - 1
    limits = np.array([-high if signed else 0, high], np.int8 if signed else np.uint8)
    return (
        "i = QuantizeLinear (r, s, z)  c = Clip (i, low, high)  h = DequantizeLinear (c, s, z)",
        {"low": limits[0], "high": limits[1], "z": np.zeros((), limits.dtype)},
    )


@pytest.mark.parametrize("lowering", ["temporal", "spatial", "radix"])
@pytest.mark.parametrize(("bits", "signed"), [(4, 0), (3, 1), (2, 0)])
def test_activations_of_few_bits_are_exact_in_every_lowering(tmp_path, lowering, bits, signed):
    chain, limits = clipped(bits, signed=signed)
    text = f"""net (float[N, 8] x) => (float[N, 3] y) {{
        e = QuantizeLinear (x, s, o)  d = DequantizeLinear (e, s, o)
        k = DequantizeLinear (a, p)  r = MatMul (d, k)  {chain}
        m = DequantizeLinear (b, p)  y = MatMul (h, m) }}"""
    constants = {
        "a": RANDOM.integers(-7, 8, (8, 12)).astype(np.int8),
        "b": RANDOM.integers(-7, 8, (12, 3)).astype(np.int8),
        "p": np.array(0.25, np.float32),
        "s": np.array(0.5, np.float32),
        "o": np.zeros((), np.int8),
        **{name: np.asarray(value) for name, value in limits.items()},
    }
    path = tmp_path / "net.onnx"
    onnx.save(text_model(text, **constants), path)
    x = RANDOM.integers(-3, 4, (40, 8)).astype(np.float32) / 2

    _, stages, rungs = compiled(path, x, lowering)

    assert promises(rungs)["quantized"] == "exact"
    (neurons,) = stages.program.graph.of_type(Spiking)
    assert neurons.levels == int(limits["high"]) - int(limits["low"])
    assert np.abs(stages.program.graph.layers_into(neurons)[0].weight).max() <= 7
