"""The published MogFace code, from the PyPI package ``modelscope``, without importing all of ModelScope."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

NAME = "published_mogface"


class Published(NamedTuple):
    """The two modules that are compared with."""

    network: ModuleType
    utils: ModuleType


def published() -> Published:
    """``mogface`` and ``utils`` of the published implementation.

    Raises:
        ModuleNotFoundError: modelscope is not installed.
    """
    spec = importlib.util.find_spec("modelscope")  # finds a top-level package without running it
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("modelscope is not installed: pip install modelscope")
    package = ModuleType(NAME)
    package.__path__ = [
        str(Path(spec.origin).parent / "models" / "cv" / "face_detection" / "mogface" / "models")
    ]
    sys.modules.setdefault(NAME, package)
    return Published(importlib.import_module(f"{NAME}.mogface"), importlib.import_module(f"{NAME}.utils"))
