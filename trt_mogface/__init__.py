"""Face detection with MogFace, RetinaFace and others: images in, faces out.

>>> from trt_mogface import Detector

Names are imported when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trt_mogface.detections import Detections
    from trt_mogface.detector import Detector
    from trt_mogface.errors import ArgumentError, MogFaceError
    from trt_mogface.frame import Frame
    from trt_mogface.images import read_image
    from trt_mogface.runner import Runner, Stats
    from trt_mogface.spec import DetectorSpec

__all__ = [
    "ArgumentError",
    "Detections",
    "Detector",
    "DetectorSpec",
    "Frame",
    "MogFaceError",
    "Runner",
    "Stats",
    "read_image",
]

__version__ = "0.1.0"

_MODULES = {
    "ArgumentError": "errors",
    "Detections": "detections",
    "Detector": "detector",
    "DetectorSpec": "spec",
    "Frame": "frame",
    "MogFaceError": "errors",
    "Runner": "runner",
    "Stats": "runner",
    "read_image": "images",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
