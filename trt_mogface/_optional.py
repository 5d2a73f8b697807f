"""Optional packages: imported where they are used, and named with the command that installs them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from trt_mogface.errors import MissingExtraError


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a failed import within the block into the ``pip install`` line that repairs it.

    Args:
        extra: Extra of this distribution that installs the packages of the block, e.g. ``build``.

    Raises:
        MissingExtraError: If a package of the block cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or str(error)).partition(".")[0]
        raise MissingExtraError(
            f"missing Python package {package!r} ({error}); pip install 'trt-mogface[{extra}]'"
        ) from error


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package by its dotted name; see `needs`."""
    with needs(extra):
        return importlib.import_module(module)
