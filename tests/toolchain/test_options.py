"""Options that mean nothing are refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.errors import CompileError, ConversionError, UnknownNameError
from toolchain.options import Options
from toolchain.pipeline import compile_model

MISSING = Path("no-such-model.onnx")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"levels": 0}, ConversionError),
        ({"levels": -3}, ConversionError),
        ({"pieces": 1}, ConversionError),
        ({"method": "guess"}, UnknownNameError),
        ({"lowering": "sideways"}, UnknownNameError),
        ({"schedule": "never"}, UnknownNameError),
        ({"formats": ("paper",)}, UnknownNameError),
        ({"reparameterization": "rough"}, UnknownNameError),
        ({"dump_after": "lunch"}, UnknownNameError),
    ],
    ids=str,
)
def test_what_means_nothing_is_refused_first(wrong, kind):
    with pytest.raises(CompileError) as error:
        compile_model(Options(model=MISSING, **wrong))

    assert type(error.value) is kind
    assert str(next(iter(wrong.values()))).strip("('),") in str(error.value)
