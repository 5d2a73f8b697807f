"""Contract files made once and kept: in the user's cache folder, named by a digest of what they came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine_build.onnx import contract
from trt_mogface.errors import OutputError

if TYPE_CHECKING:
    import onnx

RECIPE = 1
"""Part of every digest; raised when the same inputs would now give another file."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/trt-mogface``, by default under ``~/.cache``; created if need be.

    Raises:
        OutputError: It cannot be created.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trt-mogface"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be created ({error.strerror}): set XDG_CACHE_HOME") from error
    return folder


def cached(name: str, inputs: tuple[object, ...], make: Callable[[], onnx.ModelProto]) -> Path:
    """The cached file of that name and those inputs; ``make`` is called where there is none yet."""
    digest = hashlib.sha256(repr((RECIPE, *inputs)).encode()).hexdigest()[:16]
    path = cache_folder() / f"{name}-{digest}.onnx"
    if not path.is_file():
        contract.save(make(), path)
    return path
