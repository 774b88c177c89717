"""Primitives know the shape of their output and refuse parameters that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.errors import VerifyError
from toolchain.ir.ann import (
    Affine,
    Conv,
    Dense,
    Encoding,
    HostOp,
    Input,
    MaxPool,
    Output,
    Rearrange,
    Relu,
    SumPool,
)


def ones(*shape):
    return np.ones(shape)


@pytest.mark.parametrize(
    ("node", "shape", "wanted"),
    [
        (Input(name="n", shape=(3, 2, 2), source_shape=(2, 2, 3)), None, (3, 2, 2)),
        (Dense(name="n", weight=ones(5, 4)), (4,), (5,)),
        (Conv(name="n", weight=ones(6, 1, 3, 2), groups=2), (2, 7, 6), (6, 5, 5)),
        (
            Conv(
                name="n",
                weight=ones(1, 1, 3, 3),
                stride=(2, 1),
                padding=((1, 0), (0, 2)),
                dilation=(1, 2),
            ),
            (1, 6, 6),
            (1, 3, 4),
        ),
        (SumPool(name="n", kernel=(2, 3), stride=(2, 1)), (4, 5, 5), (4, 2, 3)),
        (
            MaxPool(name="n", kernel=(2, 2), stride=(2, 2), padding=((1, 0), (1, 1))),
            (4, 5, 6),
            (4, 3, 4),
        ),
        (Affine(name="n", scale=ones(4, 1, 1), shift=ones(4, 2, 2)), (4, 2, 2), (4, 2, 2)),
        (Rearrange(name="n", shape=(8,)), (2, 2, 2), (8,)),
        (Rearrange(name="n", shape=(2, 3), order=np.arange(6)), (6,), (2, 3)),
        (Relu(name="n"), (3, 2, 2), (3, 2, 2)),
        (Output(name="n", shape=(6,)), (2, 3, 1), (6,)),
        (HostOp(name="n", function="softmax", axis=0), (5,), (5,)),
        (HostOp(name="n", function="argmax", axis=1), (5, 3), (5, 1)),
        (HostOp(name="n", function="argmax", axis=0, keep_axis=False), (5, 3), (3,)),
    ],
    ids=lambda value: value.kind if hasattr(value, "kind") else "",
)
def test_the_shape_of_the_output(node, shape, wanted):
    assert node.output_shape(*(() if shape is None else (shape,))) == wanted


def test_an_output_has_the_shape_that_its_tail_leaves():
    tail = (HostOp(name="best", function="argmax", axis=0, keep_axis=False),)

    assert Output(name="y", shape=(7,), tail=tail).output_shape((7,)) == ()


@pytest.mark.parametrize(
    ("node", "shape", "problem"),
    [
        (
            Dense(name="n", weight=ones(5, 4)),
            (3,),
            "reads (3,) and has weights for 4 inputs",
        ),
        (
            Dense(name="n", weight=ones(5, 4), bias=ones(4)),
            (4,),
            "bias has shape (4,), which does not fit (5,)",
        ),
        (
            Conv(name="n", weight=ones(2, 1, 1, 1)),
            (4,),
            "reads (4,); a convolution reads (C, H, W)",
        ),
        (
            Conv(name="n", weight=ones(3, 2, 1, 1), groups=2),
            (4, 3, 3),
            "reads 4 channels and has weights (3, 2, 1, 1) in 2 groups",
        ),
        (
            Conv(name="n", weight=ones(3, 1, 3, 3), dilation=(2, 2)),
            (1, 4, 5),
            "kernel (3, 3) is larger than its input (1, 4, 5)",
        ),
        (
            Conv(name="n", weight=ones(3, 1, 2, 2), bias=ones(3)),
            (1, 5, 5),
            "bias has shape (3,), which does not fit (3, 4, 4)",
        ),
        (
            MaxPool(name="n", kernel=(2, 2), stride=(1, 1)),
            (4,),
            "reads (4,); a pool reads (C, H, W)",
        ),
        (
            SumPool(name="n", kernel=(3, 1), stride=(1, 1)),
            (1, 2, 2),
            "window (3, 1) is larger than its input (1, 2, 2)",
        ),
        (
            Affine(name="n", scale=ones(2, 4)),
            (4,),
            "scale has shape (2, 4), which does not fit (4,)",
        ),
        (
            Affine(name="n", shift=ones(3)),
            (4,),
            "shift has shape (3,), which does not fit (4,)",
        ),
        (Rearrange(name="n", shape=(5,)), (2, 2), "makes (5,) of (2, 2)"),
        (Rearrange(name="n", shape=(4,), order=np.arange(3)), (2, 2), "makes (4,) of (2, 2)"),
        (
            Output(name="n", shape=(2,), offset=ones(3)),
            (2,),
            "offset has shape (3,), which does not fit (2,)",
        ),
    ],
    ids=lambda value: value.kind if hasattr(value, "kind") else "",
)
def test_what_does_not_fit_is_refused_by_name(node, shape, problem):
    with pytest.raises(VerifyError) as error:
        node.output_shape(shape)

    assert error.value.node == "n"
    assert error.value.problem == problem


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 255, 9), (0, 1, 2), (-127, 127, 8), (-128, 127, 8), (-129, 127, 9), (-1, 1, 2)],
)
def test_a_payload_is_as_wide_as_its_range_with_a_sign(low, high, bits):
    found = Encoding(1.0, low, high).message_bits

    assert found == bits
    assert -(2 ** (found - 1)) <= low <= high < 2 ** (found - 1)
