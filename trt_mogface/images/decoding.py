"""Image files decoded and turned upright.  Files are untrusted input."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import ImageError, ImageTooLargeError, MissingExtraError
from trt_mogface.frame import MAX_PIXELS, Image
from trt_mogface.images.formats import FORMATS, HEIF, HEIF_HINT, MPO, register_heif

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

TOO_LARGE = "more than {:g} megapixels; scale it down or cut it into tiles"
UNKNOWN = "not an image in a known format"
DAMAGED = "truncated or damaged, cannot be decoded"

AVIF_BRANDS = {b"avif", b"avis"}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
"""Brands of ISO's base media format; files of AVIF may have those of HEIF too."""

ORIENTATION = 0x0112
"""Tag of Exif: 1 to 8, where row 0 and column 0 of the stored image are when it is seen upright."""


class Header(NamedTuple):
    """Facts about an image before it is decoded.

    Attributes:
        format: Name in `FORMATS`.
        size: Width and height in pixels.
        mode: Pillow's name of the pixel format.
        orientation: Exif orientation to apply; None if the decoder applies it.
    """

    format: str
    size: tuple[int, int]
    mode: str
    orientation: int | None


def read_image(path: str | Path) -> Image:
    """Decode an image file and turn it upright; see `decode_image`.

    Raises:
        ImageError: If the file is missing, unreadable, not an image, damaged, or larger than `MAX_PIXELS`.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageError(f"{path}: cannot be read ({reason})") from error
    return decode_image(data, path)


def decode_image(data: bytes, name: str | Path = "image", max_pixels: int = MAX_PIXELS) -> Image:
    """Decode the content of an image file and turn it upright.

    The orientation is that of Exif; in AVIF and HEIF a rotation or mirror of the container replaces it. Of an
    animation the first frame is decoded, of several pages the first.

    Args:
        data: Content of a file.
        name: Name of the file, for messages.
        max_pixels: Largest number of pixels, which the header has to keep before anything is decoded.

    Returns:
        uint8 [H, W, 3], BGR; gray is repeated, an alpha channel is dropped, 16 bits are reduced to 8.

    Raises:
        ImageError: If the content is empty, not an image or damaged.
        ImageTooLargeError: If it has more than `max_pixels`.
        MemoryError: If the pixels do not fit into the memory.
    """
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes)")
    header = _header(name, data, max_pixels)
    kind = FORMATS[header.format]
    image = _by_opencv(name, data, header) if kind.by_opencv else None
    if image is not None:
        return image
    if kind.by_opencv and not kind.spare:
        raise ImageError(f"{name}: {DAMAGED}")
    return _by_pillow(name, data, header)


def _header(name: str | Path, data: bytes, max_pixels: int) -> Header:
    """Read a file's header, which OpenCV cannot."""
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    try:
        with _opened(data) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageTooLargeError(f"{name}: {width}x{height} is {TOO_LARGE.format(max_pixels / 1e6)}")
            header = Header(str(image.format), image.size, image.mode, _orientation(image, data))
            image.verify()  # checksums of PNG, before libpng prints a complaint of its own
    except pillow.DecompressionBombError as error:
        raise ImageTooLargeError(f"{name}: {TOO_LARGE.format(max_pixels / 1e6)}") from error
    except UnidentifiedImageError as error:
        other = _other_format(data)
        problem = f"{other} is not read; convert it to JPEG or PNG" if other else UNKNOWN
        raise ImageError(f"{name}: {problem}") from error
    except MissingExtraError as error:
        raise ImageError(f"{name}: a HEIF file {HEIF_HINT}") from error
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow raises anything for a damaged file
        raise ImageError(f"{name}: {DAMAGED}") from error
    if header.mode == "F" or (header.mode == "I" and header.format == "TIFF"):
        raise ImageError(f"{name}: has 32 bits a channel; convert it to 8 or 16 bits")
    return header


