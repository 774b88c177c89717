"""What the stock netx reader and Lava's synapses make of a dense matrix in a file.

A netx file holds effective weights and no exponent. On loading, ``optimize_weight_bits`` shifts
the matrix up until it fills eight bits and takes the shift back with a negative exponent; then
Lava's ``Dense`` clips to eight bits and cuts the lowest bits off, by a sign mode that it infers
anew. Where the two disagree about the sign mode (a matrix without positive entries that has a
zero, for one) weights change. This module says by how much, so that a file is run as the stock
reader runs it and a file is written only if it comes back unchanged.

Source: ``optimize_weight_bits`` of ``lava.lib.dl.netx.utils`` 0.6.0; of lava-nc 0.10,
``lava.utils.weightutils`` and ``PyDenseModelBitAcc``. Written anew, from their behaviour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toolchain.errors import EmitError
from toolchain.ir.mapped import DenseSynapse, IntArray, SparseSynapse

WEIGHT_BITS = 8

WEIGHT_MAX = 127
"""What one spike or payload of 1 adds at most, in a layer with weights of both signs."""


@dataclass(frozen=True, eq=False)
class LoadedWeight:
    """A matrix as the stock synapse holds it: ``a = shift(mantissa @ s, exponent)``.

    Attributes:
        mantissa: ``(out, in)``, after clipping and truncation.
        exponent: Power of two that scales every sum; negative shifts down, rounding down.
        weight_bits: Width of a weight that the stock reader asks for; above 8 no chip has it.
    """

    mantissa: IntArray
    exponent: int
    weight_bits: int

    @property
    def effective(self) -> IntArray | None:
        """What one unit of input adds to each neuron; `None` if the shift down loses bits."""
        if self.exponent >= 0:
            return self.mantissa << self.exponent
        scale = 1 << -self.exponent
        return None if np.any(self.mantissa % scale) else self.mantissa // scale


class UnloadableWeightError(ValueError):
    """The stock reader stops with an exception at this matrix."""


def effective_weight(synapse: DenseSynapse | SparseSynapse) -> IntArray:
    """Return the whole numbers that a unit of input adds, exponent applied.

    Raises:
        EmitError: They are not whole.
    """
    if isinstance(synapse, SparseSynapse):
        mantissa: IntArray = synapse.weight.toarray()
    else:
        mantissa = synapse.weight
    loaded = LoadedWeight(mantissa.astype(np.int64), synapse.weight_exponent, WEIGHT_BITS)
    if loaded.effective is None:
        raise EmitError(
            f"weights of exponent {synapse.weight_exponent} are no whole numbers; a netx file "
            "holds whole numbers without exponent",
            node=synapse.name,
            hint="quantize with a weight exponent of 0 or above",
        )
    return loaded.effective


def load_together(*weights: IntArray) -> tuple[LoadedWeight, ...]:
    """Load the matrices of one layer, which share an exponent, as the stock reader does.

    Args:
        weights: ``(out, in)`` each, with equal ``out``, whole numbers as in the file.

    Raises:
        UnloadableWeightError: All entries of all of them are 0.
    """
    both = np.hstack(weights)
    if not both.any():
        raise UnloadableWeightError("all weights are 0")
    shifted, bits, exponent = _optimized(both)
    ends = np.cumsum([weight.shape[1] for weight in weights])[:-1]
    return tuple(
        LoadedWeight(_held(part, bits), exponent, bits) for part in np.split(shifted, ends, 1)
    )


def _optimized(weight: IntArray) -> tuple[IntArray, int, int]:
    """Return the shifted matrix, its number of weight bits and its exponent."""
    if weight.max() > 0 and (weight.min() < -256 or (weight.max() > 254 and weight.min() < 0)):
        weight = np.clip(weight, -256, 254)
    largest, smallest = int(weight.max()), int(weight.min())
    is_mixed = largest >= 0 > smallest
    if is_mixed:
        scale = min(127 / largest if largest > 0 else math.inf, -128 / smallest)
    elif largest < 0:
        scale = -256 / smallest
    else:
        scale = 255 / largest
    shift = math.floor(math.log2(scale)) + is_mixed
    spare_bits = _common_trailing_zeros(weight) - is_mixed
    # numpy's left shift by a negative amount gives 0
    shifted = weight << shift if shift >= 0 else np.zeros_like(weight)
    return shifted, WEIGHT_BITS - shift - spare_bits, -shift


def _common_trailing_zeros(weight: IntArray) -> int:
    """Return the largest n up to 8 for which every weight is a multiple of ``2**n``."""
    union = int(np.bitwise_or.reduce(np.abs(weight), axis=None)) | 1 << 8
    return (union & -union).bit_length() - 1


def _held(weight: IntArray, weight_bits: int) -> IntArray:
    """Clip to eight bits and cut off the bits below ``weight_bits``, by the inferred sign."""
    is_mixed = bool(weight.min() < 0 < weight.max())
    sign = -1 if weight.min() < 0 and not is_mixed else 1
    cut_bits = WEIGHT_BITS - weight_bits + is_mixed
    if cut_bits < 0:  # numpy's shift by a negative amount again
        return np.zeros_like(weight)
    lowest = -(1 << WEIGHT_BITS) if is_mixed else 0
    clipped = np.clip(sign * weight, lowest, (1 << WEIGHT_BITS) - 1)
    return sign * (clipped >> cut_bits << cut_bits)
