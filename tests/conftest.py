"""Test data and reference implementations that come from outside this project."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

from trt_mogface.bench.peers.published import published

REPOSITORY = Path(__file__).resolve().parents[1]


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

    `trt_mogface.bench.peers.published` says where they come from.
    """
    pytest.importorskip("torch", reason="the published MogFace needs torch")
    try:
        network, utils = published()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    both = ModuleType("published")
    vars(both).update(vars(utils) | {"MogFace": network.MogFace})
    return both
