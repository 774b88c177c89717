"""OpenVINO is imported without the package that sends messages."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest


@pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="needs OpenVINO")
def test_nothing_is_sent_when_openvino_is_imported():
    code = (
        "import sys, targets.twin.openvino_model;"
        "sys.exit(sys.modules['openvino_telemetry'] is not None)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
