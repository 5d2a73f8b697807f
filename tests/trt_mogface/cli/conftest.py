"""Small photos with faces, and the command line to run on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from tests.support.command import Run, runner
from tests.support.photos import Photo, jpeg
from trt_mogface.cli import output


@pytest.fixture
def run(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(output, "out", Console(width=200))
    return runner(capfd, monkeypatch)


@pytest.fixture(scope="session")
def small_photo(group: Photo) -> bytes:
    """Six faces, as a JPEG file of 640x443."""
    return jpeg(cv2.resize(group, (640, 443)).astype(np.uint8))


@pytest.fixture
def photo(tmp_path: Path, small_photo: bytes) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(small_photo)
    return path
