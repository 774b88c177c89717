"""What is in the way of a model is kept, and nothing of what was known where it was found."""

import onnx

from toolchain.frontend.survey import survey_model
from toolchain.frontend.testing import text_model


def test_many_refused_nodes_take_little_memory(tmp_path):
    model = text_model("net (float[N, 4] x) => (float[N, 4] y) { a = Sin (x)  y = Erf (a) }")
    onnx.save(model, tmp_path / "model.onnx")

    survey = survey_model(tmp_path / "model.onnx")

    (error,) = survey.refused.values()
    assert error.node == "Sin:a"
    assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)
