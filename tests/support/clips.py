"""Video clips of the test data, and the faces that the default model finds in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trt_mogface import Detections, Detector
from trt_mogface.frame import Image

av = pytest.importorskip("av")

TALK = "facenet_video.mp4"
"""105 frames of 1920x1080; three faces are seen throughout."""

PORTRAIT = "short_hamilton.mp4"
"""275 frames of 640x360; one face is seen most of the time."""


def clip(test_data: Path, name: str) -> Path:
    """Return the path of a clip; the test is skipped without it."""
    path = test_data / "video" / name
    if not path.is_file():
        pytest.skip(f"no {path.name} in the test data")
    return path


def images(path: Path) -> Iterator[Image]:
    """Yield the frames of a clip: uint8 [H, W, 3], BGR."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


def detect(path: Path, size: tuple[int, int], conf: float) -> list[Detections]:
    """Return the faces of each frame of a clip."""
    options: dict[str, Any] = {"size": size, "conf": conf}
    with Detector(**options) as detector:
        return [detector(image) for image in images(path)]
