"""Planes enlarged and shrunk are those of onnxruntime, whatever mode, factors and layout."""

import numpy as np
import pytest

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Conv, Rearrange

CENTERED = ("half_pixel", "pytorch_half_pixel")
WAYS = (*CENTERED, "asymmetric", "align_corners")
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
SHAPE = (2, 3, 5)
X = small_integers(2, *SHAPE)


def resized(attributes, factors=(), sizes=(), *, shape=SHAPE, opset=19):
    """Import one Resize that is given factors or sizes of the spatial axes."""
    wanted = sizes or [int(length * f) for length, f in zip(shape[1:], factors, strict=True)]
    old, new = (", ".join(map(str, size)) for size in (shape, (shape[0], *wanted)))
    given = {"z": np.array([1, shape[0], *sizes])} if sizes else {}
    given = given or {"f": np.array([1, 1, *factors], np.float32)}
    return import_text(
        f"net (float[{1 if sizes else 'N'}, {old}] x) => (float[M, {new}] y) {{ [op] y = "
        f"Resize <{attributes}> (x, , {', z' if sizes else 'f'}) }}",
        opset=opset,
        **given,
    )


def kinds(model):
    return [type(node) for node in model.graph][1:-1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("factors", [(2, 2), (4, 1), (3, 1.5), (0.5, 0.5), (0.34, 2.5)])
def test_values_lie_between_their_neighbours(mode, way, factors):
    model = resized(f'mode = "{mode}", coordinate_transformation_mode = "{way}"', factors)

    check_against_onnxruntime(model, X)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("sizes", [(6, 10), (3, 20), (5, 7), (1, 2)])
def test_the_nearest_value_is_chosen(way, rounding, sizes):
    model = resized(
        f'coordinate_transformation_mode = "{way}", nearest_mode = "{rounding}"', sizes=sizes
    )

    check_against_onnxruntime(model, X)
    assert kinds(model) == [Rearrange]


@pytest.mark.parametrize("way", [*CENTERED, "asymmetric"])
def test_whole_factors_are_zeros_and_one_kernel(way):
    model = resized(f'mode = "linear", coordinate_transformation_mode = "{way}"', (2, 2))

    assert kinds(model) == [Rearrange, Conv]
    assert model.graph.of_type(Conv)[0].weight.shape == (2, 1, *(2 * (3 + (way in CENTERED),)))


def test_aligned_corners_have_weights_for_each_position():
    model = resized(
        'mode = "linear", coordinate_transformation_mode = "align_corners"', sizes=(6, 10)
    )

    assert model.graph.of_type(Conv)[0].weight.shape == (60, 15, 1, 1)


def test_large_planes_with_aligned_corners_are_resized_axis_by_axis():
    model = resized(
        'mode = "linear", coordinate_transformation_mode = "align_corners"',
        sizes=(64, 48),
        shape=(1, 32, 24),
    )

    check_against_onnxruntime(model, small_integers(1, 1, 32, 24))
    assert [layer.weight.shape[:2] for layer in model.graph.of_type(Conv)] == [
        (64, 32),
        (48, 24),
    ]


def test_half_a_plane_is_a_layer_with_stride_and_no_relays():
    model = resized('mode = "linear"', (0.5, 0.5), shape=(2, 4, 6))

    check_against_onnxruntime(model, small_integers(2, 2, 4, 6))
    assert kinds(model) == [Conv]
    assert model.graph.of_type(Conv)[0].stride == (2, 2)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_channels_may_come_last(mode):
    model = import_text(
        f"""net (float[N, 3, 5, 2] x) => (float[N, 6, 15, 2] y) {{
            [op] y = Resize <mode = "{mode}"> (x, , f) }}""",
        f=np.array([1, 2, 3, 1], np.float32),
    )

    check_against_onnxruntime(model, small_integers(2, 3, 5, 2))


@pytest.mark.parametrize("way", WAYS)
def test_sounds_are_resized_too(way):
    model = import_text(
        f"""net (float[N, 3, 5] x) => (float[N, 3, 10] y) {{
            [op] y = Resize <mode = "linear", coordinate_transformation_mode = "{way}">
                (x, , f) }}""",
        f=np.array([1, 1, 2], np.float32),
    )

    check_against_onnxruntime(model, small_integers(2, 3, 5))


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_proportions_may_be_kept(mode, policy):
    size = (7, 12) if policy == "not_larger" else (8, 13)
    model = import_text(
        f"""net (float[N, 2, 3, 5] x) => (float[N, 2, {size[0]}, {size[1]}] y) {{
            [op] y = Resize <mode = "{mode}", keep_aspect_ratio_policy = "{policy}",
                axes = [2, 3]> (x, , , z) }}""",
        opset=19,
        z=np.array([8, 12]),
    )

    check_against_onnxruntime(model, X)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("opset", [7, 9, 10])
def test_old_opsets_compare_corners(mode, opset):
    call = {
        7: f'Upsample <mode = "{mode}", scales = [1.0, 1.0, 2.0, 3.0]> (x)',
        9: f'Upsample <mode = "{mode}"> (x, f)',
        10: f'Resize <mode = "{mode}"> (x, f)',
    }[opset]
    model = import_text(
        f"net (float[N, 2, 3, 5] x) => (float[N, 2, 6, 15] y) {{ [op] y = {call} }}",
        opset=opset,
        **({} if opset == 7 else {"f": np.array([1, 1, 2, 3], np.float32)}),
    )

    check_against_onnxruntime(model, X)


@pytest.mark.parametrize(
    ("attributes", "factors", "part"),
    [
        (
            'coordinate_transformation_mode = "tf_crop_and_resize"',
            (2, 2),
            "has coordinate_transformation_mode=tf_crop_and_resize",
        ),
        ('mode = "cubic", exclude_outside = 1', (2, 2), "has exclude_outside=1"),
        ('mode = "linear", antialias = 1', (0.5, 0.5), "has antialias=1"),
        (
            'mode = "linear", coordinate_transformation_mode = "half_pixel_symmetric"',
            (1, 1.5),
            "rounds its sizes",
        ),
    ],
)
def test_other_ways_to_resize_are_refused(attributes, factors, part):
    with pytest.raises(UnsupportedOpError) as error:
        resized(attributes, factors)

    assert error.value.node == "op"
    assert part in error.value.problem


def test_shrinking_in_an_opset_that_runtimes_disagree_about_is_refused():
    with pytest.raises(UnsupportedOpError, match="runtimes disagree") as error:
        import_text(
            """net (float[N, 2, 3, 5] x) => (float[N, 2, 2, 5] y) {
                [op] y = Resize <mode = "nearest"> (x, f) }""",
            opset=10,
            f=np.array([1, 1, 0.75, 1], np.float32),
        )

    assert error.value.node == "op"


def test_channels_and_planes_resized_at_once_are_refused():
    with pytest.raises(UnsupportedOpError, match="resizes axes") as error:
        import_text(
            """net (float[N, 2, 3, 5] x) => (float[N, 4, 6, 10] y) {
                [op] y = Resize <mode = "linear"> (x, , f) }""",
            f=np.array([1, 2, 2, 2], np.float32),
        )

    assert error.value.node == "op"
