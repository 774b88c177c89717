"""Parts and repeats of a value are those of onnxruntime, in any layout."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from toolchain.errors import CompileError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers

SHAPE = (4, 3, 5)
X = small_integers(2, *SHAPE)


def read(call, outputs, *, shape=SHAPE, opset=17, names="y", **weights):
    """Import one operator behind a transpose there and back, which leaves a view."""
    size, sizes = (", ".join(map(str, sizes)) for sizes in (shape, outputs))
    return import_text(
        f"net (float[N, {size}] x) => (float[N, {sizes}] y) {{ [op] {names} = {call} }}",
        opset=opset,
        **weights,
    )


@given(st.data())
@settings(max_examples=60)
def test_every_slice_computes_the_same(data):
    axis = data.draw(st.integers(1, 3))
    start, end = (data.draw(st.integers(-7, 7)) for _ in range(2))
    step = data.draw(st.sampled_from([1, 2, -1, -2]))
    taken = len(range(SHAPE[axis - 1])[start:end:step])
    assume(taken)
    outputs = [*SHAPE]
    outputs[axis - 1] = taken
    axis = data.draw(st.sampled_from([axis, axis - 4]))

    model = read(
        "Slice (x, s, e, a, t)",
        outputs,
        s=np.array([start]),
        e=np.array([end]),
        a=np.array([axis]),
        t=np.array([step]),
    )

    check_against_onnxruntime(model, X)


def test_a_slice_to_the_far_end_takes_everything_backwards():
    model = read(
        "Slice (x, s, e, a, t)",
        SHAPE,
        s=np.array([-1]),
        e=np.array([np.iinfo(np.int64).min + 1]),
        a=np.array([3]),
        t=np.array([-1]),
    )

    check_against_onnxruntime(model, X)


def test_a_slice_of_the_batch_is_refused():
    with pytest.raises(CompileError) as error:
        import_text(
            "net (float[N, 4] x) => (float[M, 4] y) { [op] y = Slice (x, s, e, a, t) }",
            s=np.array([0]),
            e=np.array([-1]),
            a=np.array([0]),
            t=np.array([1]),
        )

    assert error.value.node == "op"


@pytest.mark.parametrize("names", ["y, z", "z, y"])
@pytest.mark.parametrize(("axis", "parts"), [(1, (1, 3)), (2, (1, 2)), (-1, (2, 3))])
def test_every_part_of_a_split_computes_the_same(axis, parts, names):
    outputs = [*SHAPE]
    outputs[axis - 1 if axis > 0 else axis] = parts[names.split(", ").index("y")]

    model = read(
        f"Split <axis = {axis}> (x, parts)", outputs, names=names, parts=np.array(parts)
    )

    check_against_onnxruntime(model, X)


def test_parts_of_a_split_meet_again():
    model = import_text(
        """net (float[N, 4, 3, 5] x) => (float[N, 4, 3, 5] y) {
            a, b = Split <axis = 1, num_outputs = 2> (x)  y = Concat <axis = 1> (b, a) }""",
        opset=18,
    )

    check_against_onnxruntime(model, X)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_channels_move_into_the_plane_in_both_orders(mode, block):
    shape = (2 * block**2, 2, 3)

    model = read(
        f'DepthToSpace <blocksize = {block}, mode = "{mode}"> (x)',
        (2, 2 * block, 3 * block),
        shape=shape,
    )

    check_against_onnxruntime(model, small_integers(2, *shape))


def test_space_and_depth_undo_each_other():
    model = import_text(
        """net (float[N, 3, 4, 6] x) => (float[N, 3, 4, 6] y) {
            d = SpaceToDepth <blocksize = 2> (x)  y = DepthToSpace <blocksize = 2> (d) }"""
    )
    x = small_integers(2, 3, 4, 6)

    check_against_onnxruntime(model, x)


@pytest.mark.parametrize("perm", ["0, 2, 3, 1", "0, 3, 1, 2", "0, 1, 3, 2"])
def test_parts_of_a_transposed_value_are_those_of_the_model(perm):
    shape = [(1, *SHAPE)[int(axis)] for axis in perm.split(", ")][1:]

    model = import_text(
        f"""net (float[N, 4, 3, 5] x) => (float[N, {shape[0]}, {shape[1]}, 2] y) {{
            t = Transpose <perm = [{perm}]> (x)  y = Slice (t, s, e, a) }}""",
        s=np.array([1]),
        e=np.array([3]),
        a=np.array([3]),
    )

    check_against_onnxruntime(model, X)
