"""The training neuron computes the paper's equations, with the published gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import TrainingError, UnknownNameError

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.training.mixing import MODES, Mixing  # noqa: E402
from toolchain.training.neuron import MultiThreshold, default_threshold  # noqa: E402
from toolchain.training.testing import (  # noqa: E402
    multi_threshold_reference,
    published_neuron,
)


def neuron(levels, windows, *, threshold=1.0, mixing="full", initial=0.0, retention=1.0):
    made = MultiThreshold(
        levels,
        windows,
        threshold=threshold,
        mixing=mixing,
        initial=initial,
        retention=retention,
    )
    return made.double()


def eighths(random, *shape, high=40):
    """Return signed numbers that float64 adds and multiplies without rounding."""
    return random.integers(-high, high + 1, shape) / 8


def scramble(made, seed):
    """Move all that the neuron learns away from where it starts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += torch.randn(parameter.shape, generator=generator, dtype=torch.double)
    made.confine()
    return made


cases = st.fixed_dictionaries(
    {
        "levels": st.integers(1, 16),
        "windows": st.integers(1, 6),
        "mixing": st.sampled_from(MODES),
        "threshold": st.sampled_from([0.25, 0.5, 1.0, 0.3, 2.0]),
        "initial": st.sampled_from([0.0, 0.125, -1.0, 5.0]),
    }
)
seeds = st.integers(0, 2**31)


@given(case=cases, seed=seeds)
def test_spike_counts_are_those_of_the_equations_whatever_the_sign(case, seed):
    random = np.random.default_rng(seed)
    made = neuron(**case)
    matrix = random.integers(-8, 9, (case["windows"], case["windows"])) / 4
    made.mixing.forward = lambda: torch.as_tensor(matrix)
    with torch.no_grad():
        made.alpha.fill_(float(random.choice([0.0, -40.0])))
    x = eighths(random, case["windows"], 3, 5)

    counts = made.counts(made(torch.as_tensor(x)))

    want = multi_threshold_reference(
        x,
        matrix,
        levels=case["levels"],
        threshold=float(made.threshold),
        retention=made.retention.item(),
        initial=case["initial"],
    )
    np.testing.assert_array_equal(counts.detach().numpy(), want)


@given(case=cases, seed=seeds)
def test_outputs_and_gradients_are_those_of_the_published_equations(case, seed):
    random = np.random.default_rng(seed)
    made = scramble(neuron(**case), seed)
    x = torch.as_tensor(random.normal(size=(case["windows"], 4, 3)), dtype=torch.double)
    g = torch.as_tensor(random.normal(size=x.shape))
    x.requires_grad_()
    parameters = [x, *made.parameters()]

    y = made(x)
    got = torch.autograd.grad(y, parameters, g, allow_unused=True)

    want_y = published_neuron(
        x,
        made.mixing(),
        made.retention,
        threshold=float(made.threshold),
        levels=case["levels"],
        initial=case["initial"],
    )
    want = torch.autograd.grad(want_y, parameters, g, allow_unused=True)
    torch.testing.assert_close(y, want_y, rtol=0, atol=0)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_gradients_of_mixing_and_retention_follow_the_formulas():
    x = torch.tensor([[[0.75, 2.0, -1.0]], [[1.0, -0.25, 0.5]]], dtype=torch.double)
    made = neuron(2, 2, threshold=0.5, mixing="full", initial=0.25)
    mixing, retention = made.mixing().detach(), 1.0
    g = torch.tensor([[[1.0, 2.0, 3.0]], [[5.0, 7.0, 11.0]]], dtype=torch.double)

    made(x).backward(g)

    d, v, of_retention = torch.zeros_like(x), torch.full((1, 3), 0.25, dtype=torch.double), 0.0
    for t in range(2):
        m = retention * v + mixing[t, 0] * x[0] + mixing[t, 1] * x[1]
        d[t] = g[t] * ((m >= 0.25) & (m <= 1.25))
        of_retention += (d[t] * v).sum()
        v = m - 0.5 * torch.clamp(torch.floor(m / 0.5), 0, 2)
    of_mixing = torch.stack(
        [torch.stack([(d[i] * x[j]).sum() for j in (0, 1)]) for i in (0, 1)]
    )
    # dmixing/dmask = 2/T * 1/4 and dretention/dalpha = 1/4 at the start
    torch.testing.assert_close(made.mixing.mask.grad, of_mixing / 4)
    torch.testing.assert_close(made.alpha.grad, of_retention / 4)
    assert of_mixing.abs().min() > 0
    assert of_retention != 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_the_ramp_let_gradients_pass(dtype):
    made = MultiThreshold(3, 1, threshold=0.5, mixing="uniform").to(dtype)
    inside = torch.tensor([[[0.25, 0.3, 1.75]]], dtype=dtype)
    outside = torch.nextafter(inside[..., [0, 2]], torch.tensor([[[0.0, 2.0]]], dtype=dtype))
    x = torch.cat([inside, outside], dim=2).requires_grad_()

    made(x).sum().backward()

    assert x.grad.tolist() == [[[1.0, 1.0, 1.0, 0.0, 0.0]]]


@given(levels=st.integers(1, 8), windows=st.integers(1, 5), seed=seeds)
def test_uniform_mixing_without_leak_is_a_qcfs_of_all_levels_together(levels, windows, seed):
    random = np.random.default_rng(seed)
    made = neuron(levels, windows, threshold=0.5, mixing="uniform", initial=0.25)
    made.mixing.divisor.fill_(1)  # whole sums instead of means, which thirds would round
    x = eighths(random, windows, 200)

    total = made.counts(made(torch.as_tensor(x))).sum(dim=0)

    want = np.clip(np.floor((0.25 + windows * x.sum(axis=0)) / 0.5), 0, levels * windows)
    np.testing.assert_array_equal(total.numpy(), want)


