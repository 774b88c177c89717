"""A model that asks for more than it may is refused with both numbers, at any size of file."""

import numpy as np
import onnx
import pytest

from toolchain.errors import ImportModelError, TimeLimitError
from toolchain.frontend import import_model
from toolchain.frontend.testing import import_proto, small_integers, text_model
from toolchain.limits import Deadline, Limits
from toolchain.options import Options
from toolchain.pipeline import compile_model

NET = "net (float[N, 4] x) => (float[N, 3] y) { a = MatMul (x, w)  b = Relu (a)  y = Relu (b) }"


def network():
    return text_model(NET, w=small_integers(4, 3))


def problem(limits):
    """Return what is said of the network within limits."""
    with pytest.raises(ImportModelError) as error:
        import_proto(network(), limits)
    return error.value.problem


def test_nodes_are_counted():
    import_proto(network(), Limits(nodes=3))

    assert problem(Limits(nodes=2)) == "has 3 nodes; 2 are read"


def test_elements_of_all_values_of_a_sample_are_counted_together():
    import_proto(network(), Limits(elements=9))

    assert problem(Limits(elements=8)) == (
        "Relu makes 3 elements of one sample; 8 are supported for all nodes together"
    )


def test_bytes_are_counted():
    size = network().ByteSize()

    assert problem(Limits(model_bytes=size - 1)) == (
        f"has {size} bytes; up to {size - 1} are supported"
    )


def test_files_of_weights_are_not_read_if_they_are_too_large(tmp_path):
    model = network()
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    tensor.external_data.add(key="length", value="48")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(2**40)

    with pytest.raises(ImportModelError, match=f"files of {2**40} bytes") as error:
        import_model(tmp_path / "model.onnx")

    assert error.value.node == "w"


def test_time_that_is_up_is_told_with_what_is_left():
    with pytest.raises(TimeLimitError) as error:
        Deadline(0).check("emit")

    assert error.value.problem == "more than 0 s have passed, and emit is still to be done"
    assert "--max-seconds" in error.value.hint


def test_a_compilation_ends_when_its_time_is_up(tmp_path):
    (tmp_path / "net.onnx").write_bytes(network().SerializeToString())
    np.savez(tmp_path / "calibration.npz", x=np.ones((2, 4), np.float32))

    with pytest.raises(TimeLimitError):
        compile_model(
            Options(model=tmp_path / "net.onnx", output=tmp_path / "out", max_seconds=0)
        )

    assert not (tmp_path / "out").exists()
