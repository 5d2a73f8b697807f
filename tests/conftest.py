"""Test data and reference implementations that come from outside this project."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.peers.published import published
from tests.support import photos
from tests.support.mogface import Pair, write
from tests.support.shared import made_once

REPOSITORY = Path(__file__).resolve().parents[1]

collect_ignore = ["support/rtsp_server.py"]
"""A program for the system's Python, whose module ``gi`` the tests' Python lacks."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests: at the end they would leave the other workers idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of photos and weights; ``MOGFACE_TEST_DATA`` names another place."""
    folder = Path(os.environ.get("MOGFACE_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}: set MOGFACE_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def portrait() -> photos.Photo:
    """One face: uint8 [512, 512, 3], BGR, read-only."""
    image = photos.portrait()
    image.flags.writeable = False
    return image


@pytest.fixture(scope="session")
def group() -> photos.Photo:
    """Six faces: uint8 [886, 1280, 3], BGR, read-only."""
    image = photos.group()
    image.flags.writeable = False
    return image


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the JPEG files ``group.jpg`` and ``portrait.jpg``, for tests that only read it."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "group.jpg").write_bytes(photos.jpeg(photos.group()))
    (folder / "portrait.jpg").write_bytes(photos.PORTRAIT.read_bytes())
    return folder


@pytest.fixture(scope="session")
def annotated_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight small images with their faces: see `tests.support.photos.write_annotated`."""
    return photos.write_annotated(tmp_path_factory.mktemp("annotated"))


@pytest.fixture(scope="session")
def mogface_reference() -> ModuleType:
    """The published MogFace: MogFace, MogPriorBox, mogdecode, py_cpu_nms.

    `benchmarks.peers.published` says where they come from.
    """
    pytest.importorskip("torch", reason="the published MogFace needs torch")
    try:
        network, utils = published()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    both = ModuleType("published")
    vars(both).update(vars(utils) | {"MogFace": network.MogFace})
    return both


@pytest.fixture(scope="session")
def mogface_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MogFace with random weights as a contract file: no cost depends on the weights."""
    pytest.importorskip("torch", reason="MogFace is exported by torch")
    from engine_build.models.mogface import FAMILY
    from engine_build.models.mogface.network import mogface
    from engine_build.onnx import contract

    path = tmp_path_factory.mktemp("roofline") / "mogface.onnx"
    contract.save(FAMILY.from_network(mogface().eval(), FAMILY.spec), path)
    return path


@pytest.fixture(scope="session")
def mogface(mogface_reference: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Random weights, rescaled so that scores spread."""
    folder = made_once(tmp_path_factory, "mogface", partial(write, mogface_reference, spread=True))
    return Pair(mogface_reference, folder, spread=True)
