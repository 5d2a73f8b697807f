"""Formats and pixel formats, each against Pillow's own decoding, and what is refused."""

from __future__ import annotations

import io
import struct
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.specs import one_line
from trt_mogface.errors import ImageError
from trt_mogface.images import decode_image

PIXELS: NDArray[np.uint8] = cv2.resize(
    np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8), (64, 48)
).astype(np.uint8, copy=False)


def encoded(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, kind, **options)
    return file.getvalue()


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as error:
        decode_image(data, "a.image")
    message = one_line(error.value)
    assert message.startswith("a.image: ")
    return message


LOSSLESS = [
    *(("BMP", mode) for mode in ("RGB", "RGBA", "L", "P", "1")),
    ("DIB", "RGB"),
    *(("GIF", mode) for mode in ("P", "L", "1")),
    *(("ICO", mode) for mode in ("RGB", "RGBA")),
    *(("JPEG2000", mode) for mode in ("RGB", "RGBA", "L", "LA", "CMYK")),
    *(("PCX", mode) for mode in ("RGB", "L", "P", "1")),
    *(("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")),
    *(("PPM", mode) for mode in ("RGB", "L", "1")),
    *(("QOI", mode) for mode in ("RGB", "RGBA")),
    *(("SGI", mode) for mode in ("RGB", "RGBA", "L")),
    *(("TGA", mode) for mode in ("RGB", "RGBA", "L", "LA", "P")),
    *(("TIFF", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA", "L")),
]


@pytest.mark.parametrize(("kind", "mode"), LOSSLESS)
def test_lossless_formats_are_read_as_pillow_reads_them(kind: str, mode: str) -> None:
    data = encoded(kind, mode, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decode_image(data)[:, :, ::-1], by_pillow(data))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "L"), ("JPEG", "CMYK"), ("MPO", "RGB"), ("AVIF", "RGB"), ("AVIF", "RGBA"), ("HEIF", "RGB")],
)
def test_lossy_formats_are_read_nearly_as_pillow_reads_them(kind: str, mode: str) -> None:
    data = encoded(kind, mode)
    difference = np.abs(decode_image(data)[:, :, ::-1].astype(int) - by_pillow(data))
    assert difference.max() <= 4  # two decoders round differently
    assert difference.mean() < 1


def test_a_cmyk_jpeg_has_its_colors() -> None:
    """Files of Adobe have them inverted, which a decoder must undo."""
    difference = np.abs(decode_image(encoded("JPEG", "CMYK", quality=100))[:, :, ::-1].astype(int) - PIXELS)
    assert difference.mean() < 8


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "zstd", "packbits", "lzma"])
def test_compressions_of_tiff_are_read(compression: str) -> None:
    data = encoded("TIFF", compression=compression)
    np.testing.assert_array_equal(decode_image(data)[:, :, ::-1], PIXELS)


def test_sun_raster_is_read() -> None:
    head = struct.pack(">8I", 0x59A66A95, 64, 48, 24, PIXELS.nbytes, 1, 0, 0)
    np.testing.assert_array_equal(decode_image(head + PIXELS[:, :, ::-1].tobytes())[:, :, ::-1], PIXELS)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "zstd"}), ("PPM", {}), ("JPEG2000", {})],
)
def test_sixteen_bits_are_reduced_to_eight(kind: str, options: dict[str, Any]) -> None:
    deep = PIXELS[:, :, 0].astype(np.uint16) * 257
    file = io.BytesIO()
    Image.fromarray(deep).save(file, kind, **options)
    image = decode_image(file.getvalue())
    np.testing.assert_array_equal(image, np.repeat(PIXELS[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO", "HEIF"])
def test_the_first_of_several_images_is_read(kind: str) -> None:
    others = [Image.fromarray(255 - PIXELS)]
    data = encoded(kind, save_all=True, append_images=others)
    assert np.abs(decode_image(data)[:, :, ::-1].astype(int) - PIXELS).mean() < 8


@pytest.mark.parametrize(("kind", "dtype"), [("TIFF", np.float32), ("TIFF", np.int32), ("PPM", np.float32)])
def test_32_bits_are_refused(kind: str, dtype: type) -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS[:, :, 0].astype(dtype)).save(file, kind)
    assert "32 bits a channel; convert it to 8 or 16 bits" in refusal(file.getvalue())


@pytest.mark.parametrize("kind", ["EPS", "DDS"])
def test_documents_and_textures_are_refused(kind: str) -> None:
    """They are neither damaged nor unknown."""
    assert refusal(encoded(kind)) == f"a.image: {kind} is not read; convert it to JPEG or PNG"


@pytest.mark.parametrize("part", [0.3, 0.7, 0.97])
@pytest.mark.parametrize(
    "kind",
    ["AVIF", "BMP", "GIF", "HEIF", "ICO", "JPEG2000", "PCX", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP"],
)
def test_a_truncated_file_is_refused(kind: str, part: float) -> None:
    data = encoded(kind)
    decode_image(data)
    refusal(data[: int(len(data) * part)])


def test_heif_without_pillow_heif_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert refusal(data) == "a.image: a HEIF file needs pillow-heif; pip install 'trt-mogface[heif]'"


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypheic" + bytes(12),
        b"\0\0\0\x00ftypavif" + bytes(12),
        b"\0\0\0\x01ftypmif1",
        b"\xff\xff\xff\xffftypheic\0\0\0\0heic",
    ],
)
def test_boxes_of_impossible_sizes_are_refused(data: bytes) -> None:
    pytest.importorskip("pillow_heif")
    refusal(data)


def test_a_pdf_is_not_an_image() -> None:
    """Pillow only writes it."""
    assert refusal(encoded("PDF")) == "a.image: not an image in a known format"
