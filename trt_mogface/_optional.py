"""Packages of others, imported where they are used, and the command that installs or repairs them."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from trt_mogface.errors import MissingExtraError, first_line

OURS = frozenset({"trt_mogface", "engine_build"})

CORE = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "rich": "rich",
    "typer": "typer",
    "typing_extensions": "typing_extensions",
}
"""Modules of packages that every installation has, by module."""

OTHERS = {"cuda": "cuda-bindings", "pynvml": "nvidia-ml-py"}
"""Other packages whose modules have another name."""

LIBRARIES = {
    "libGL.so": "libgl1",
    "libICE.so": "libice6",
    "libSM.so": "libsm6",
    "libX11.so": "libx11-6",
    "libXext.so": "libxext6",
    "libXrender.so": "libxrender1",
    "libglib-2.0.so": "libglib2.0-0",
    "libgomp.so": "libgomp1",
    "libgthread-2.0.so": "libglib2.0-0",
    "libstdc++.so": "libstdc++6",
    "libxcb.so": "libxcb1",
}
"""Packages of Debian and Ubuntu, by the library that they hold."""

HEADLESS = "pip uninstall -y opencv-python && pip install opencv-python-headless"
"""OpenCV without a desktop; both builds at once would overwrite each other."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a failed import within the block into the command that repairs it.

    Args:
        extra: Extra of this distribution that installs the packages of the block, e.g. ``build``.

    Raises:
        MissingExtraError: If a package of the block is missing, or cannot be loaded.
    """
    try:
        yield
    except Exception as error:
        failure = import_failure(error, extra)
        if failure is None:
            raise
        raise failure from error


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package by its dotted name; see `needs`."""
    with needs(extra):
        return importlib.import_module(module)


def import_failure(error: Exception, extra: str = "build") -> MissingExtraError | None:
    """Explain an exception that a package of others raised while it was imported.

    Args:
        error: Exception with its traceback.
        extra: Extra that installs the package, if it is not one of the core.

    Returns:
        Package, reason and remedy; None if the exception is another one.
    """
    if isinstance(error, MemoryError):
        return None
    module = error.name if isinstance(error, ModuleNotFoundError) else _failed_module(error)
    name = (module or "").partition(".")[0]
    if not name or name in OURS:
        return None
    if isinstance(error, ModuleNotFoundError):
        install = f"pip install {CORE[name]}" if name in CORE else f"pip install 'trt-mogface[{extra}]'"
        return MissingExtraError(f"missing Python package {name!r} ({error}); {install}")
    reason = first_line(error)
    return MissingExtraError(f"Python package {name!r} cannot be loaded ({reason}); {_remedy(name, reason)}")


def _failed_module(error: Exception) -> str | None:
    """Return the innermost module of others whose import an exception has ended."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    bodies = [frame.f_globals.get("__name__", "") for frame in frames if frame.f_code.co_name == "<module>"]
    foreign = [name for name in bodies if name.partition(".")[0] not in OURS | {"__main__"}]
    foreign = [name for name in foreign if name.partition(".")[0] not in sys.stdlib_module_names]
    if foreign:
        return str(foreign[-1])
    return error.name if isinstance(error, ImportError) else None  # an extension module has no body


def _remedy(name: str, reason: str) -> str:
    found = re.search(r"\b(lib[\w+.-]+?\.so)\b", reason)
    system = LIBRARIES.get(found[1]) if found else None
    remedies = [f"apt-get install {system}"] if system else []
    if name == "cv2":
        remedies.append(f"use the headless build: {HEADLESS}")
    elif not system:
        package = CORE.get(name) or OTHERS.get(name) or name.replace("_", "-")
        remedies.append(f"pip install --force-reinstall --no-deps {package}")
    return ", or ".join(remedies)
