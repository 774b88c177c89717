"""OpenVINO without its telemetry.

Importing OpenVINO sends a message from a process that it forks in a thread. A fork waits for
BLAS, and BLAS for the fork, where both happen at once: the program hangs. OpenVINO does without
the package that sends where that cannot be imported.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402
from openvino import opset13  # noqa: E402

__all__ = ["openvino", "opset13"]