def test_one_level_and_no_mixing_is_the_integrate_and_fire_neuron():
    random = np.random.default_rng(0)
    made = neuron(1, 6, threshold=1.0, mixing="diagonal")
    x = eighths(random, 6, 100, high=16)

    counts = made.counts(made(torch.as_tensor(x))).detach().numpy()

    v, want = np.zeros(100), []
    for a in x:
        v = v + a
        s = v >= 1.0
        v = v - s
        want.append(s)
    np.testing.assert_array_equal(counts, np.stack(want))


@pytest.mark.parametrize("shape", [(5,), (2, 4, 3), (7, 5)], ids=["dense", "conv", "token"])
def test_any_shape_of_a_layer_keeps_its_axes(shape):
    made = neuron(2, 3)
    x = torch.randn(3, 4, *shape, dtype=torch.double)

    y = made(x)

    assert y.shape == (3, 4, *shape)
    flat = made(x.reshape(3, -1)[:, None])
    torch.testing.assert_close(y.reshape(3, -1), flat[:, 0], rtol=0, atol=0)


def test_an_input_of_one_window_is_the_same_in_every_window():
    made = scramble(neuron(3, 4, threshold=0.5), 1)
    x = torch.randn(1, 2, 6, dtype=torch.double)

    once, repeated = made(x), made(x.expand(4, 2, 6))

    torch.testing.assert_close(once, repeated)


def test_mixing_starts_where_each_mode_says():
    np.testing.assert_array_equal(Mixing("full", 4)().detach(), np.full((4, 4), 0.25))
    np.testing.assert_array_equal(Mixing("uniform", 4)(), np.full((4, 4), 0.25))
    np.testing.assert_array_equal(Mixing("diagonal", 3)().detach(), np.eye(3))
    np.testing.assert_allclose(
        Mixing("lower", 3)().detach(), [[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3] * 3], rtol=1e-6
    )


@pytest.mark.parametrize("mode", ["lower", "diagonal"])
def test_a_causal_mode_never_reads_a_later_window(mode):
    made = scramble(neuron(2, 4, mixing=mode), 2)

    matrix = made.mixing().detach().numpy()

    assert not np.triu(matrix, 1).any()


def test_a_matrix_can_be_given():
    made = Mixing("lower", 2)
    matrix = np.array([[1.5, 0], [0.25, 0.75]])

    made.assign(matrix)

    np.testing.assert_allclose(made().detach(), matrix, rtol=1e-6)


@pytest.mark.parametrize(
    ("mode", "matrix", "problem"),
    [
        ("full", np.ones((2, 3)), "shape (2, 3)"),
        ("full", np.full((2, 2), np.nan), "not finite"),
        ("full", np.full((2, 2), 1.5), "cannot hold"),
        ("lower", np.full((2, 2), 0.5), "cannot hold"),
        ("uniform", np.full((2, 2), 0.25), "cannot hold"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(mode, matrix, problem):
    with pytest.raises(TrainingError) as error:
        Mixing(mode, 2).assign(matrix)

    assert problem in error.value.problem


def test_retention_stays_where_a_register_can_hold_it():
    made = neuron(2, 2)
    with torch.no_grad():
        made.alpha.fill_(3.0)

    assert made.retention.item() == 1.0
    made.confine()
    assert made.alpha.item() == 0.0
    with torch.no_grad():
        made.alpha.fill_(-50.0)
    assert made.retention.item() == 0.5


def test_retention_at_its_end_can_still_be_learned_downwards():
    made = neuron(2, 2, mixing="diagonal", threshold=1.0)
    x = torch.tensor([[[0.75]], [[0.75]]], dtype=torch.double)

    made(x).sum().backward()

    assert float(made.alpha.grad) == pytest.approx(0.75 / 4)


@pytest.mark.parametrize("retention", [0.5, 0.75, 1.0])
def test_retention_starts_as_given(retention):
    assert MultiThreshold(2, 2, retention=retention).retention.item() == pytest.approx(
        retention
    )


def test_the_default_threshold_is_the_published_one():
    assert [default_threshold(levels) for levels in (1, 2, 4)] == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"levels": 0, "windows": 2}, "levels is 0; it must be 1 or more"),
        ({"levels": 2, "windows": 0}, "windows is 0; it must be 1 or more"),
        (
            {"levels": 2, "windows": 2, "threshold": 0.0},
            "threshold is 0.0; it must be above 0 and finite",
        ),
        (
            {"levels": 2, "windows": 2, "retention": 1.25},
            "retention is 1.25; it must be 0.5 to 1.0",
        ),
        (
            {"levels": 2, "windows": 2, "retention": 0.25},
            "retention is 0.25; it must be 0.5 to 1.0",
        ),
        (
            {"levels": 2, "windows": 2, "initial": float("nan")},
            "initial is nan; it must be finite",
        ),
    ],
)
def test_a_parameter_out_of_range_is_refused(options, problem):
    with pytest.raises(TrainingError) as error:
        MultiThreshold(**options)

    assert error.value.problem == problem


def test_an_unknown_mode_names_those_there_are():
    with pytest.raises(UnknownNameError) as error:
        MultiThreshold(2, 2, mixing="upper")

    assert error.value.problem == (
        "there is no mixing mode 'upper'; there are full, lower, diagonal, uniform"
    )


def test_a_wrong_number_of_windows_is_refused():
    with pytest.raises(TrainingError) as error:
        MultiThreshold(2, 3)(torch.zeros(2, 4, 5))

    assert error.value.problem == ("reads (2, 4, 5); the first axis must be 3 windows, or 1")
