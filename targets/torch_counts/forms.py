r"""The ways to compute a layer's sums, each with the condition under which they are exact.

=========  ===========  ==================  =================================================
form       factors      sums                computed as
=========  ===========  ==================  =================================================
`int8`     -128 to 127  below :math:`2^31`  matrix product of integers
`float16`  up to 2048   below :math:`2^24`  matrix product on tensor cores; GPU only
`tf32`     up to 2048   below :math:`2^24`  float32 convolution on tensor cores; GPU only
`float32`  any          below :math:`2^24`  float32 convolution
`float64`  any          below :math:`2^53`  float64 convolution
=========  ===========  ==================  =================================================

Inputs of another range than int8's are moved into it by a constant ``shift``::

    sum(w * x) = sum(w * (x - shift)) + shift * sum(w)

Bfloat16 would be exact for factors up to 256, and runs no faster than float16. Torch's
convolutions of half precision return half precision, which holds sums up to 2048 only; that is
why float16 takes the matrix product, whose sums can leave in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from targets.torch_counts._torch import functional, torch
from targets.torch_counts.arithmetic import tensor_float
from targets.torch_counts.reach import FLOAT16_BITS, FLOAT32_BITS, FLOAT64_BITS, Reach
from targets.torch_counts.unrolled import from_rows, patch_rows, weight_columns
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv
from toolchain.ir.node import Shape

Sums: TypeAlias = Callable[[Any], Any]
"""From inputs ``(batch, *shape)``, float32, to sums without bias, of the form's own type."""

_INT8_MIN, _INT8_MAX = -128, 127


@dataclass(frozen=True)
class Form:
    """A way to compute a layer's sums.

    Attributes:
        name: For the record.
        is_exact: Whether it computes the sums of a layer of a given reach exactly.
        build: Makes the function of a layer, given its reach, its output's shape and a device.
        needs_gpu: Whether torch has it for GPUs only.
    """

    name: str
    is_exact: Callable[[Layer, Reach], bool]
    build: Callable[[Layer, Reach, Shape, Any], Sums]
    needs_gpu: bool = False


def exact_forms(layer: Layer, reach: Reach, device: Any) -> tuple[Form, ...]:
    """Return the forms that are proved exact for a layer on a device, from narrow to wide."""
    return tuple(
        form
        for form in FORMS
        if form.is_exact(layer, reach) and (device.type == "cuda" or not form.needs_gpu)
    )


def _is_one_product(layer: Layer) -> bool:
    """Tell whether a layer is one matrix product; torch 2.13 errs in those of a single term."""
    is_grouped = isinstance(layer, Conv) and layer.groups > 1
    return not is_grouped and layer.weight[0].size > 1


def _fits_int8(layer: Layer, reach: Reach) -> bool:
    return (
        _is_one_product(layer)
        and reach.high - reach.low <= _INT8_MAX - _INT8_MIN
        and reach.weight_low >= _INT8_MIN
        and reach.weight_high <= _INT8_MAX
        and reach.absolute_sum * -2 * _INT8_MIN < 2**31
    )


def _fits_tensor_cores(layer: Layer, reach: Reach) -> bool:
    return reach.factor <= 2**FLOAT16_BITS and reach.partial_sum < 2**FLOAT32_BITS


def _int8(layer: Layer, reach: Reach, shape: Shape, device: Any) -> Sums:
    fits = reach.low >= _INT8_MIN and reach.high <= _INT8_MAX
    shift = 0 if fits else reach.low - _INT8_MIN
    weight = weight_columns(layer)
    moved = (shift * weight.sum(dim=0)).to(device, torch.int32)
    weight = weight.to(device, torch.int8)

    def sums(x: Any) -> Any:
        rows = patch_rows(layer, (x - shift if shift else x).to(torch.int8), -shift)
        products = torch._int_mm(rows, weight)
        return from_rows(products.add_(moved) if shift else products, shape)

    return sums


def _float16(layer: Layer, reach: Reach, shape: Shape, device: Any) -> Sums:
    weight = weight_columns(layer).to(device, torch.float16)

    def sums(x: Any) -> Any:
        rows = patch_rows(layer, x.to(torch.float16))
        return from_rows(torch.mm(rows, weight, out_dtype=torch.float32), shape)

    return sums


def _tf32(layer: Layer, reach: Reach, shape: Shape, device: Any) -> Sums:
    plain = _floating(layer, torch.float32, device)

    def sums(x: Any) -> Any:
        with tensor_float():
            return plain(x)

    return sums


def _floating(layer: Layer, dtype: Any, device: Any) -> Sums:
    weight = torch.from_numpy(layer.weight.astype(np.float64)).to(device, dtype)
    if not isinstance(layer, Conv):
        return lambda x: functional.linear(x.to(dtype), weight)
    weight = weight.contiguous(memory_format=torch.channels_last)
    (top, bottom), (left, right) = layer.padding
    is_even = top == bottom and left == right
    geometry = (layer.stride, (top, left) if is_even else 0, layer.dilation, layer.groups)

    def sums(x: Any) -> Any:
        padded = x if is_even else functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(padded.to(dtype), weight, None, *geometry)

    return sums


FORMS = (
    Form("int8", _fits_int8, _int8),
    Form(
        "float16",
        lambda layer, reach: _is_one_product(layer) and _fits_tensor_cores(layer, reach),
        _float16,
        needs_gpu=True,
    ),
    Form("tf32", _fits_tensor_cores, _tf32, needs_gpu=True),
    Form(
        "float32",
        lambda _, reach: max(reach.partial_sum, reach.factor) < 2**FLOAT32_BITS,
        lambda layer, reach, shape, device: _floating(layer, torch.float32, device),
    ),
    Form(
        "float64",
        lambda _, reach: max(reach.partial_sum, reach.factor) < 2**FLOAT64_BITS,
        lambda layer, reach, shape, device: _floating(layer, torch.float64, device),
    ),
)
"""From narrow to wide."""
