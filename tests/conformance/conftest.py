"""What a network of the list must do, and how its models are written."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.checker
import onnx.shape_inference
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolchain.engine import ENGINES, Program
from toolchain.frontend.importing import import_model
from toolchain.ir.counts import sweep
from toolchain.ir.ends import encode_samples
from toolchain.ir.packing import pack
from toolchain.ir.reference import counts_of, evaluate, run
from toolchain.ir.snn import Spiking
from toolchain.ir.verify import verify
from toolchain.target import TARGETS
from toolchain.testing import compile_network
from toolchain.verification.source import source_runner

_IR_VERSION = 10
_SAMPLES, _CALIBRATION, _LEVELS = 3, 6, 7


class Writer:
    """Writes one model with random weights, in the spelling of its version of ONNX."""

    def __init__(self, opset=17, seed=0):
        self.opset = opset
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights, self.inputs, self.sizes = [], [], [], {}

    def input(self, *shape, name="x"):
        """Declare an input, with a dynamic batch axis."""
        self.inputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
        )
        self.sizes[name] = shape[0]
        return name

    def node(self, op, *inputs, outputs=1, channels=None, **attributes):
        """Add a node; it keeps the number of channels unless told otherwise."""
        names = [f"{op.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        name = f"/{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, names, name=name, **attributes))
        for made in names:
            self.sizes[made] = channels or self.sizes.get(inputs[0] if inputs else "")
        return names[0] if outputs == 1 else names

    def constant(self, *numbers, dtype=np.int64, shape=(-1,)):
        """Add an initializer."""
        return self.initializer(np.array(numbers, dtype).reshape(shape))

    def scalar(self, number):
        """Add a number without axes."""
        return self.initializer(np.array(number, np.float32))

    def initializer(self, array):
        """Add an initializer."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, *shape, fan_in=None):
        """Add weights as He et al. draw them, so that deep networks stay active."""
        fan_in = fan_in or int(np.prod(shape[1:]))
        array = self.random.normal(size=shape, scale=np.sqrt(2 / fan_in))
        return self.initializer(array.astype(np.float32))

    def uniform(self, low, high, *shape):
        """Add numbers between two limits."""
        return self.initializer(self.random.uniform(low, high, shape).astype(np.float32))

    # Layers.

    def conv(self, x, outputs, kernel=3, *, group=1, axes=2, bias=True, **attributes):
        """Add a convolution, with padding that keeps the size unless told otherwise."""
        weight = self.weight(outputs, self.sizes[x] // group, *[kernel] * axes)
        inputs = [x, weight] + ([self.uniform(-0.1, 0.1, outputs)] if bias else [])
        if not {"pads", "auto_pad"} & set(attributes):
            attributes["pads"] = [kernel // 2] * (2 * axes)
        attributes = {"kernel_shape": [kernel] * axes, "group": group, **attributes}
        return self.node("Conv", *inputs, channels=outputs, **attributes)

    def norm(self, x):
        """Add a batch normalization as training leaves it."""
        size = self.sizes[x]
        limits = ((0.8, 1.2), (-0.1, 0.3), (-0.2, 0.2), (0.6, 1.4))
        statistics = [self.uniform(*pair, size) for pair in limits]
        return self.node("BatchNormalization", x, *statistics, epsilon=1e-5)

    def relu(self, x):
        """Add a rectifier."""
        return self.node("Relu", x)

    def conv_norm_relu(self, x, outputs, kernel=3, **attributes):
        """Add the three that nearly all networks are made of."""
        return self.relu(self.norm(self.conv(x, outputs, kernel, bias=False, **attributes)))

    def clip(self, x, low, high):
        """Add a limit on both sides."""
        if self.opset < 11:
            return self.node("Clip", x, min=float(low), max=float(high))
        return self.node("Clip", x, self.scalar(low), self.scalar(high))

    def pool(self, x, kernel=2, stride=2, op="MaxPool", *, axes=2, **attributes):
        """Add a pool."""
        sizes = {"kernel_shape": [kernel] * axes, "strides": [stride] * axes}
        return self.node(op, x, **sizes, **attributes)

    def mean(self, x, *over, keepdims=0):
        """Add a mean over axes."""
        if self.opset < 18:
            return self.node("ReduceMean", x, axes=over, keepdims=keepdims)
        return self.node("ReduceMean", x, self.constant(*over), keepdims=keepdims)

    def dense(self, x, inputs, outputs):
        """Add a dense layer."""
        weight = self.weight(outputs, inputs, fan_in=inputs)
        return self.node("Gemm", x, weight, self.uniform(-0.1, 0.1, outputs), transB=1)

    def head(self, x, classes=4):
        """Add a global average and a classifier."""
        flat = self.node("Flatten", self.node("GlobalAveragePool", x))
        return self.dense(flat, self.sizes[x], classes)

    def concat(self, *values):
        """Join channels."""
        return self.node("Concat", *values, axis=1, channels=sum(self.sizes[v] for v in values))

    def reshape(self, x, *shape):
        """Reshape to constant sizes."""
        return self.node("Reshape", x, self.constant(*shape), channels=abs(shape[1]))

    def model(self, *outputs):
        """Return the model, checked by onnx."""
        graph = helper.make_graph(self.nodes, "net", self.inputs, [], self.weights)
        for output in outputs:
            graph.output.add(name=output)
        opset = helper.make_opsetid("", self.opset)
        made = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        made = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)
        del made.graph.value_info[:]
        onnx.checker.check_model(made, full_check=True)
        return made


@pytest.fixture
def write():
    """Return what makes a writer, for a version of ONNX."""
    return Writer


@pytest.fixture
def conform(tmp_path):
    """Return a function that takes a model all the way, and compares it at every stage."""

    def check(model, *, lowering="temporal"):
        path = tmp_path / "net.onnx"
        path.write_bytes(model.SerializeToString())
        imported = import_model(path)
        x = _samples(imported.input_shape)
        if lowering == "radix":  # negative numbers of an input cannot wait for a later sum
            x = np.abs(x)
        verify(imported.graph)
        wanted = source_runner(imported)(x[:_SAMPLES])
        require_close(run(imported.graph, x[:_SAMPLES]), wanted)

        stages = compile_network(
            imported.graph, x, TARGETS["loihi2"], levels=_LEVELS, lowering=lowering
        )

        require_close(run(stages.prepared, x[:_SAMPLES]), wanted)
        require_same_counts(stages, x[:_SAMPLES])
        return stages

    return check


def _samples(shape):
    """Return images, ``(samples, *shape)``, with structure that pools and edges react to."""
    random = np.random.default_rng(7)
    coarse = random.normal(size=(_CALIBRATION, *shape))
    return (0.6 * coarse + 0.4 * np.roll(coarse, 1, axis=-1)).astype(np.float32)


def require_close(found, wanted):
    """Compare within 1e-4 of the largest output."""
    assert wanted.std() > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def require_same_counts(stages, x):
    """Compare counts of all neurons: converted and lowered, quantized and step by step."""
    converted, lowered = evaluate(stages.converted, x), evaluate(stages.lowered, x)
    for node in stages.lowered.of_type(Spiking):
        counts = counts_of(lowered[node.name])
        np.testing.assert_array_equal(counts, counts_of(converted[node.name]))
        assert counts.any(), f"{node.name} is silent"
    counted = {node.name: value for node, _, value in sweep(stages.quantized, x)}
    inputs = encode_samples(stages.quantized, x)
    program = Program(stages.quantized, stages.circuit)
    stepped = ENGINES["step"].run(program, inputs, trace=False)
    for node in stages.quantized.of_type(Spiking):
        np.testing.assert_array_equal(stepped.counts[node.name], counted[node.name])
    readout = pack([counted[node.inputs[0]] for node in stages.quantized.outputs])
    np.testing.assert_array_equal(stepped.readout, readout)
