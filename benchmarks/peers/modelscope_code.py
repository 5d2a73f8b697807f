"""Modules of the PyPI package ``modelscope``, run from their files without importing the whole package."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


def models_folder() -> Path:
    """Return the folder ``models/cv`` of the installed package.

    Raises:
        ModuleNotFoundError: If modelscope is not installed.
    """
    spec = importlib.util.find_spec("modelscope")  # finds a top-level package without running it
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("modelscope is not installed; pip install modelscope")
    return Path(spec.origin).parent / "models" / "cv"


def package_of(folder: str) -> str:
    """Return the name of a package whose modules are the files of a folder in ``models/cv``.

    Only the modules that are imported from it run, and not the code of the folder itself.
    """
    name = f"published_{folder.replace('/', '_')}"
    if name not in sys.modules:
        made = ModuleType(name)
        made.__path__ = [str(models_folder() / folder)]
        sys.modules[name] = made
    return name


def module_of(folder: str, module: str) -> ModuleType:
    """Import a module of a folder in ``models/cv`` with its relative imports.

    Args:
        folder: Folder, such as ``face_detection/ulfd_slim``.
        module: Dotted name of the module inside the folder.
    """
    return importlib.import_module(f"{package_of(folder)}.{module}")


@contextmanager
def stand_ins(modules: Mapping[str, ModuleType]) -> Iterator[None]:
    """Let modules stand for others, by name, within the block."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
