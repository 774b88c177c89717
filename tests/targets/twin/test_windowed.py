"""Neurons that remember count in layers of bytes, in all the ways that these are written."""

from __future__ import annotations

import numpy as np
import pytest

from targets.twin.layout import lay_out
from targets.twin.self_test import failures, run_cases
from targets.twin.windowed import parts_of
from toolchain.ir.ann import Conv, Dense, Encoding, Input, MaxPool, Output, Rearrange
from toolchain.ir.counts import sweep
from toolchain.ir.graph import Graph
from toolchain.ir.snn import MultiThreshold
from toolchain.testing import samples_of

WINDOWS, CHANNELS, LEVELS = 3, 8, 4
PADDED = {"padding": ((1, 1), (1, 1))}


def network(low, high, *, looks_ahead=False):
    """Return a network with few inputs, a stride, maps of 2x2 and dense layers."""
    numbers = np.random.default_rng(0)
    age = np.subtract.outer(np.arange(WINDOWS), np.arange(WINDOWS))
    blocks = np.ones_like(age) if looks_ahead else age >= 0

    def weight(channels, *kernel, scale=127):
        drawn = numbers.integers(-scale, scale + 1, (WINDOWS * CHANNELS, channels, *kernel))
        if channels == WINDOWS * CHANNELS:
            kept = np.kron(blocks, np.ones((CHANNELS, CHANNELS), int))
            drawn *= kept.reshape(*kept.shape, *(1 for _ in kernel))
        return drawn

    def neurons(name, source, threshold, axes):
        thresholds = numbers.integers(threshold, 2 * threshold, WINDOWS * CHANNELS)
        first = thresholds.reshape(WINDOWS, 1, CHANNELS)
        kept = np.where(age > 0, 0.9 ** np.maximum(age, 0), 0)[:, :, None] * first
        return MultiThreshold(
            name=name,
            inputs=(source,),
            levels=LEVELS,
            threshold=thresholds.reshape(-1, *(1,) * axes),
            windows=WINDOWS,
            lateral=np.rint(kept).astype(np.int64),
        )

    wide = WINDOWS * CHANNELS
    return Graph(
        "windows",
        (
            Input(
                name="x",
                shape=(3, 8, 8),
                source_shape=(3, 8, 8),
                encoding=Encoding(1.0, low, high),
            ),
            Conv(name="first", inputs=("x",), weight=weight(3, 3, 3), **PADDED),
            neurons("few", "first", 3000, 2),
            Conv(
                name="second",
                inputs=("few",),
                weight=weight(wide, 3, 3),
                stride=(2, 2),
                **PADDED,
            ),
            neurons("strided", "second", 400, 2),
            MaxPool(name="pool", inputs=("strided",), kernel=(2, 2), stride=(2, 2)),
            Conv(name="third", inputs=("pool",), weight=weight(wide, 3, 3), **PADDED),
            neurons("small", "third", 150, 2),
            Rearrange(name="flat", inputs=("small",), shape=(4 * wide,)),
            Dense(name="fourth", inputs=("flat",), weight=weight(4 * wide)),
            neurons("dense", "fourth", 150, 0),
            Dense(name="last", inputs=("dense",), weight=weight(wide)[:5]),
            Output(name="y", inputs=("last",), shape=(5,), tensor="y"),
        ),
    )


@pytest.mark.parametrize("is_optimized", [True, False])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (-128, 127)])
@pytest.mark.parametrize("looks_ahead", [False, True])
def test_counts_are_those_of_the_plain_evaluation(
    run_network, low, high, looks_ahead, is_optimized
):
    graph = network(low, high, looks_ahead=looks_ahead)
    layout = lay_out(graph)
    x = np.random.default_rng(1).integers(low, high + 1, (6, 3, 8, 8))

    sums, counts = run_network(layout, x, is_optimized=is_optimized)

    wanted = {node.name: y for node, _, y in sweep(graph, samples_of(graph.input, x))}
    np.testing.assert_array_equal(sums, wanted["last"])
    for name, found in counts.items():
        assert found.max() == LEVELS, name
        np.testing.assert_array_equal(found, wanted[name], err_msg=name)
    assert not failures(layout, run_cases)


def test_each_layer_is_written_in_its_way():
    forms = lay_out(network(0, 255)).forms

    assert forms["few"].columns is not None
    assert all(part.start != (0, 0) for part in last_parts(forms["strided"])[1:4])
    assert [one.form.shape for one in forms["small"].windows] == [(CHANNELS, 2, 2)] * WINDOWS
    taken = {
        name: [one.taken is not None for one in form.windows] for name, form in forms.items()
    }
    assert taken == {
        "few": [False, True, True],
        "strided": [False, True, True],
        "small": [False, True, True],
        "dense": [False, False, False],
    }


def test_windows_that_do_not_look_ahead_save_the_blocks_of_zeros():
    causal, full = (
        lay_out(network(0, 255, looks_ahead=ahead)).forms["small"] for ahead in (False, True)
    )

    read = [[one.channels for one in form.windows] for form in (causal, full)]

    assert read == [[(CHANNELS,), (2 * CHANNELS,), (3 * CHANNELS,)], [(3 * CHANNELS,)] * 3]


def last_parts(form):
    return parts_of(form)[-1].joined.blocks[0].parts
