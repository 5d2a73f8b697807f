"""ONNX Runtime, imported without its side effects."""

from __future__ import annotations

import os
from typing import Any

from trt_mogface._optional import needs

FATAL_ONLY = 4
"""Level of its log: errors arrive as exceptions."""


def without_telemetry() -> None:
    """Turn telemetry off for an import that follows, unless ``ORT_DISABLE_TELEMETRY`` is set already.

    Otherwise the import looks up a host of its maker, and writes an identifier of this machine into the
    user's cache folder.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def onnxruntime() -> Any:
    """Return the module.

    Raises:
        MissingExtraError: If it is not installed, or cannot be loaded.
    """
    without_telemetry()
    with needs("build"):
        import onnxruntime

    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    return onnxruntime
