"""Picture files and arrays, most of them unusable: each must be refused in one line."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.support.photos import PORTRAIT
from tests.support.specs import one_line
from trt_mogface.errors import ImageError
from trt_mogface.frame import Frame
from trt_mogface.images import read_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 60, 3), np.uint8)


def encoded(suffix: str, pixels: NDArray[Any] = PIXELS) -> bytes:
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return bytes(data)


def refused(path: Path) -> str:
    with pytest.raises(ImageError) as error:
        read_image(path)
    message = one_line(error.value)
    assert message.startswith(f"{path}: ")
    return message


def refused_bytes(tmp_path: Path, data: bytes, name: str = "picture.jpg") -> str:
    path = tmp_path / name
    path.write_bytes(data)
    return refused(path)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
def test_lossless_formats_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    parameters = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), PIXELS, parameters)
    image = read_image(tmp_path / f"a{suffix}")
    assert image.dtype == np.uint8
    assert np.array_equal(image, PIXELS)


def test_a_jpeg_is_read_as_pillow_reads_it() -> None:
    with Image.open(PORTRAIT) as picture:
        expected = np.array(picture.convert("RGB"))[:, :, ::-1]
    difference = np.abs(read_image(PORTRAIT).astype(int) - expected)
    assert difference.max() <= 3  # two decoders round differently
    assert difference.mean() < 0.5


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "nope.jpg")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "directory" in refused(tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "0 bytes" in refused_bytes(tmp_path, b"")


@pytest.mark.parametrize(
    "data", [b"just text\n", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"\0" * 100, b"GIF89a", b"BM" + b"\xff" * 60]
)
def test_something_else_named_jpg_is_refused(tmp_path: Path, data: bytes) -> None:
    refused_bytes(tmp_path, data)


@pytest.mark.parametrize("part", [0.01, 0.1, 0.3, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    data = encoded(suffix)
    refused_bytes(tmp_path, data[: int(len(data) * part)], f"cut{suffix}")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([".jpg", ".png", ".bmp", ".tiff", ".webp"]), st.data())
def test_damage_gives_a_picture_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    damaged = bytearray(encoded(suffix))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, min(len(damaged), 300) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / f"a{suffix}"
    path.write_bytes(damaged)
    try:
        image = read_image(path)
    except ImageError as error:
        one_line(error)
    else:
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)


def test_sixteen_bits_are_shortened_to_eight(tmp_path: Path) -> None:
    deep = RNG.integers(0, 2**16, (9, 7, 3), np.uint16)
    (tmp_path / "deep.png").write_bytes(encoded(".png", deep))
    difference = np.abs(read_image(tmp_path / "deep.png").astype(int) - deep / 257)
    assert difference.max() <= 1


def test_grey_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "gray.png").write_bytes(encoded(".png", PIXELS[:, :, 0]))
    assert np.array_equal(read_image(tmp_path / "gray.png"), np.repeat(PIXELS[:, :, :1], 3, axis=2))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    alpha = np.dstack([PIXELS, RNG.integers(0, 256, PIXELS.shape[:2], np.uint8)])
    (tmp_path / "alpha.png").write_bytes(encoded(".png", alpha))
    assert np.array_equal(read_image(tmp_path / "alpha.png"), PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(tmp_path: Path, orientation: int) -> None:
    blocks = np.kron(RNG.integers(0, 256, (4, 6, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(blocks).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    # Definition of the tag: where row 0 and column 0 of the stored picture are when it is seen upright.
    upright = {
        1: blocks,
        2: blocks[:, ::-1],
        3: blocks[::-1, ::-1],
        4: blocks[::-1],
        5: blocks.transpose(1, 0, 2),
        6: np.rot90(blocks, -1),
        7: blocks[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(blocks),
    }[orientation]
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == upright.shape
    assert np.abs(image[:, :, ::-1].astype(int) - upright).mean() < 3


def png_of_size(width: int, height: int) -> bytes:
    """A valid black one-bit PNG of any size; its data shrink to nearly nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_the_large_png_below_is_a_valid_one() -> None:
    with Image.open(io.BytesIO(png_of_size(300, 200))) as picture:
        picture.load()
        assert picture.size == (300, 200)


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_001, 10_000)])
def test_a_large_picture_is_refused_before_it_is_decoded(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "large.png").write_bytes(png_of_size(*size))
    # Its own process, because the peak of memory is a process's; decoded it would be 300 MB or more.
    code = (
        "import sys; from pathlib import Path\n"
        "from trt_mogface import read_image; import PIL.Image\n"
        "def peak(): return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "try: read_image(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, peak() - before, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "large.png"], capture_output=True, text=True, check=True
    )
    kind, kilobytes, message = done.stdout.split(" ", 2)
    assert kind == "ImageTooLargeError"
    assert int(kilobytes) < 50_000
    assert "megapixels" in one_line(ValueError(message.strip()))


ARRAYS = [
    (PIXELS[:, :, 0], "COLOR_GRAY2BGR"),
    (PIXELS[:, :, :1], "COLOR_GRAY2BGR"),
    (np.zeros((4, 4, 4), np.uint8), "COLOR_BGRA2BGR"),
    (PIXELS.astype(np.uint16), ">> 8"),
    (PIXELS.astype(np.float32) / 255, "* 255"),
    (np.full((4, 4, 3), np.nan), "NaN"),
    (np.full((4, 4, 3), np.inf, np.float16), "infinite"),
    (PIXELS.astype(np.int64), "clip"),
    (np.ones((4, 4, 3), bool), "astype(np.uint8)"),
    (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    (np.zeros((4, 0, 3), np.uint8), "no pixels"),
    (np.zeros((2, 4, 4, 3), np.uint8), "[H, W, 3]"),
    (np.zeros((3, 4, 5), np.uint8), "[H, W, 3]"),
    (np.zeros(3, np.uint8), "[H, W, 3]"),
    (np.array(7, np.uint8), "[H, W, 3]"),
    (np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)), "scale it down"),
    (PIXELS.tolist(), "cv2.imread"),
    ("photo.jpg", "cv2.imread"),
    (None, "cv2.imread"),
]


@pytest.mark.parametrize(("array", "hint"), ARRAYS, ids=[hint for _, hint in ARRAYS])
def test_another_array_is_refused_with_what_to_do(array: Any, hint: str) -> None:
    with pytest.raises(ImageError) as error:
        Frame.of(array)
    message = one_line(error.value)
    assert message.startswith("image: ")
    assert hint in message


def test_a_good_array_is_passed_on_uncopied() -> None:
    views = [PIXELS, PIXELS[::-1, ::2], PIXELS.transpose(1, 0, 2), np.zeros((1, 1, 3), np.uint8)]
    assert all(Frame.of(view).planes[0] is view for view in views)
