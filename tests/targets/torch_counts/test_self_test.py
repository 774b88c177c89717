"""What is not exact on a device is found before it is used."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the gpu engine needs torch")

from targets.torch_counts import self_test  # noqa: E402
from targets.torch_counts.arithmetic import exact_arithmetic  # noqa: E402
from targets.torch_counts.forms import FORMS, Form  # noqa: E402
from targets.torch_counts.near_ties import VECTORS, currents_at_ties, layer_inputs  # noqa: E402
from targets.torch_counts.neurons import Population  # noqa: E402
from targets.torch_counts.self_test import fastest_exact, require_exact  # noqa: E402
from toolchain.errors import MissingDependencyError  # noqa: E402
from toolchain.ir.ann import Conv, Encoding, Input  # noqa: E402
from toolchain.ir.graph import Graph  # noqa: E402
from toolchain.ir.snn import MultiThreshold  # noqa: E402
from toolchain.ir.windows import run_windows  # noqa: E402

RANDOM = np.random.default_rng(1)
LAYER = Conv(
    name="conv",
    inputs=("x",),
    weight=RANDOM.integers(-127, 128, (6, 4, 3, 3)),
    bias=RANDOM.integers(-2000, 2000, (6, 1, 1)),
    padding=((1, 1), (1, 1)),
)
NEURONS = MultiThreshold(
    name="n",
    inputs=("conv",),
    levels=15,
    threshold=RANDOM.integers(1000, 9000, (6, 1, 1)),
    initial=np.asarray(500),
    windows=3,
    lateral=np.tril(RANDOM.integers(-900, 900, (2, 3, 3)), -1).transpose(1, 2, 0),
)
ENTRY = Input(name="x", shape=(4, 6, 5), source_shape=(4, 6, 5), encoding=Encoding(1.0, 0, 15))
GRAPH = Graph("net", (ENTRY, LAYER, NEURONS))
BY_NAME = {form.name: form for form in FORMS}


def altered(name, change):
    """Return a form like the float32 one, with its sums changed."""

    def build(*arguments):
        sums = BY_NAME["float32"].build(*arguments)
        return lambda x: change(sums(x))

    return Form(name, lambda layer, reach: True, build)


def refuse(_):
    raise RuntimeError("not implemented for this type")


@pytest.mark.parametrize(
    "change",
    [
        lambda sums: sums.to(torch.float16).to(torch.float32),
        lambda sums: sums + 0.001,
        lambda sums: sums * torch.nan,
        refuse,
    ],
    ids=["rounded", "fractions", "nan", "refused"],
)
def test_a_form_that_is_inexact_here_is_left_out(change, device, monkeypatch):
    forms = (altered("fast", change), BY_NAME["float64"])
    monkeypatch.setattr(self_test, "exact_forms", lambda *_: forms)

    with exact_arithmetic():
        form, _ = fastest_exact(GRAPH, LAYER, 5, device)

    assert form.name == "float64"


def test_of_exact_forms_the_fastest_is_taken(device, monkeypatch):
    slow, fast = (altered(name, lambda sums: sums) for name in ("slow", "fast"))
    monkeypatch.setattr(self_test, "exact_forms", lambda *_: (slow, fast, BY_NAME["float64"]))
    seconds = iter([2.0, 1.0])
    monkeypatch.setattr(self_test, "_seconds", lambda *_: next(seconds))

    form, _ = fastest_exact(GRAPH, LAYER, 4, device)

    assert form is fast


def test_a_device_without_an_exact_form_is_refused(device, monkeypatch):
    monkeypatch.setattr(self_test, "exact_forms", lambda *_: (altered("only", refuse),))

    with pytest.raises(MissingDependencyError) as error:
        fastest_exact(GRAPH, LAYER, 4, device)

    assert str(error.value) == (
        f"environment at 'conv': torch {torch.__version__} computes no exact sums on {device}\n"
        "  hint: use engine 'count', and report the device"
    )


def test_neurons_are_tested_next_to_every_threshold(device):
    population = Population(GRAPH, NEURONS, device)

    with exact_arithmetic():
        require_exact(GRAPH, NEURONS, population, device)


@pytest.mark.parametrize("change", [1, -1])
def test_a_threshold_that_is_missed_by_one_is_found(change, device):
    population = Population(GRAPH, NEURONS, device)

    with pytest.raises(MissingDependencyError) as error:
        require_exact(GRAPH, NEURONS, lambda sums: population(sums + change), device)

    assert error.value.node == "n"


def test_potentials_are_at_a_multiple_of_the_threshold_or_one_below():
    above = []

    def fire(m, threshold):
        above.append(m % threshold)
        n = np.clip(m // threshold, 0, NEURONS.levels)
        return n, n

    counts = run_windows(NEURONS, currents_at_ties(GRAPH, NEURONS), fire)

    rest = np.concatenate(above, axis=1)
    assert (rest[1::2] == 0).all()
    assert (rest[::2] == NEURONS.threshold - 1).all()
    assert set(np.unique(counts)) == set(range(NEURONS.levels + 1))


def test_inputs_drive_an_output_to_its_extremes():
    inputs = layer_inputs(GRAPH, LAYER)

    assert inputs.shape == (VECTORS, 4, 6, 5)
    assert (inputs[0] == 15).all()
    assert (inputs[1] + inputs[2] == 15).all()
    assert (inputs.min(), inputs.max()) == (0, 15)
