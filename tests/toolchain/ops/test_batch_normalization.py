"""BatchNormalization becomes a scale and a shift per channel, from given statistics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Affine


def parameters(channels):
    draw = np.random.default_rng(channels).normal
    return {
        "g": draw(size=channels).astype(np.float32),
        "b": draw(size=channels).astype(np.float32),
        "m": draw(size=channels).astype(np.float32),
        "v": draw(size=channels).astype(np.float32) ** 2,
    }


def normalized(shape, *, attributes="epsilon = 0.001", opset=17, **changed):
    axes = ", ".join(map(str, shape))
    return import_text(
        f"net (float[N, {axes}] x) => (float[N, {axes}] y) "
        f"{{ [bn] y = BatchNormalization <{attributes}> (x, g, b, m, v) }}",
        opset=opset,
        **parameters(shape[0]) | changed,
    )


@given(
    shape=st.sampled_from([(4,), (4, 5), (4, 3, 5)]),
    opset=st.sampled_from([7, 9, 14, 15]),
    epsilon=st.sampled_from([1e-5, 1e-2]),
)
@settings(max_examples=25, deadline=None)
def test_every_rank_and_version_computes_the_same(shape, opset, epsilon):
    model = normalized(shape, attributes=f"epsilon = {epsilon}, momentum = 0.5", opset=opset)

    check_against_onnxruntime(model, small_integers(3, *shape))


def test_channels_come_first_in_scale_and_shift():
    (affine,) = normalized((4, 3, 5)).graph.of_type(Affine)

    assert affine.scale.shape == affine.shift.shape == (4, 1, 1)


def test_channels_of_a_transposed_value_are_those_of_the_onnx_value():
    model = import_text(
        """net (float[N, 2, 3, 4] x) => (float[N, 4, 2, 3] y) {
            t = Transpose <perm = [0, 3, 1, 2]> (x)
            y = BatchNormalization (t, g, b, m, v) }""",
        **parameters(4),
    )

    check_against_onnxruntime(model, small_integers(2, 2, 3, 4))


def test_training_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            """net (float[N, 4] x) => (float[N, 4] y) {
                [bn] y, mean, var = BatchNormalization <training_mode = 1> (x, g, b, m, v) }""",
            **parameters(4),
        )

    assert str(error.value) == (
        "import at 'bn': BatchNormalization has training_mode=1; only 0 is supported\n"
        "  hint: put the model into evaluation mode before exporting it"
    )


def test_statistics_per_position_are_refused():
    with pytest.raises(UnsupportedOpError, match="has spatial=0; only 1") as error:
        normalized((4, 3, 5), attributes="spatial = 0", opset=7)

    assert error.value.node == "bn"


def test_parameters_for_other_channels_are_refused():
    with pytest.raises(UnsupportedOpError, match="for \\(4,\\) channels") as error:
        normalized((4, 3, 5), v=np.ones(3, np.float32), opset=7)

    assert error.value.node == "bn"


def test_a_negative_variance_is_refused():
    with pytest.raises(UnsupportedOpError, match="has a variance below 0") as error:
        normalized((2,), v=np.array([1, -1], np.float32))

    assert error.value.node == "bn"
