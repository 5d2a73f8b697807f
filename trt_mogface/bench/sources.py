"""Endless sources of images: from memory, from files decoded each time, from a video that is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, cycle, repeat
from pathlib import Path

import cv2
import numpy as np

from trt_mogface.errors import ImageError
from trt_mogface.frame import Image
from trt_mogface.images import ImageFiles, read_image
from trt_mogface.images.formats import FORMATS
from trt_mogface.reference.resize import paint, place_letterbox

Source = Iterator[Image]
"""Endless iterator of uint8 [H, W, 3], BGR."""

JPEG = FORMATS["JPEG"].suffixes
IN_MEMORY = 32
"""Number of images held in memory."""

GRAY = (127, 127, 127)


def noise(size: tuple[int, int], count: int) -> list[Image]:
    """Return `count` images of noise, always the same: width and height `size`, and no face in them."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(count)]


def photos(paths: Sequence[Path], size: tuple[int, int], count: int = IN_MEMORY) -> list[Image]:
    """Return the first of several images, letterboxed into a width and height on gray.

    Raises:
        ImageError: If one cannot be read.
    """
    return [_into(read_image(path), size) for path in paths[:count]]


def from_memory(images: Sequence[Image]) -> Source:
    """Repeat decoded images."""
    return cycle(images)


def jpeg_files(files: ImageFiles) -> ImageFiles:
    """Leave out the files that are no JPEG.

    Raises:
        ImageError: If none is one.
    """
    others = {path: "not JPEG" for path in files.paths if path.suffix.lower() not in JPEG}
    paths = [path for path in files.paths if path not in others]
    if not paths:
        raise ImageError(f"images: no JPEG files ({', '.join(JPEG)}); {len(others)} of other formats")
    return ImageFiles(paths, files.skipped | others)


def from_files(paths: Sequence[Path]) -> Source:
    """Repeat files, read and decoded when their image is requested."""
    return (read_image(path) for path in cycle(paths))


def from_video(path: Path) -> Source:
    """Repeat the frames of a video, decoded by OpenCV when requested.

    Raises:
        ImageError: If the file is missing, or OpenCV cannot decode a frame; raised here, not at the first
            frame.
    """
    if not path.is_file():
        raise ImageError(f"{path}: no such video")
    frames = _frames(path)
    first = next(frames, None)
    if first is None:
        raise ImageError(f"{path}: not a video that OpenCV can read")
    return chain([first], frames, chain.from_iterable(map(_frames, repeat(path))))


def _frames(path: Path) -> Iterator[Image]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            decoded, frame = capture.read()
            if not decoded:
                return
            yield frame.astype(np.uint8, copy=False)
    finally:
        capture.release()


def _into(image: Image, size: tuple[int, int]) -> Image:
    out = np.empty((size[1], size[0], 3), np.uint8)
    paint(image, place_letterbox(image.shape[0], image.shape[1], (size[1], size[0])), GRAY, out)
    return out
