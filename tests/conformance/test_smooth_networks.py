"""Networks with smooth activations, in every spelling: exact to where pieces stand in for them.

What is imported equals onnxruntime, whatever the exporter wrote; straight pieces are within the
bound that their fit states; and from the pieces on nothing differs that should not.
"""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.engine import ENGINES, Program
from toolchain.frontend.importing import import_model
from toolchain.ir.ann import Relu
from toolchain.ir.ends import encode_samples
from toolchain.ir.reference import counts_of, evaluate, run
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import Spiking
from toolchain.target import TARGETS
from toolchain.testing import compile_network
from toolchain.verification.source import source_runner


def silu(write, x):
    return write.node("Mul", x, write.node("Sigmoid", x))


def gelu_of_tracing(write, x):
    """As ``torch.onnx.export(..., dynamo=False)`` writes ``nn.GELU()``."""
    error = write.node("Erf", write.node("Div", x, write.scalar(np.sqrt(2))))
    twice = write.node("Mul", x, write.node("Add", error, write.scalar(1)))
    return write.node("Mul", twice, write.scalar(0.5))


def gelu_by_tanh_of_tracing(write, x):
    """As it writes ``nn.GELU("tanh")``: the cube is two products."""
    half = write.node("Mul", x, write.scalar(0.5))
    cube = write.node("Mul", write.node("Mul", x, x), x)
    inner = write.node("Add", x, write.node("Mul", cube, write.scalar(0.044715)))
    tanh = write.node("Tanh", write.node("Mul", inner, write.scalar(np.sqrt(2 / np.pi))))
    return write.node("Mul", half, write.node("Add", tanh, write.scalar(1)))


def gelu_by_power(write, x):
    """As tf2onnx writes it."""
    cube = write.node("Pow", x, write.scalar(3))
    inner = write.node("Add", x, write.node("Mul", cube, write.scalar(0.044715)))
    tanh = write.node("Tanh", write.node("Mul", inner, write.scalar(np.sqrt(2 / np.pi))))
    share = write.node("Mul", write.node("Add", tanh, write.scalar(1)), write.scalar(0.5))
    return write.node("Mul", x, share)


def quick_gelu(write, x):
    return write.node(
        "Mul", x, write.node("Sigmoid", write.node("Mul", x, write.scalar(1.702)))
    )


def hard_swish_in_parts(write, x):
    """As ``x * F.relu6(x + 3) / 6`` is written."""
    limited = write.clip(write.node("Add", x, write.scalar(3)), 0, 6)
    return write.node("Div", write.node("Mul", x, limited), write.scalar(6))


def mish_in_parts(write, x):
    return write.node("Mul", x, write.node("Tanh", write.node("Softplus", x)))


def sigmoid_in_parts(write, x):
    inverse = write.node("Exp", write.node("Neg", x))
    return write.node("Div", write.scalar(1), write.node("Add", inverse, write.scalar(1)))


def silu_by_division(write, x):
    inverse = write.node("Exp", write.node("Neg", x))
    return write.node("Div", x, write.node("Add", inverse, write.scalar(1)))


def softplus_in_parts(write, x):
    return write.node("Log", write.node("Add", write.node("Exp", x), write.scalar(1)))


def plain(operator, **attributes):
    return lambda write, x: write.node(operator, x, **attributes)


SPELLED = {
    "silu": silu,
    "gelu of tracing": gelu_of_tracing,
    "gelu by tanh of tracing": gelu_by_tanh_of_tracing,
    "gelu by power": gelu_by_power,
    "quick gelu": quick_gelu,
    "hard swish in parts": hard_swish_in_parts,
    "mish in parts": mish_in_parts,
    "sigmoid in parts": sigmoid_in_parts,
    "silu by division": silu_by_division,
    "softplus in parts": softplus_in_parts,
}
NAMED = {
    "Sigmoid": plain("Sigmoid"),
    "Tanh": plain("Tanh"),
    "Elu": plain("Elu", alpha=1.5),
    "Selu": plain("Selu"),
    "Celu": plain("Celu", alpha=0.5),
    "Softplus": plain("Softplus"),
    "Softsign": plain("Softsign"),
    "HardSwish": plain("HardSwish"),
    "Mish": plain("Mish"),
    "Gelu": plain("Gelu"),
    "Gelu by tanh": plain("Gelu", approximate="tanh"),
    "Erf": plain("Erf"),
}


def perceptron(write, activation):
    x = write.dense(write.input(6), 6, 8)
    return write.dense(activation(write, x), 8, 4)


@pytest.mark.parametrize("name", [*SPELLED, *NAMED])
def test_an_activation_is_one_population_whatever_its_spelling(write, climb_smooth, name):
    written = write(opset=20)

    stages = climb_smooth(written.model(perceptron(written, (SPELLED | NAMED)[name])))

    assert len(stages.prepared.of_type(Relu)) == 1


# Networks.


