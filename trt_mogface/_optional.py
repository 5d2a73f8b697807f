"""Optional packages: imported where they are used, and named with the command that brings them."""

from __future__ import annotations

import importlib
from types import ModuleType

from trt_mogface.errors import MissingExtraError


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: Dotted module name, e.g. ``"onnx"``.
        extra: The extra of this distribution that installs it, e.g. ``"build"``.

    Raises:
        MissingExtraError: The package is not installed; the message holds the ``pip install`` line.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"this needs the Python package {module.partition('.')[0]!r} ({error}): "
            f"pip install 'trt-mogface[{extra}]'"
        ) from error
