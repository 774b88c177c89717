"""The reference computes what the primitives' docstrings say, one number at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from toolchain.ir.node import Node
from toolchain.ir.reference import (
    Train,
    compute,
    decode,
    encode,
    evaluate,
    run,
    spike_counts,
)
from toolchain.ir.snn import IntegrateFire
from toolchain.testing import chain, random_network, random_samples

NUMBERS = np.random.default_rng(0)
IMAGES = NUMBERS.normal(size=(2, 3, 5, 4))
WINDOW = {"kernel": (2, 3), "stride": (2, 1), "padding": ((1, 0), (0, 1))}


def test_an_input_is_read_in_its_order():
    order = NUMBERS.permutation(6)
    x = np.arange(12.0).reshape(2, 2, 3)

    y = encode(Input(name="x", shape=(3, 2, 1), source_shape=(2, 3), order=order), x)

    assert y.shape == (2, 3, 2, 1)
    np.testing.assert_array_equal(y.reshape(2, 6), x.reshape(2, 6)[:, order])


def test_an_encoded_input_is_rounded_and_clipped():
    node = Input(
        name="x", shape=(5,), source_shape=(5,), encoding=Encoding(scale=0.5, low=-2, high=3)
    )

    found = encode(node, np.array([[-9.0, -0.6, 0.2, 0.8, 9.0]]))

    np.testing.assert_array_equal(found, [[-2, -1, 0, 2, 3]])


def test_an_output_is_scaled_shifted_and_reordered():
    order = np.array([2, 0, 1])
    node = Output(
        name="y", shape=(3, 1), order=order, scale=np.array([1, 2, 3]), offset=np.array(10)
    )

    found = decode(node, np.array([[1.0, 1.0, 1.0]]))

    np.testing.assert_array_equal(found, [[[13], [11], [12]]])


LOGITS = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]])
POWERS = np.exp(LOGITS)


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        (HostOp(name="h", function="relu"), np.maximum(LOGITS, 0)),
        (HostOp(name="h", function="sigmoid"), POWERS / (1 + POWERS)),
        (HostOp(name="h", function="softmax", axis=0), POWERS / POWERS.sum(1, keepdims=True)),
        (
            HostOp(name="h", function="log-softmax", axis=0),
            np.log(POWERS / POWERS.sum(1, keepdims=True)),
        ),
        (HostOp(name="h", function="argmax", axis=0), [[0], [0]]),
        (HostOp(name="h", function="argmax", axis=0, keep_axis=False), [0, 0]),
    ],
    ids=lambda value: value.function if isinstance(value, HostOp) else "",
)
def test_the_host_does_what_it_is_told(step, wanted):
    found = decode(Output(name="y", shape=(3,), tail=(step,)), LOGITS)

    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    np.testing.assert_array_equal(compute(step, LOGITS), found)


def test_a_softmax_without_an_axis_is_over_everything():
    step = HostOp(name="h", function="softmax")

    found = compute(step, IMAGES)

    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), 1, rtol=1e-14)


def test_a_softmax_survives_large_numbers():
    found = compute(HostOp(name="h", function="softmax", axis=0), np.array([[1e4, 0.0]]))

    np.testing.assert_array_equal(found, [[1, 0]])


def test_a_dense_layer_is_a_matrix_product():
    weight, bias = NUMBERS.normal(size=(3, 4)), NUMBERS.normal(size=3)
    x = NUMBERS.normal(size=(2, 4))

    found = compute(Dense(name="d", weight=weight, bias=bias), x)

    np.testing.assert_allclose(found, [weight @ sample + bias for sample in x], atol=1e-14)


def test_a_convolution_is_a_sum_over_its_kernel():
    node = Conv(
        name="c",
        weight=NUMBERS.normal(size=(3, 1, 2, 2)),
        bias=NUMBERS.normal(size=(3, 1, 1)),
        stride=(2, 1),
        padding=((1, 0), (0, 1)),
        dilation=(1, 2),
        groups=3,
    )
    x = np.pad(IMAGES, ((0, 0), (0, 0), (1, 0), (0, 1)))

    found = compute(node, IMAGES)

    assert found.shape[1:] == node.output_shape(IMAGES.shape[1:])
    for c, i, j in np.ndindex(*found.shape[1:]):
        patch = x[:, c, 2 * i : 2 * i + 2, j : j + 3 : 2]
        wanted = (patch * node.weight[c, 0]).sum(axis=(1, 2)) + node.bias[c, 0, 0]
        np.testing.assert_allclose(found[:, c, i, j], wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "fill", "reduce"), [(SumPool, 0.0, np.sum), (MaxPool, -np.inf, np.max)]
)
def test_a_pool_reduces_windows(kind, fill, reduce):
    x = np.pad(IMAGES, ((0, 0), (0, 0), *WINDOW["padding"]), constant_values=fill)

    found = compute(kind(name="p", **WINDOW), IMAGES)

    for i, j in np.ndindex(*found.shape[2:]):
        wanted = reduce(x[:, :, 2 * i : 2 * i + 2, j : j + 3], axis=(2, 3))
        np.testing.assert_allclose(found[:, :, i, j], wanted, rtol=1e-14)


def test_padding_never_wins_a_max_pool():
    pool = MaxPool(name="p", kernel=(2, 2), stride=(1, 1), padding=((1, 1), (1, 1)))

    assert compute(pool, np.full((1, 1, 2, 2), -5.0)).max() == -5


def test_an_affine_scales_and_shifts():
    scale, shift = NUMBERS.normal(size=(3, 1, 1)), NUMBERS.normal(size=(3, 5, 4))

    found = compute(Affine(name="a", scale=scale, shift=shift), IMAGES)

    np.testing.assert_array_equal(found, IMAGES * scale + shift)


def test_a_rectifier_has_nothing_below_zero():
    np.testing.assert_array_equal(compute(Relu(name="r"), IMAGES), np.maximum(IMAGES, 0))


@pytest.mark.parametrize("order", [None, NUMBERS.permutation(60)])
def test_a_rearrangement_looks_up_its_input(order):
    node = Rearrange(name="r", shape=(4, 15), order=order)

    found = compute(node, IMAGES).reshape(2, -1)

    flat = IMAGES.reshape(2, -1)
    np.testing.assert_array_equal(found, flat if order is None else flat[:, order])


def test_a_train_is_rearranged_like_its_counts():
    spikes = NUMBERS.integers(0, 2, (3, 2, 4)).astype(bool)
    node = Rearrange(name="r", shape=(2, 2), order=np.array([3, 1, 0, 2]))

    found = compute(node, Train(spikes))

    np.testing.assert_array_equal(found.counts, compute(node, Train(spikes).counts))


def test_a_primitive_without_a_meaning_is_an_error():
    with pytest.raises(NotImplementedError, match="Node"):
        compute(Node(name="n"), np.zeros((1, 1)))


@given(st.randoms())
def test_a_run_is_the_last_of_all_values(random):
    graph = random_network(random)
    x = random_samples(graph, random, 2)

    values = evaluate(graph, x)

    assert list(values) == [node.name for node in graph]
    np.testing.assert_array_equal(run(graph, x), values["y"])


def test_spike_counts_are_those_of_the_neurons():
    graph = chain(
        (1,),
        Dense(name="d", weight=np.ones((1, 1))),
        IntegrateFire(name="n", levels=3),
        Dense(name="e", weight=np.full((1, 1), 2.0)),
    )

    counts = spike_counts(graph, np.array([[2.5]]))

    assert {name: count.item() for name, count in counts.items()} == {"n": 2}
    assert run(graph, np.array([[2.5]])).item() == 4
