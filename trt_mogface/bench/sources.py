"""Pictures without end: from memory, from files decoded each time, from a video that begins again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import ImageError
from trt_mogface.images import find_images, read_image
from trt_mogface.reference.resize import paint, place_letterbox

Picture = NDArray[np.uint8]
Source = Iterator[Picture]
"""Of uint8 [H, W, 3], BGR; it never ends."""

JPEG = frozenset({".jpg", ".jpeg"})
KEPT = 32
"""Pictures held in memory."""

GRAY = (127, 127, 127)


def noise(size: tuple[int, int], count: int) -> list[Picture]:
    """Pictures of noise, always the same; no detector finds a face in them.

    Args:
        size: Width and height.
        count: How many.
    """
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(count)]


def photos(folder: Path, size: tuple[int, int], count: int = KEPT) -> list[Picture]:
    """The first pictures of a folder, scaled into a size in their shape, the rest of it gray.

    Args:
        folder: Pictures, recursively; or one picture.
        size: Width and height.
        count: How many at most.

    Raises:
        ImageError: There is none, or one cannot be read.
    """
    return [_into(read_image(path), size) for path in find_images([str(folder)])[:count]]


def from_memory(pictures: Sequence[Picture]) -> Source:
    """Pictures that are decoded already, in turn."""
    return cycle(pictures)


def jpeg_files(folder: Path) -> list[Path]:
    """The JPEG files of a folder.

    Raises:
        ImageError: There is none.
    """
    found = [path for path in find_images([str(folder)]) if path.suffix.lower() in JPEG]
    if not found:
        raise ImageError(f"{folder}: no JPEG files there ({', '.join(sorted(JPEG))})")
    return found


def from_files(paths: Sequence[Path]) -> Source:
    """Files in turn, read and decoded when their picture is asked for.

    Raises:
        ImageError: One cannot be read.
    """
    return (read_image(path) for path in cycle(paths))


def from_video(path: Path) -> Source:
    """Frames of a video by OpenCV, decoded when asked for; after the last comes the first again.

    Raises:
        ImageError: It is missing, or OpenCV reads no frame of it; here, not at the first frame.
    """
    if not path.is_file():
        raise ImageError(f"{path}: no such video")
    frames = _frames(path)
    first = next(frames, None)
    if first is None:
        raise ImageError(f"{path}: not a video that OpenCV can read")
    return _endless(path, first, frames)


def _endless(path: Path, first: Picture, rest: Iterator[Picture]) -> Source:
    yield first
    yield from rest
    while True:
        yield from _frames(path)


def _frames(path: Path) -> Iterator[Picture]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield frame.astype(np.uint8, copy=False)
    finally:
        capture.release()


def _into(image: Picture, size: tuple[int, int]) -> Picture:
    out = np.empty((size[1], size[0], 3), np.uint8)
    paint(image, place_letterbox(image.shape[0], image.shape[1], (size[1], size[0])), GRAY, out)
    return out