def lenet(write):
    """LeCun et al. 1998, in small: tangents, and averages over windows."""
    x = write.pool(write.node("Tanh", write.conv(write.input(1, 12, 12), 3)), op="AveragePool")
    x = write.pool(write.node("Tanh", write.conv(x, 4)), op="AveragePool")
    x = write.node("Tanh", write.dense(write.node("Flatten", x), 36, 8))
    return write.dense(x, 8, 4)


def conv_norm_silu(write, x, width, kernel=3, **attributes):
    return silu(write, write.norm(write.conv(x, width, kernel, bias=False, **attributes)))


def yolo(write):
    """A cross-stage block as YOLO has it: halves, a shortcut, all joined (Jocher 2023)."""
    x = conv_norm_silu(write, write.input(3, 8, 8), 4, strides=[2, 2])
    x = conv_norm_silu(write, x, 4, 1)
    halves = write.node("Split", x, outputs=2, channels=2, axis=1, num_outputs=2)
    inner = conv_norm_silu(write, conv_norm_silu(write, halves[1], 2), 2)
    inner = write.node("Add", halves[1], inner)
    x = conv_norm_silu(write, write.concat(*halves, inner), 4, 1)
    return write.head(x)


def efficient(write):
    """Tan and Le 2019, without the gates: depthwise layers and linear bottlenecks."""
    x = conv_norm_silu(write, write.input(3, 8, 8), 4, strides=[2, 2])
    inner = conv_norm_silu(write, conv_norm_silu(write, x, 8, 1), 8, group=8)
    x = write.node("Add", x, write.norm(write.conv(inner, 4, 1, bias=False)))
    return write.head(conv_norm_silu(write, x, 6, 1))


def elu_network(write):
    x = write.node("Elu", write.conv(write.input(2, 8, 8), 4), alpha=1.0)
    x = write.node("Elu", write.pool(write.conv(x, 4)), alpha=1.0)
    return write.head(x)


def pooled_before_and_behind(write):
    """A max-pool before an activation that falls, and behind one that does not."""
    x = silu(write, write.pool(write.conv(write.input(2, 8, 8), 4)))
    x = write.pool(write.node("Tanh", write.conv(x, 4)))
    return write.head(x)


def pooled_behind_silu(write):
    """What the activation makes may be negative, so that values are compared."""
    return write.head(write.pool(silu(write, write.conv(write.input(2, 6, 6), 3))))


def gelu_residual(write):
    """Liu et al. 2022, with batch normalization: a wide inner layer, and a shortcut."""
    x = write.norm(write.conv(write.input(3, 8, 8), 4, 2, strides=[2, 2], pads=[0] * 4))
    inner = write.norm(write.conv(x, 4, group=4, bias=False))
    inner = gelu_of_tracing(write, write.conv(inner, 8, 1))
    return write.head(write.node("Add", x, write.conv(inner, 4, 1)))


NETWORKS = (
    lenet, yolo, efficient, elu_network, pooled_before_and_behind, pooled_behind_silu,
    gelu_residual,
)  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
@pytest.mark.parametrize("lowering", ["temporal", "radix"])
def test_a_network_is_exact_up_to_its_pieces_and_from_them_on(
    write, climb_smooth, network, lowering
):
    written = write(opset=18)

    climb_smooth(written.model(network(written)), lowering=lowering)


def test_at_the_end_the_host_computes_it(write, climb_smooth):
    written = write()
    x = written.relu(written.dense(written.input(6), 6, 8))
    model = written.model(written.node("Tanh", written.dense(x, 8, 4)))

    stages = climb_smooth(model)

    assert [step.function for step in stages.quantized.output.tail] == ["tanh"]


@pytest.fixture
def climb_smooth(tmp_path):
    """Return a function that compares a model with smooth activations at every stage."""

    def check(model, *, lowering="temporal"):
        path = tmp_path / "net.onnx"
        path.write_bytes(model.SerializeToString())
        imported = import_model(path)
        random = np.random.default_rng(7)
        x = random.normal(size=(6, *imported.input_shape)).astype(np.float32)
        if lowering == "radix":  # negative numbers of an input cannot wait for a later sum
            x = np.abs(x)

        wanted = source_runner(imported)(x)
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(run(imported.graph, x), wanted, rtol=1e-4, atol=1e-4 * scale)

        stages = compile_network(
            imported.graph, x, TARGETS["loihi2"], levels=7, lowering=lowering
        )
        assert not stages.prepared.of_type(Smooth)
        require_exact(stages, x)
        return stages

    return check


def require_exact(stages, x):
    """Compare the counts of all neurons, lowered with converted, and stepped with counted."""
    converted, lowered = evaluate(stages.converted, x), evaluate(stages.lowered, x)
    inputs = encode_samples(stages.quantized, x)
    program = Program(stages.quantized, stages.circuit)
    stepped = ENGINES["step"].run(program, inputs, trace=False)
    counted = ENGINES["count"].run(program, inputs, trace=True)
    for node in stages.quantized.of_type(Spiking):
        counts = counts_of(lowered[node.name])
        np.testing.assert_array_equal(counts, counts_of(converted[node.name]))
        np.testing.assert_array_equal(stepped.counts[node.name], counted.counts[node.name])
    np.testing.assert_array_equal(stepped.readout, counted.readout)