@contextmanager
def _opened(data: bytes) -> Iterator[Picture]:
    from PIL import Image as pillow

    formats = [name for name in FORMATS if name not in (HEIF, MPO)]
    if _is_heif(data):
        register_heif()
        formats = [HEIF]
    with warnings.catch_warnings():  # Pillow warns of large images, of which the limit is ours, and of damage
        warnings.simplefilter("ignore")
        with pillow.open(io.BytesIO(data), formats=formats) as image:
            yield image


def _other_format(data: bytes) -> str | None:
    """Return Pillow's name of a format that is not among `FORMATS`; only the header is read."""
    from PIL import Image as pillow

    with suppress(Exception), warnings.catch_warnings():  # Pillow raises anything for a damaged file
        warnings.simplefilter("ignore")
        with pillow.open(io.BytesIO(data)) as image:
            return str(image.format)
    return None


def _by_opencv(name: str | Path, data: bytes, header: Header) -> Image | None:
    """Decode a file and turn it upright; None if OpenCV cannot."""
    ignore = 0 if header.orientation is None else cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | ignore)
    except cv2.error as error:
        if "alloc" in str(error) or "emory" in str(error):
            raise MemoryError(f"{name}: the memory does not suffice to decode it") from error
        raise ImageError(f"{name}: cannot be decoded ({error.err})") from error
    return None if image is None else _upright(image.astype(np.uint8, copy=False), header.orientation)


def _by_pillow(name: str | Path, data: bytes, header: Header) -> Image:
    """Decode a file and turn it upright."""
    from PIL import ImageOps

    try:
        with _opened(data) as image:
            image.load()  # of TIFF this applies the orientation, and of HEIF that of the container
            if header.orientation is None:
                ImageOps.exif_transpose(image, in_place=True)
            deep = image.mode.startswith("I;16")
            pixels = np.asarray(image) >> 8 if deep else np.asarray(image.convert("RGB"))[:, :, ::-1]
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises anything for a damaged file
        raise ImageError(f"{name}: {DAMAGED}") from error
    if deep:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return _upright(pixels.astype(np.uint8, copy=False), header.orientation)


def _upright(image: NDArray[np.uint8], orientation: int | None) -> Image:
    """Turn an image upright by its Exif orientation; other numbers than 2 to 8 change nothing."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _orientation(image: Picture, data: bytes) -> int | None:
    """Return the orientation that the decoder does not apply reliably; None if it does."""
    exif = image.info.get("exif")
    if image.format in ("PNG", "WEBP"):  # OpenCV forgets that of animations
        return None if exif is None else _exif_orientation(exif)
    if image.format not in ("AVIF", HEIF):
        return None
    properties = _box(data, b"meta")
    turned = b"irot" in properties or b"imir" in properties
    if image.format == HEIF:  # libheif turns the image by its container
        return 1 if turned else int(image.info.get("original_orientation") or 1)
    if exif is None:
        return 1
    # Pillow translates the container's rotation and mirror, and puts them in the place of Exif's.
    return _exif_orientation(exif if turned else _avif_exif(data))


def _exif_orientation(exif: bytes) -> int:
    from PIL.Image import Exif

    parsed = Exif()
    parsed.load(exif)
    found = parsed.get(ORIENTATION, 1)
    return found if isinstance(found, int) else 1


def _avif_exif(data: bytes) -> bytes:
    """Return the Exif of an AVIF file as it is there."""
    _, kinds, contents = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    found = dict(zip(kinds, contents))
    return found[cv2.IMAGE_METADATA_EXIF].tobytes() if cv2.IMAGE_METADATA_EXIF in found else b""


def _is_heif(data: bytes) -> bool:
    """Return whether a file is HEIF and not AVIF."""
    box = _box(data, b"ftyp")
    brands = {box[at : at + 4] for at in range(8, len(box), 4)}
    return bool(brands & HEIF_BRANDS) and not brands & AVIF_BRANDS


def _box(data: bytes, kind: bytes) -> bytes:
    """Return the first box of a kind, of a file of ISO's base media format, or no bytes."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:  # a large box
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if data[at + 4 : at + 8] == kind:
            return data[at : at + size if size else None]
        if size < 8:  # 0: to the end of the file
            break
        at += size
    return b""
