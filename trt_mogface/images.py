"""Image files: found, checked from their header, and decoded.  Files are untrusted input."""

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
from trt_mogface.frame import MAX_PIXELS

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

TOO_LARGE = f"more than {MAX_PIXELS // 1_000_000} megapixels; scale it down or cut it into tiles"


def find_images(patterns: Sequence[str]) -> list[Path]:
    """Return the files of paths, folders (their images, recursively, sorted) and glob patterns, each once.

    Raises:
        ImageError: If a folder or pattern has no image.  A plain path is returned unchecked.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if os.path.isdir(pattern):  # noqa: PTH112 -- unlike Path.is_dir it accepts impossible names
            matches = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not matches:
                raise ImageError(f"{path}: no images in this folder ({', '.join(sorted(SUFFIXES))})")
        elif glob.has_magic(pattern) and not os.path.exists(pattern):  # noqa: PTH110
            matches = sorted(Path(p) for p in glob.glob(pattern, recursive=True))
            if not matches:
                raise ImageError(f"{pattern}: no file matches this pattern")
        else:
            matches = [path]
        found.update(dict.fromkeys(matches))
    return list(found)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Decode an image file and turn it upright by its EXIF orientation.

    Returns:
        uint8 [H, W, 3], BGR; gray is repeated, an alpha channel is dropped, 16 bits are reduced to 8.

    Raises:
        ImageError: If the file is missing, unreadable, not an image, damaged, or larger than `MAX_PIXELS`.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageError(f"{path}: cannot be read ({reason})") from error
    if not data:
        raise ImageError(f"{path}: the file is empty (0 bytes)")
    width, height = _header(path, data)
    if width * height > MAX_PIXELS:
        raise ImageError(f"{path}: {width}x{height} is {TOO_LARGE}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"{path}: cannot be decoded ({error.err})") from error
    if image is None:
        raise ImageError(f"{path}: truncated or damaged, cannot be decoded")
    return image.astype(np.uint8, copy=False)


def _header(path: str | Path, data: bytes) -> tuple[int, int]:
    """Return width and height from the header of a file, which OpenCV cannot."""
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():  # Pillow warns of large images; the limit here is ours
            warnings.simplefilter("ignore")
            with pillow.open(io.BytesIO(data)) as header:
                width, height = header.size
                if width * height <= MAX_PIXELS:
                    header.verify()  # checksums of PNG, before libpng prints a complaint of its own
                return width, height
    except pillow.DecompressionBombError as error:
        raise ImageError(f"{path}: {TOO_LARGE}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image in a known format") from error
    except Exception as error:  # Pillow raises anything for a damaged file
        raise ImageError(f"{path}: truncated or damaged, cannot be decoded") from error
