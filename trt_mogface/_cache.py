"""The folder in which this package keeps files that it can make again."""

from __future__ import annotations

import os
from pathlib import Path

from trt_mogface.errors import OutputError


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/trt-mogface``, by default under ``~/.cache``; create it if necessary.

    Raises:
        OutputError: If it cannot be created.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trt-mogface"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be created ({error.strerror}); set XDG_CACHE_HOME") from error
    return folder
