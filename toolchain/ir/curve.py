"""Functions of one variable, written as elementary ones of one another.

Exporters spell activations in many ways: GELU with an error function, with a hyperbolic tangent
and a cube, or by its name. A curve is what all of them compute, whatever they are called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]


def _sigmoid(x: Floats) -> Any:
    from scipy.special import expit  # slow to import, and most networks have no curve

    return expit(x)


def _erf(x: Floats) -> Any:
    from scipy.special import erf

    return erf(x)


def _softsign(x: Floats) -> Floats:
    return x / (1 + np.abs(x))


def _softplus(x: Floats) -> Floats:
    return np.logaddexp(0.0, x)


_ELEMENTARY: Mapping[str, Callable[..., Any]] = {
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "erf": _erf,
    "softplus": _softplus,
    "softsign": _softsign,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "sqrt": np.sqrt,
    "reciprocal": np.reciprocal,
    "clip": np.clip,
    "power": np.power,
}


@dataclass(frozen=True)
class Curve:
    """A function of one variable.

    Attributes:
        kind: ``x`` for the variable itself, ``line`` for ``scale * part + shift``, ``sum``,
            ``product``, or the name of an elementary function of its only part.
        parts: What it is a function of.
        numbers: Scale and shift of a line, limits of ``clip``, exponent of ``power``.
    """

    kind: str = "x"
    parts: tuple[Curve, ...] = ()
    numbers: tuple[float, ...] = ()

    def __call__(self, x: Floats) -> Floats:
        """Return its values; not finite where it has none."""
        with np.errstate(all="ignore"):
            return self._at(np.asarray(x, np.float64))

    def _at(self, x: Floats) -> Floats:
        if self.kind == "x":
            return x
        values = [part._at(x) for part in self.parts]
        if self.kind == "sum":
            return np.asarray(values[0] + values[1])
        if self.kind == "product":
            return np.asarray(values[0] * values[1])
        if self.kind == "line":
            scale, shift = self.numbers
            return np.asarray(scale * values[0] + shift)
        return np.asarray(_ELEMENTARY[self.kind](values[0], *self.numbers))

    def __str__(self) -> str:
        """Return it as a formula."""
        if self.kind == "x":
            return "x"
        if self.kind == "sum":
            return f"({self.parts[0]} + {self.parts[1]})"
        if self.kind == "product":
            return f"{self.parts[0]} * {self.parts[1]}"
        if self.kind == "line":
            return _line_text(str(self.parts[0]), *self.numbers)
        arguments = [str(self.parts[0]), *(f"{number:.4g}" for number in self.numbers)]
        return f"{self.kind}({', '.join(arguments)})"

    @functools.cached_property
    def size(self) -> int:
        """Number of functions that it is written with, the variable included."""
        return 1 + sum(part.size for part in self.parts)

    def of(self, inner: Curve) -> Curve:
        """Return this function of another: ``self(inner(x))``."""
        if self.kind == "x":
            return inner
        parts = tuple(part.of(inner) for part in self.parts)
        if len(parts) == 1:
            return parts[0].then(self.kind, *self.numbers)
        return Curve(self.kind, parts, self.numbers)

    def then(self, kind: str, *numbers: float) -> Curve:
        """Return an elementary function of this one.

        The logarithm of one more than an exponential is a softplus, which does not overflow.
        """
        is_one_more = self.kind == "line" and self.numbers == (1.0, 1.0)
        if kind == "log" and is_one_more and self.parts[0].kind == "exp":
            return self.parts[0].parts[0].then("softplus")
        return Curve(kind, (self,), numbers)

    def scaled(self, scale: float, shift: float = 0.0) -> Curve:
        """Return ``scale * self + shift``."""
        if self.kind == "line":
            inner_scale, inner_shift = self.numbers
            return self.parts[0].scaled(scale * inner_scale, scale * inner_shift + shift)
        return self if (scale, shift) == (1.0, 0.0) else self.then("line", scale, shift)

    def plus(self, other: Curve) -> Curve:
        """Return the sum of two."""
        return Curve("sum", (self, other))

    def times(self, other: Curve) -> Curve:
        """Return the product of two."""
        return Curve("product", (self, other))

    @property
    def is_elementary(self) -> bool:
        """Whether it is an elementary function of the variable itself, without parameters."""
        return self.parts == (X,) and self.kind in _ELEMENTARY and not self.numbers


def _line_text(part: str, scale: float, shift: float) -> str:
    scaled = part if scale == 1 else f"{scale:.4g} * {part}"
    return f"({scaled} {'+' if shift >= 0 else '-'} {abs(shift):.4g})" if shift else scaled


X = Curve()
"""The variable."""


def elu(alpha: float) -> Curve:
    """Return ``x`` where that is positive, else ``alpha * (exp(x) - 1)``."""
    positive = X.then("clip", 0.0, np.inf)
    negative = X.then("clip", -np.inf, 0.0)
    return positive.plus(negative.then("expm1").scaled(alpha))


def celu(alpha: float) -> Curve:
    """Return ``x`` where that is positive, else ``alpha * (exp(x / alpha) - 1)``."""
    return elu(1.0).of(X.scaled(1 / alpha)).scaled(alpha)


def swish(beta: float = 1.0) -> Curve:
    """Return ``x * sigmoid(beta * x)``."""
    return X.times(X.scaled(beta).then("sigmoid"))


def gelu() -> Curve:
    """Return ``x`` times the share of a normal distribution below ``x``."""
    return X.scaled(0.5).times(X.scaled(2**-0.5).then("erf").scaled(1.0, 1.0))


def gelu_by_tanh() -> Curve:
    """Return the approximation of `gelu` with a hyperbolic tangent."""
    inner = X.plus(X.then("power", 3.0).scaled(0.044715)).scaled(float(np.sqrt(2 / np.pi)))
    return X.scaled(0.5).times(inner.then("tanh").scaled(1.0, 1.0))


def mish() -> Curve:
    """Return ``x * tanh(softplus(x))``."""
    return X.times(X.then("softplus").then("tanh"))


def hard_swish() -> Curve:
    """Return ``x * clip(x / 6 + 1 / 2, 0, 1)``."""
    return X.times(X.scaled(1 / 6, 0.5).then("clip", 0.0, 1.0))
