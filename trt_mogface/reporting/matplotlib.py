"""matplotlib, with its files in this package's cache folder."""

from __future__ import annotations

import os
import sys
from tempfile import TemporaryDirectory
from types import ModuleType

from trt_mogface._cache import cache_folder
from trt_mogface._optional import require
from trt_mogface.errors import OutputError

FOLDER = "MPLCONFIGDIR"


def matplotlib() -> ModuleType:
    """Import matplotlib.

    By default its import makes folders in the user's home and warns where it cannot.  Here its list of fonts
    goes to this package's cache folder, or to a temporary one, unless ``MPLCONFIGDIR`` names another, or the
    program has imported matplotlib itself.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    if FOLDER in os.environ or "matplotlib" in sys.modules:
        return require("matplotlib", extra="reports")
    with TemporaryDirectory() as temporary:
        try:
            os.environ[FOLDER] = str(cache_folder() / "matplotlib")
        except OutputError:
            os.environ[FOLDER] = temporary
        try:
            require("matplotlib.font_manager", extra="reports")  # reads or makes the list of fonts
        finally:
            del os.environ[FOLDER]
    return require("matplotlib", extra="reports")
