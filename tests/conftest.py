"""Test data and reference implementations that come from outside this project."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PUBLISHED = "published_mogface"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of photos and weights; ``MOGFACE_TEST_DATA`` names another place."""
    folder = Path(os.environ.get("MOGFACE_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}: set MOGFACE_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def mogface_reference() -> ModuleType:
    """The published MogFace: MogFace, MogPriorBox, mogdecode, py_cpu_nms.

    They lie in ``modelscope``, whose own import wants many packages that these modules do not, so the
    folder is made a package of another name.
    """
    found = importlib.util.find_spec("modelscope")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the published MogFace is missing: pip install --no-deps modelscope")
    pytest.importorskip("torch", reason="the published MogFace needs torch")
    if PUBLISHED not in sys.modules:
        package = ModuleType(PUBLISHED)
        root = Path(found.submodule_search_locations[0])
        package.__path__ = [str(root / "models" / "cv" / "face_detection" / "mogface" / "models")]
        sys.modules[PUBLISHED] = package
    package = sys.modules[PUBLISHED]
    utils = importlib.import_module(f"{PUBLISHED}.utils")
    network = importlib.import_module(f"{PUBLISHED}.mogface")
    for name, module in (
        ("MogFace", network),
        ("MogPriorBox", utils),
        ("mogdecode", utils),
        ("py_cpu_nms", utils),
    ):
        setattr(package, name, getattr(module, name))
    return package
