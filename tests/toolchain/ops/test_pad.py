"""Pad becomes padding of what follows, and says the same where nothing can take it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Rearrange, SumPool


def padded(pads, attributes="", opset=17, operands="x, pads", **weights):
    shape = [2 + pads[1] + pads[5], 4 + pads[2] + pads[6], 5 + pads[3] + pads[7]]
    return import_text(
        f"net (float[1, 2, 4, 5] x) => (float[B, {str(shape)[1:-1]}] y) "
        f"{{ [pad] y = Pad {attributes} ({operands}) }}",
        opset=opset,
        pads=np.array(pads),
        **weights,
    )


@given(st.lists(st.integers(0, 2), min_size=4, max_size=4), st.integers(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_convolution_takes_the_padding_before_it(sides, own):
    top, left, bottom, right = sides

    model = import_text(
        f"""net (float[N, 2, 4, 5] x) => (float[N, C, H, W] y) {{
            [pad] p = Pad (x, pads)
            [conv] y = Conv <pads = [{own}, {own}, {own}, {own}]> (p, k) }}""",
        pads=np.array([0, 0, top, left, 0, 0, bottom, right]),
        k=small_integers(3, 2, 2, 2),
    )

    assert not model.graph.of_type(SumPool)
    assert model.graph["conv"].padding == ((top + own, bottom + own), (left + own, right + own))
    check_against_onnxruntime(model, small_integers(2, 2, 4, 5))


@pytest.mark.parametrize(
    ("attributes", "opset"),
    [
        ("<pads = [0, 0, 1, 2, 0, 0, 0, 1]>", 7),
        ('<mode = "constant", value = 0.0, pads = [0, 0, 1, 2, 0, 0, 0, 1]>', 10),
    ],
)
def test_padding_in_attributes_is_that_of_old_versions(attributes, opset):
    pads = [0, 0, 1, 2, 0, 0, 0, 1]

    model = padded(pads, attributes, opset, operands="x")

    assert model.graph["pad"].padding == ((1, 0), (2, 1))
    check_against_onnxruntime(model, small_integers(2, 2, 4, 5))


def test_padding_of_named_axes_is_that_of_new_versions():
    model = import_text(
        """net (float[N, 2, 4, 5] x) => (float[N, 2, 5, 8] y) {
            [pad] y = Pad (x, pads, , axes) }""",
        opset=18,
        pads=np.array([2, 1, 1, 0]),
        axes=np.array([-1, 2]),
    )

    assert model.graph["pad"].padding == ((1, 0), (2, 1))
    check_against_onnxruntime(model, small_integers(2, 2, 4, 5))


def test_padding_with_channels_last_needs_no_rearrangement_between_layers():
    model = import_text(
        """net (float[N, 4, 5, 2] x) => (float[N, 3, 5, 5] y) {
            [pad] p = Pad (x, pads)  [turn] t = Transpose <perm = [0, 3, 1, 2]> (p)
            [conv] y = Conv (t, k) }""",
        pads=np.array([0, 1, 0, 0, 0, 1, 1, 0]),
        k=small_integers(3, 2, 2, 2),
    )

    assert not model.graph.of_type((Rearrange, SumPool))
    assert model.graph["conv"].padding == ((1, 1), (0, 1))
    assert model.graph["conv"].origin == ("pad", "turn", "conv")
    check_against_onnxruntime(model, small_integers(2, 4, 5, 2))


def test_padding_of_one_axis_works_in_one_dimension():
    model = import_text(
        """net (float[N, 2, 5] x) => (float[N, 3, 7] y) {
            p = Pad (x, pads)  [conv] y = Conv (p, k) }""",
        pads=np.array([0, 0, 1, 0, 0, 2]),
        k=small_integers(3, 2, 2),
    )

    assert model.graph["conv"].padding == ((0, 0), (1, 2))
    check_against_onnxruntime(model, small_integers(2, 2, 5))


def test_padding_of_one_axis_works_with_channels_last():
    model = import_text(
        """net (float[N, 5, 2] x) => (float[N, 3, 7] y) {
            p = Pad (x, pads)  t = Transpose <perm = [0, 2, 1]> (p)
            [conv] y = Conv (t, k) }""",
        pads=np.array([0, 1, 0, 0, 2, 0]),
        k=small_integers(3, 2, 2),
    )

    assert model.graph["conv"].padding == ((0, 0), (1, 2))
    assert not model.graph.of_type((Rearrange, SumPool))
    check_against_onnxruntime(model, small_integers(2, 5, 2))


def test_no_padding_is_nothing():
    model = padded([0] * 8)

    assert model.graph.input.origin == ("pad",)
    assert len(model.graph.nodes) == 2


@pytest.mark.parametrize("pads", [[0, 0, 1, 2, 0, 0, 3, 0], [0, 1, 0, 1, 0, 0, 0, 4]])
@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
def test_values_may_be_repeated_around_the_sample(mode, pads):
    pads[1] = 0 if mode == "reflect" else pads[1]  # of two channels

    model = padded(pads, f'<mode = "{mode}">', opset=19)

    check_against_onnxruntime(model, small_integers(2, 2, 4, 5))


@pytest.mark.parametrize("pads", [[0, 0, -1, 2, 0, 0, 0, -3], [0, -1, 0, 0, 0, 2, -2, -2]])
def test_negative_padding_cuts_off(pads):
    check_against_onnxruntime(padded(pads), small_integers(2, 2, 4, 5))


@pytest.mark.parametrize(
    ("pads", "attributes", "operands", "problem"),
    [
        ([0, 0, 1, 1, 0, 0, 1, 1], '<mode = "mirror">', "x, pads", "has mode=mirror; constant"),
        ([0, 0, 4, 1, 0, 0, 1, 1], '<mode = "reflect">', "x, pads", "that reach over"),
        ([0, 0, -1, 1, 0, 0, 1, 1], '<mode = "edge">', "x, pads", "has negative pads"),
        ([1, 0, 1, 1, 0, 0, 1, 1], '<mode = "edge">', "x, pads", "pads the batch axis"),
        ([0, 0, 1, 1, 0, 0, 1, 1], "", "x, pads, two", "adds 2; only 0 is supported"),
        ([0, 1, 1, 1, 0, 0, 0, 0], "", "x, pads", r"pads axes \[1, 2, 3\] of 4; spatial"),
        ([1, 0, 0, 0, 0, 0, 0, 0], "", "x, pads", r"pads axes \[0\] of 4; spatial"),
    ],
)
def test_other_padding_is_refused(pads, attributes, operands, problem):
    with pytest.raises(UnsupportedOpError, match=problem) as error:
        padded(pads, attributes, operands=operands, two=np.array(2, np.float32))

    assert error.value.node == "pad"
