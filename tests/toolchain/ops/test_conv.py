"""Conv becomes a convolution that computes the same, however its windows are described."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Conv, Rearrange


def layer(size, attributes, weight, *, bias=True, opset=17):
    axes = ", ".join(["N", str(size[0]), *map(str, size[1:])])
    unknown = ", ".join("NABCD"[: len(size) + 1])
    inputs = "x, w, b" if bias else "x, w"
    weights = {"w": weight} | ({"b": small_integers(len(weight), seed=1)} if bias else {})
    return import_text(
        f"net (float[{axes}] x) => (float[{unknown}] y) "
        f"{{ [conv] y = Conv {attributes and f'<{attributes}>'} ({inputs}) }}",
        opset=opset,
        **weights,
    )


@st.composite
def layers(draw):
    axes = draw(st.integers(1, 2))
    groups, per_group = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    kernel = draw(st.lists(st.integers(1, 4), min_size=axes, max_size=axes))
    strides = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    dilations = draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes))
    size = draw(st.lists(st.integers(3, 8), min_size=axes, max_size=axes))
    mode = draw(st.sampled_from(["pads", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    attributes = [f"group = {groups}", f"strides = {strides}"]
    if mode.startswith("SAME"):  # onnxruntime has no dilation here
        dilations = [1] * axes
        assume(all(k >= s for k, s in zip(kernel, strides, strict=True)))
    pads = [0] * (2 * axes)
    if mode == "pads":
        pads = draw(st.lists(st.integers(0, 3), min_size=2 * axes, max_size=2 * axes))
        attributes.append(f"pads = {pads}")
    else:
        attributes.append(f'auto_pad = "{mode}"')
    attributes.append(f"dilations = {dilations}")
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    room = [size[i] + pads[i] + pads[i + axes] for i in range(axes)]
    assume(mode.startswith("SAME") or all(r <= s for r, s in zip(reach, room, strict=True)))
    weight = small_integers(groups * draw(st.integers(1, 2)), per_group, *kernel)
    return (groups * per_group, *size), ", ".join(attributes), weight, draw(st.booleans())


@given(layers())
@settings(max_examples=60, deadline=None)
def test_any_windows_compute_the_same_as_in_onnxruntime(case):
    size, attributes, weight, bias = case

    model = layer(size, attributes, weight, bias=bias)

    check_against_onnxruntime(model, small_integers(2, *size, seed=2))


@pytest.mark.parametrize(
    ("mode", "padding"), [("SAME_UPPER", ((0, 1), (0, 1))), ("SAME_LOWER", ((1, 0), (1, 0)))]
)
def test_odd_padding_goes_below_and_right_or_above_and_left(mode, padding):
    model = layer(
        (1, 8, 8), f'auto_pad = "{mode}", strides = [2, 2]', small_integers(2, 1, 3, 3)
    )

    assert model.graph["conv"].padding == padding


def test_one_spatial_axis_is_horizontal_from_the_input_on():
    model = layer((2, 9), "strides = [2]", small_integers(3, 2, 3))

    conv = model.graph["conv"]
    assert conv.weight.shape == (3, 2, 1, 3)
    assert conv.stride == (1, 2)
    assert model.graph.input.shape == (2, 1, 9)
    assert model.graph.input.source_shape == (2, 9)
    assert model.graph.shapes["conv"] == (3, 1, 4)
    assert model.graph.shapes[model.graph.output.name] == (3, 4)
    assert not model.graph.of_type(Rearrange)


def test_weights_stay_as_they_are_in_the_file():
    weight = small_integers(3, 2, 3, 3)

    conv = layer((2, 5, 5), "", weight).graph.of_type(Conv)[0]

    assert conv.weight.dtype == np.float32
    np.testing.assert_array_equal(conv.weight, weight)
    assert conv.bias.shape == (3, 1, 1)


def test_half_precision_weights_become_single_precision():
    model = import_text(
        "net (float16[N, 1, 4, 4] x) => (float16[N, 2, 2, 2] y) { y = Conv (x, w) }",
        w=small_integers(2, 1, 3, 3).astype(np.float16),
    )

    assert model.graph.of_type(Conv)[0].weight.dtype == np.float32
    check_against_onnxruntime(model, small_integers(2, 1, 4, 4))


def test_three_spatial_axes_are_refused():
    with pytest.raises(UnsupportedOpError) as error:
        layer((1, 4, 4, 4), "", small_integers(1, 1, 2, 2, 2))

    assert str(error.value) == (
        "import at 'conv': Conv reads 3 spatial axes; 1 and 2 are supported\n"
        "  hint: volumes have no counterpart on the chip: fold one axis into the channels"
    )


def test_padding_that_no_machine_holds_is_refused():
    with pytest.raises(
        UnsupportedOpError, match=r"pads its input to \(1073741829, 5\)"
    ) as error:
        layer(
            (1, 5, 5),
            f"pads = [{2**30}, 0, 0, 0], strides = [{2**30}, 1]",
            small_integers(1, 1, 2, 2),
        )

    assert error.value.node == "conv"


def test_padding_said_twice_is_refused():
    with pytest.raises(UnsupportedOpError, match="both auto_pad=VALID and pads") as error:
        layer((1, 5, 5), 'auto_pad = "VALID", pads = [1, 1, 1, 1]', small_integers(1, 1, 2, 2))

    assert error.value.node == "conv"


def test_weights_that_do_not_fit_the_channels_are_refused_by_node_name():
    with pytest.raises(UnsupportedOpError, match="reads 3 channels") as error:
        layer((3, 5, 5), "", small_integers(1, 2, 2, 2))

    assert error.value.node == "conv"


def test_computed_weights_are_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[N, 1, 3, 3] x) => (float[N, C, H, W] y) { [c] y = Conv (w, x) }",
            w=small_integers(1, 1, 4, 4),
        )

    assert str(error.value) == (
        "import at 'c': Conv has a constant as X; it must be the value that depends on the "
        "network's input\n  hint: swap the operands when exporting"
    )


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_a_bias_for_another_number_of_channels_is_refused(operator):
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            f"net (float[N, 2, 4, 4] x) => (float[N, 2, 4, 4] y) {{"
            f"[op] y = {operator} (x, w, b) }}",
            w=small_integers(2, 2, 1, 1),
            b=small_integers(1),
        )

    assert error.value.node == "op"
    assert error.value.problem == (
        f"{operator} has a bias of shape (1,); one number for each of 2 channels is needed"
    )
