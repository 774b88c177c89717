"""Reports say where thresholds come from, and what it means that there are no samples."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from toolchain.ir.ann import Dense, Encoding, Relu
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import Staircase
from toolchain.testing import chain
from toolchain.tuning.origin import origin_of, without_effect, without_samples

DENSE = Dense(name="dense", weight=np.ones((2, 2)))
NEURONS = LmHt(name="neurons", levels=2, threshold=1.0, mixing=np.ones((1, 1)))
STAIRS = Staircase(name="stairs", low=0, high=3)


def network(*activations):
    graph = chain((2,), DENSE, *activations)
    entry = dataclasses.replace(graph.input, encoding=Encoding(1.0, 0, 3))
    return graph.swap(entry)


@pytest.mark.parametrize(
    ("activations", "origin", "said"),
    [
        ((Relu(name="relu"),), "", "thresholds are guesses"),
        (
            (STAIRS, dataclasses.replace(DENSE, name="d"), Relu(name="relu")),
            "",
            "thresholds are",
        ),
        ((NEURONS,), "trained", "the steps of the input are guesses"),
        ((STAIRS,), "quantized", "thresholds are the model's own"),
    ],
)
def test_thresholds_come_from_the_model_or_from_samples(activations, origin, said):
    graph = network(*activations)

    assert origin_of(graph) == origin
    assert said in without_samples(graph)


def test_a_model_that_does_not_quantize_its_input_is_calibrated():
    assert origin_of(chain((2,), DENSE, STAIRS)) == ""


def test_options_that_a_model_does_not_follow_are_named():
    default = {"levels": 15, "method": "mmse"}

    assert without_effect({"levels": None, "method": "mmse"}, default) == []
    assert without_effect({"levels": 7, "method": "mmse"}, default) == [
        "--levels 7 changes nothing: the model brings the levels and thresholds of its neurons"
    ]
