"""Smooth activations: several pieces of neurons inside the network, the host's at its end.

Importers say what a node computes as a curve of its input. Where that is a curve of something
else they say it as a curve of that, so that activations spelled as several nodes become one.
"""

from __future__ import annotations

from toolchain.ir.curve import (
    X,
    celu,
    elu,
    gelu,
    gelu_by_tanh,
    hard_swish,
    mish,
    swish,
)
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._curves import curved

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


@IMPORTERS.register("Sigmoid")
@versions(6, 13)
def import_sigmoid(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces; the host computes it at the end."""
    return _elementary(call, "sigmoid")


@IMPORTERS.register("Tanh")
@versions(6, 13)
def import_tanh(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces; the host computes it at the end."""
    return _elementary(call, "tanh")


@IMPORTERS.register("Softplus")
@versions(1, 22)
def import_softplus(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces; the host computes it at the end."""
    return _elementary(call, "softplus")


@IMPORTERS.register("Softsign")
@versions(1, 22)
def import_softsign(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces; the host computes it at the end."""
    return _elementary(call, "softsign")


@IMPORTERS.register("Erf")
@versions(9, 13)
def import_erf(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces; the host computes it at the end."""
    return _elementary(call, "erf")


@IMPORTERS.register("Exp")
@versions(6, 13)
def import_exp(call: Call) -> Value:
    """Becomes part of an activation that is spelled with it.

    - What is spelled becomes a line on both sides, as `1 / (1 + Exp(-x))` does.
    """
    return curved(call, call.value(), X.then("exp"))


@IMPORTERS.register("Log")
@versions(6, 13)
def import_log(call: Call) -> Value:
    """Becomes part of an activation that is spelled with it.

    - What is spelled becomes a line on both sides, as `Log(1 + Exp(x))` does.
    """
    return curved(call, call.value(), X.then("log"))


@IMPORTERS.register("Reciprocal")
@versions(6, 13)
def import_reciprocal(call: Call) -> Value:
    """Becomes part of an activation that is spelled with it.

    - What is spelled becomes a line on both sides, as `Reciprocal(1 + Exp(-x))` does.
    """
    return curved(call, call.value(), X.then("reciprocal"))


@IMPORTERS.register("Pow")
@versions(7, 12, 13, 15)
def import_pow(call: Call) -> Value:
    """Becomes part of an activation that is spelled with it.

    - The exponent is one constant.
    - What is spelled becomes a line on both sides, as GELU with a cube in a tangent does.
    """
    return curved(call, call.value(), X.then("power", call.scalar(1)))


@IMPORTERS.register("Gelu")
@versions(20)
def import_gelu(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces.

    - `approximate` is `none` or `tanh`.
    """
    kind = call.text("approximate", "none")
    call.require(
        kind in ("none", "tanh"), f"has approximate={kind!r}; 'none' or 'tanh' is known"
    )
    return curved(call, call.value(), gelu_by_tanh() if kind == "tanh" else gelu())


@IMPORTERS.register("Swish")
@versions(24)
def import_swish(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces."""
    return curved(call, call.value(), swish(call.number("alpha", 1.0)))


@IMPORTERS.register("HardSwish")
@versions(14, 22)
def import_hard_swish(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces."""
    return curved(call, call.value(), hard_swish())


@IMPORTERS.register("Mish")
@versions(18, 22)
def import_mish(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces."""
    return curved(call, call.value(), mish())


@IMPORTERS.register("Elu")
@versions(6, 22)
def import_elu(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces."""
    return curved(call, call.value(), elu(call.number("alpha", 1.0)))


@IMPORTERS.register("Selu")
@versions(6, 22)
def import_selu(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces."""
    alpha, gamma = call.number("alpha", _SELU_ALPHA), call.number("gamma", _SELU_GAMMA)
    return curved(call, call.value(), elu(alpha).scaled(gamma))


@IMPORTERS.register("Celu")
@versions(12, 28)
def import_celu(call: Call) -> Value:
    """Becomes neurons for each of several straight pieces.

    - `alpha` is not 0.
    """
    alpha = call.number("alpha", 1.0)
    call.require(alpha != 0, "has alpha=0, by which it divides")
    return curved(call, call.value(), celu(alpha))


def _elementary(call: Call, name: str) -> Value:
    value = call.host_value()
    if call.is_at_end or call.builder.on_host(value) is not None:
        return call.on_host(value, name)
    return curved(call, call.value(), X.then(name))
