"""Every format that has an orientation, at all eight: the image is upright, and turned only once."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trt_mogface.images import decode_image

UPRIGHT = np.kron(
    np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8), np.ones((16, 16, 1), np.uint8)
)
"""Colored blocks without any symmetry, RGB."""

ORIENTATION, UNUSED = 0x0112, 0x0113

Write = Callable[[NDArray[np.uint8], int], bytes]


def stored(orientation: int) -> NDArray[np.uint8]:
    """Return what a file stores: row 0 and column 0 of it are where the definition of Exif says."""
    turned = {
        1: UPRIGHT,  # row 0 is the top, column 0 the left side
        2: UPRIGHT[:, ::-1],  # top, right
        3: UPRIGHT[::-1, ::-1],  # bottom, right
        4: UPRIGHT[::-1],  # bottom, left
        5: UPRIGHT.swapaxes(0, 1),  # left, top
        6: np.rot90(UPRIGHT, 1),  # right, top
        7: UPRIGHT[::-1, ::-1].swapaxes(0, 1),  # right, bottom
        8: np.rot90(UPRIGHT, -1),  # left, bottom
    }[orientation]
    return np.ascontiguousarray(turned)


def saved(pixels: NDArray[Any], kind: str, exif: Image.Exif | bytes, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, exif=exif, **options)
    return file.getvalue()


def tagged(orientation: int, tag: int = ORIENTATION) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif[tag] = orientation
    return exif


def writes(kind: str, **options: Any) -> Write:
    """Return a writer of a format; Pillow puts the orientation into the container of AVIF and HEIF."""
    return lambda pixels, orientation: saved(pixels, kind, tagged(orientation), **options)


def little_endian(kind: str, **options: Any) -> Write:
    def write(pixels: NDArray[np.uint8], orientation: int) -> bytes:
        entry = struct.pack("<HHHIHHI", 1, ORIENTATION, 3, 1, orientation, 0, 0)
        return saved(pixels, kind, b"Exif\0\0II*\0\x08\0\0\0" + entry, **options)

    return write


def exif_alone(kind: str, **options: Any) -> Write:
    """Write AVIF or HEIF with the orientation in Exif and no rotation in the container."""

    def write(pixels: NDArray[np.uint8], orientation: int) -> bytes:
        data = saved(pixels, kind, tagged(orientation, UNUSED), **options)
        assert b"irot" not in data
        assert b"imir" not in data
        before, after = (struct.pack(">HHI", tag, 3, 1) for tag in (UNUSED, ORIENTATION))
        assert data.count(before) == 1
        return data.replace(before, after)

    return write


def container_and_exif(kind: str, **options: Any) -> Write:
    """Write both, as cameras and avifenc do: it is one orientation, to be applied once."""

    def write(pixels: NDArray[np.uint8], orientation: int) -> bytes:
        exif = tagged(orientation)
        exif[UNUSED] = orientation
        data = saved(pixels, kind, exif, **options)
        before, after = (struct.pack(">HHI", tag, 3, 1) for tag in (UNUSED, ORIENTATION))
        assert data.count(before) == 1
        return data.replace(before, after)

    return write


def animated(kind: str, **options: Any) -> Write:
    def write(pixels: NDArray[np.uint8], orientation: int) -> bytes:
        second = Image.fromarray(255 - pixels)
        return saved(pixels, kind, tagged(orientation), save_all=True, append_images=[second], **options)

    return write


def late_png(pixels: NDArray[np.uint8], orientation: int) -> bytes:
    """Write a PNG whose Exif follows the pixels."""
    data = saved(pixels, "PNG", b"")
    chunk = b"eXIf" + tagged(orientation).tobytes().removeprefix(b"Exif\0\0")
    end = data.index(b"IEND") - 4
    framed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:end] + framed + data[end:]


LOSSY = {"quality": 95}
FORMATS: dict[str, Write] = {
    "JPEG": writes("JPEG", **LOSSY),
    "JPEG, little-endian": little_endian("JPEG", **LOSSY),
    "MPO": animated("MPO", **LOSSY),
    "PNG": writes("PNG"),
    "PNG, Exif last": late_png,
    "PNG, animated": animated("PNG"),
    "WebP": writes("WEBP", lossless=True),
    "WebP, little-endian": little_endian("WEBP", lossless=True),
    "WebP, animated": animated("WEBP", lossless=True),
    "TIFF": writes("TIFF"),
    "TIFF, LZW": writes("TIFF", compression="tiff_lzw"),
    "TIFF, JPEG": writes("TIFF", compression="jpeg", **LOSSY),
    "TIFF, Zstandard": writes("TIFF", compression="zstd"),
    "TIFF, BigTIFF": writes("TIFF", big_tiff=True),
    "TIFF, two pages": animated("TIFF"),
    "AVIF, container": writes("AVIF", **LOSSY),
    "AVIF, Exif": exif_alone("AVIF", **LOSSY),
    "AVIF, both": container_and_exif("AVIF", **LOSSY),
    "HEIF, container": writes("HEIF", **LOSSY),
    "HEIF, Exif": exif_alone("HEIF", **LOSSY),
    "HEIF, both": container_and_exif("HEIF", **LOSSY),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", FORMATS)
def test_images_are_upright(kind: str, orientation: int) -> None:
    if kind.startswith("HEIF"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = FORMATS[kind](stored(orientation), orientation)
    image = decode_image(data)
    assert image.shape == UPRIGHT.shape
    assert image.flags.c_contiguous
    difference = np.abs(image[:, :, ::-1].astype(int) - UPRIGHT).mean()
    assert difference < 5, "turned otherwise it is at least 60"


def test_blocks_turned_otherwise_differ() -> None:
    """The limit above tells all orientations apart."""
    for turned in (UPRIGHT[:, ::-1], UPRIGHT[::-1], UPRIGHT[::-1, ::-1]):
        assert np.abs(turned.astype(int) - UPRIGHT).mean() > 50


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_upright(kind: str, orientation: int) -> None:
    deep = stored(orientation)[:, :, 0].astype(np.uint16) * 257
    image = decode_image(saved(deep, kind, tagged(orientation)))
    np.testing.assert_array_equal(image, np.repeat(UPRIGHT[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF", "AVIF, Exif", "HEIF, Exif"])
def test_an_orientation_that_does_not_exist_changes_nothing(kind: str, orientation: int) -> None:
    if kind.startswith("HEIF"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    image = decode_image(FORMATS[kind](UPRIGHT, orientation))
    assert np.abs(image[:, :, ::-1].astype(int) - UPRIGHT).mean() < 5


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_rotation_of_the_container_replaces_that_of_exif(kind: str) -> None:
    """As ISO/IEC 23008-12 has it: Exif is information, the container's properties are applied."""
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif = tagged(6)
    exif[UNUSED] = 3
    data = saved(stored(6), kind, exif, **LOSSY)
    data = data.replace(struct.pack(">HHI", UNUSED, 3, 1), struct.pack(">HHI", ORIENTATION, 3, 1))
    image = decode_image(data)
    assert image.shape == UPRIGHT.shape
    assert np.abs(image[:, :, ::-1].astype(int) - UPRIGHT).mean() < 5
