"""Pictures from files and from callers: untrusted input, checked before anything is spent on it."""

from __future__ import annotations

import glob
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import ImageError

MAX_PIXELS = 100_000_000
"""Largest picture accepted, in pixels; a file is refused from its header, before it is decoded."""

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def find_images(patterns: Sequence[str]) -> list[Path]:
    """Files named by paths, folders (their pictures, recursively, sorted) and glob patterns, each once.

    Raises:
        ImageError: A folder or a pattern without a picture.  A plain path is returned unchecked.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if os.path.isdir(pattern):  # noqa: PTH112 -- unlike Path.is_dir it answers to impossible names
            matches = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not matches:
                raise ImageError(f"{path}: no pictures in this folder ({', '.join(sorted(SUFFIXES))})")
        elif glob.has_magic(pattern) and not os.path.exists(pattern):  # noqa: PTH110
            matches = sorted(Path(p) for p in glob.glob(pattern, recursive=True))
            if not matches:
                raise ImageError(f"{pattern}: no file matches this pattern")
        else:
            matches = [path]
        found.update(dict.fromkeys(matches))
    return list(found)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode a picture file, turned upright by its EXIF orientation.

    Returns:
        uint8 [H, W, 3], BGR; gray is repeated, an alpha channel dropped, 16 bits shortened to 8.

    Raises:
        ImageError: Missing, unreadable, not a picture, truncated, or larger than `MAX_PIXELS`.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageError(f"{path}: cannot be read ({reason})") from error
    if not data:
        raise ImageError(f"{path}: the file is empty (0 bytes)")
    width, height = _header(path, data)
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path}: {width}x{height} is more than {MAX_PIXELS // 1_000_000} megapixels: "
            "scale it down or cut it into tiles"
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"{path}: cannot be decoded ({error.err})") from error
    if image is None:
        raise ImageError(f"{path}: truncated or damaged, the picture cannot be decoded")
    return image.astype(np.uint8, copy=False)


def _header(path: Path, data: bytes) -> tuple[int, int]:
    """Width and height from a file's header alone, which OpenCV cannot give."""
    from PIL import Image as pillow  # only files need it
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():  # Pillow warns of large pictures; the limit here is ours
            warnings.simplefilter("ignore")
            with pillow.open(io.BytesIO(data)) as header:
                width, height = header.size
                if width * height <= MAX_PIXELS:
                    header.verify()  # of PNG alone: checksums, before libpng prints its own complaint
                return width, height
    except pillow.DecompressionBombError as error:
        limit = MAX_PIXELS // 1_000_000
        raise ImageError(
            f"{path}: more than {limit} megapixels: scale it down or cut it into tiles"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not a picture in a format that can be read") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them raise
        raise ImageError(f"{path}: truncated or damaged, the picture cannot be decoded") from error


def check_array(image: object, name: str = "image") -> NDArray[np.uint8]:
    """The caller's array, if it is what the network takes: uint8 [H, W, 3], BGR, not empty.

    Raises:
        ImageError: Any other type, shape or dtype; the message says how to convert.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"{name}: expected a numpy array, uint8 [H, W, 3] in BGR, not {type(image).__name__}: "
            "read files with cv2.imread"
        )
    what = f"{image.dtype} {list(image.shape)}"
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        raise ImageError(f"{name}: gray ({what}): convert with cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)")
    if image.ndim == 3 and image.shape[2] == 4:
        raise ImageError(
            f"{name}: four channels ({what}): convert with cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)"
        )
    if image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"{name}: expected uint8 [H, W, 3] in BGR, not {what}")
    if 0 in image.shape:
        raise ImageError(f"{name}: no pixels ({what})")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise ImageError(f"{name}: more than {MAX_PIXELS // 1_000_000} megapixels ({what}): scale it down")
    if image.dtype != np.uint8:
        raise ImageError(f"{name}: expected uint8, not {what}: {_to_bytes(image)}")
    return image


def _to_bytes(image: NDArray[np.generic]) -> str:
    """How to turn this array into uint8."""
    if image.dtype == np.uint16:
        return "convert with (image >> 8).astype(np.uint8)"
    if np.issubdtype(image.dtype, np.floating):
        if not np.isfinite(image).all():
            return "it holds NaN or infinite values, find out where they come from first"
        return "convert with (image * 255).clip(0, 255).astype(np.uint8) if its values lie in 0..1"
    return "convert with image.clip(0, 255).astype(np.uint8)"
