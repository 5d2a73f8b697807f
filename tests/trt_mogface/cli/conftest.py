"""Small photos with faces, and the command line to run on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from rich.console import Console

from tests.support.command import Run, runner
from trt_mogface import read_image
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
def small_photo(test_data: Path) -> bytes:
    """Six faces, as a JPEG file of 640x443."""
    photo = read_image(test_data / "demo_images" / "insightface_t1.jpg")
    done, data = cv2.imencode(".jpg", cv2.resize(photo, (640, 443)))
    assert done
    return bytes(data)


@pytest.fixture
def photo(tmp_path: Path, small_photo: bytes) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(small_photo)
    return path
