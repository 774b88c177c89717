"""A form is offered where its proof holds, up to the last integer, and is exact there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the gpu engine needs torch")

from targets.torch_counts.arithmetic import exact_arithmetic  # noqa: E402
from targets.torch_counts.device import to_device  # noqa: E402
from targets.torch_counts.forms import exact_forms  # noqa: E402
from targets.torch_counts.reach import Reach, reach_of  # noqa: E402
from targets.torch_counts.unrolled import patch_rows  # noqa: E402
from toolchain._random_networks import Writer  # noqa: E402
from toolchain.ir.ann import Conv, Dense, Encoding, Input, Output  # noqa: E402
from toolchain.ir.counts import count  # noqa: E402
from toolchain.ir.graph import Graph  # noqa: E402

LAYER = Dense(name="d", weight=np.ones((1, 2), np.int64))
SMALL = Reach(
    low=0, high=15, weight_low=-127, weight_high=127, partial_sum=1000, absolute_sum=1000
)


def names(reach, layer=LAYER, device="cuda"):
    return [form.name for form in exact_forms(layer, reach, torch.device(device))]


def test_small_integers_have_all_forms_from_narrow_to_wide():
    assert names(SMALL) == ["int8", "float16", "tf32", "float32", "float64"]


def test_the_cpu_has_no_tensor_cores():
    assert names(SMALL, device="cpu") == ["int8", "float32", "float64"]


@pytest.mark.parametrize(
    ("form", "last", "first"),
    [
        ("int8", {"weight_high": 127}, {"weight_high": 128}),
        ("int8", {"weight_low": -128}, {"weight_low": -129}),
        ("int8", {"high": 255}, {"high": 256}),
        ("int8", {"low": -240}, {"low": -241}),
        ("int8", {"absolute_sum": 2**23 - 1}, {"absolute_sum": 2**23}),
        ("float16", {"high": 2048}, {"high": 2049}),
        ("float16", {"low": -2048}, {"low": -2049}),
        ("tf32", {"weight_low": -2048}, {"weight_low": -2049}),
        ("tf32", {"weight_high": 2048}, {"weight_high": 2049}),
        ("float16", {"partial_sum": 2**24 - 1}, {"partial_sum": 2**24}),
        ("tf32", {"partial_sum": 2**24 - 1}, {"partial_sum": 2**24}),
        ("float32", {"partial_sum": 2**24 - 1}, {"partial_sum": 2**24}),
        ("float64", {"partial_sum": 2**53 - 1}, {"partial_sum": 2**53}),
    ],
)
def test_a_form_ends_where_its_proof_ends(form, last, first):
    assert form in names(dataclasses.replace(SMALL, **last))
    assert form not in names(dataclasses.replace(SMALL, **first))


@pytest.mark.parametrize(
    "layer",
    [
        Conv(name="groups", weight=np.ones((4, 2, 1, 1), np.int64), groups=2),
        Conv(name="one term", weight=np.ones((4, 1, 1, 1), np.int64)),
        Dense(name="one input", weight=np.ones((4, 1), np.int64)),
    ],
    ids=lambda layer: layer.name,
)
def test_what_is_no_matrix_product_is_not_unrolled(layer):
    assert names(SMALL, layer) == ["tf32", "float32", "float64"]


def test_a_partial_sum_is_bounded_over_all_orders_of_the_terms():
    layer = Dense(name="d", inputs=("x",), weight=np.array([[100, -100, 7]]))
    graph = network(layer, (3,), Encoding(1.0, -3, 5))

    reach = reach_of(graph, layer)

    assert (reach.low, reach.high) == (-3, 5)
    assert reach.partial_sum == 107 * 5 + 100 * 3
    assert reach.absolute_sum == 207


@pytest.fixture
def half_products(monkeypatch):
    """Give the CPU what torch has for GPUs only: half-precision products, summed in float32."""

    def mm(a, b, *, out_dtype):
        assert a.dtype == b.dtype == torch.float16
        return a.to(out_dtype) @ b.to(out_dtype)

    if not torch.cuda.is_available():
        monkeypatch.setattr(torch, "mm", mm)


@pytest.mark.usefixtures("half_products")
@given(random=st.randoms(), low=st.sampled_from([0, -15, -127, -200]))
def test_every_form_gives_the_sums_of_the_reference(device, random, low):
    graph, layer = random_layer(random, low, high=low + 255 if low else 255)
    reach = reach_of(graph, layer)
    shape = graph.shapes["x"]
    x = np.random.default_rng(0).integers(reach.low, reach.high + 1, (3, *shape))
    x[0], x[1] = reach.high, reach.low

    for form in exact_forms(layer, reach, torch.device("cuda")):
        with exact_arithmetic():
            sums = form.build(layer, reach, graph.shapes["layer"], device)(to_device(x, device))
        np.testing.assert_array_equal(sums.cpu(), count(layer, x.astype(float)))


def test_terms_of_an_output_are_neighbours_in_memory(device):
    """Every other column of one row would be a view, which products of integers do not take."""
    layer = Conv(name="c", weight=np.ones((2, 1, 1, 2), np.int64), dilation=(1, 2))

    rows = patch_rows(layer, torch.arange(3, device=device).reshape(1, 1, 1, 3))

    assert (rows.tolist(), rows.stride()) == ([[0, 2]], (2, 1))


def test_settings_of_torch_come_back():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.deterministic)

    with exact_arithmetic():
        inside = (cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.deterministic)

    assert inside == ("ieee", "ieee", True)
    assert (cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.deterministic) == before
    assert torch.is_grad_enabled()


def random_layer(random, low, high):
    """Return a convolution of any geometry, or a dense layer, that reads encoded samples."""
    writer = Writer(random, is_whole=True)
    writer.shape = (random.choice((1, 2, 3, 4)), 5, 6)
    shape = writer.shape
    if random.random() < 0.3:
        writer.shape = shape = (7,)
        layer = Dense(name="layer", weight=writer.numbers.integers(-128, 128, (4, 7)))
    else:
        writer.add_convolution()
        drawn = writer.nodes[-1]
        weight = writer.numbers.integers(-128, 128, drawn.weight.shape)
        layer = dataclasses.replace(
            drawn, name="layer", weight=weight, bias=np.zeros((), np.int64)
        )
    layer = dataclasses.replace(layer, inputs=("x",))
    return network(layer, shape, Encoding(1.0, low, high)), layer


def network(layer, shape, encoding):
    entry = Input(name="x", shape=shape, source_shape=shape, encoding=encoding)
    body = Graph("one", (entry, layer))
    out = body.shapes[layer.name]
    return body.with_nodes((*body, Output(name="y", inputs=(layer.name,), shape=out)))
