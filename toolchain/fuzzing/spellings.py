"""Smooth activations as exporters spell them: one operator, or several of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolchain.fuzzing.writer import Writer

_GELU_OPSET, _HARD_SWISH_OPSET, _MISH_OPSET = 20, 14, 18


def smooth(writer: Writer, x: str) -> str:
    """Add a smooth activation in one of its spellings."""
    return writer.random.choice(SPELLINGS)(writer, x)


def plain(writer: Writer, x: str) -> str:
    """Add one operator that has no attributes."""
    known = ["Sigmoid", "Tanh", "Softplus", "Softsign", "Selu", "Erf"]
    if writer.opset >= _HARD_SWISH_OPSET:
        known.append("HardSwish")
    if writer.opset >= _MISH_OPSET:
        known.append("Mish")
    return writer.node(writer.random.choice(known), x)


def shaped(writer: Writer, x: str) -> str:
    """Add one operator with an attribute."""
    kind = writer.random.choice(("Elu", "Celu", "Selu"))
    return writer.node(kind, x, alpha=writer.random.choice((0.3, 1.0, 2.0)))


def swish(writer: Writer, x: str) -> str:
    """Add a value times a sigmoid, or a staircase's limits, of itself."""
    kind = writer.random.choice(("Sigmoid", "Scaled", "HardSigmoid", "Clip"))
    if kind == "Clip":
        moved = writer.node("Add", x, writer.scalar(3.0))
        gate = writer.node("Clip", moved, writer.scalar(0.0), writer.scalar(6.0))
        return writer.node("Div", writer.node("Mul", x, gate), writer.scalar(6.0))
    inner = writer.node("Mul", x, writer.scalar(1.702)) if kind == "Scaled" else x
    if kind == "HardSigmoid":
        gate = writer.node(kind, inner, alpha=1 / 6, beta=0.5)
    else:
        gate = writer.node("Sigmoid", inner)
    return writer.node("Mul", *writer.random.sample((x, gate), 2))


def gelu(writer: Writer, x: str) -> str:
    """Add a GELU by its name, with an error function, or with a hyperbolic tangent."""
    if writer.opset >= _GELU_OPSET and writer.between(0, 2) == 0:
        return writer.node("Gelu", x, approximate=writer.random.choice(("none", "tanh")))
    if writer.between(0, 1):
        share = writer.node("Erf", writer.node("Div", x, writer.scalar(2**0.5)))
    else:
        cube = writer.node("Pow", x, writer.scalar(3.0))
        cube = writer.node("Mul", cube, writer.scalar(0.044715))
        scaled = writer.node("Mul", writer.node("Add", x, cube), writer.scalar(0.7978846))
        share = writer.node("Tanh", scaled)
    share = writer.node("Add", share, writer.scalar(1.0))
    if writer.between(0, 1):
        return writer.node("Mul", writer.node("Mul", x, share), writer.scalar(0.5))
    return writer.node("Mul", writer.node("Mul", x, writer.scalar(0.5)), share)


def by_exponential(writer: Writer, x: str) -> str:
    """Add a sigmoid or a softplus as an exponential and what is done to it."""
    one = writer.scalar(1.0)
    if writer.between(0, 1):
        return writer.node("Log", writer.node("Add", writer.node("Exp", x), one))
    more = writer.node("Add", writer.node("Exp", writer.node("Neg", x)), one)
    if writer.between(0, 1):
        return writer.node("Reciprocal", more)
    return writer.node("Div", one, more)


def mish(writer: Writer, x: str) -> str:
    """Add a Mish, spelled out."""
    return writer.node("Mul", x, writer.node("Tanh", writer.node("Softplus", x)))


SPELLINGS: Sequence[Callable[[Writer, str], str]] = (
    plain,
    shaped,
    swish,
    gelu,
    by_exponential,
    mish,
)
"""All of them."""
