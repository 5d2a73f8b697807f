"""Made-up frames of all formats, and what the standards say of their colors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.device import memory
from trt_mogface.frame import ColorMatrix, ColorRange, Frame, PixelFormat

RED_BLUE = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}

Numbers = NDArray[Any]


def levels(kind: PixelFormat, range_: ColorRange) -> tuple[int, int, int]:
    """Luma of black and white, and chroma of gray."""
    unit = 4 if kind == "p010" else 1
    black, white = (16 * unit, 235 * unit) if range_ == "limited" else (0, 256 * unit - 1)
    return black, white, 128 * unit


def yuv_frame(
    kind: PixelFormat,
    y: Numbers,
    u: Numbers,
    v: Numbers,
    matrix: ColorMatrix = "bt601",
    range_: ColorRange = "limited",
) -> Frame:
    """A frame of these samples: luma [H, W], U and V [ceil(H / 2), ceil(W / 2)]."""
    shift, dtype = (6, np.uint16) if kind == "p010" else (0, np.uint8)
    y, u, v = (np.asarray(np.asarray(plane) << shift, dtype) for plane in (y, u, v))
    planes = (y, u, v) if kind == "i420" else (y, np.stack([u, v], axis=-1))
    return Frame(planes, kind, matrix, range_)


def made_frame(
    kind: PixelFormat,
    size: tuple[int, int],
    matrix: ColorMatrix = "bt601",
    range_: ColorRange = "limited",
    *,
    seed: int = 0,
    flat: int = 1,
    legal: bool = False,
) -> Frame:
    """Noise, with one chroma for ``flat`` x ``flat`` samples; ``legal`` keeps the luma within its range."""
    rng = np.random.default_rng([seed, *size])
    height, width = size
    if kind == "bgr":
        return Frame((rng.integers(0, 256, (height, width, 3), np.uint8),))
    most = 1024 if kind == "p010" else 256
    black, white, _ = levels(kind, range_)
    rows, columns = -(-height // 2), -(-width // 2)
    luma = rng.integers(black, white + 1, size) if legal else rng.integers(0, most, size)
    chroma = rng.integers(0, most, (2, rows, columns))
    u, v = chroma[:, ::flat, ::flat].repeat(flat, axis=1).repeat(flat, axis=2)[:, :rows, :columns]
    return yuv_frame(kind, luma, u, v, matrix, range_)


def bgr_by_formula(frame: Frame) -> NDArray[np.float64]:
    """BGR of a frame from the shares of red and blue in the luma; luma below black is black."""
    height, width = frame.size
    shift = 6 if frame.format == "p010" else 0
    y = frame.planes[0] >> shift
    if frame.format == "i420":
        u, v = frame.planes[1:]
    else:
        u, v = np.moveaxis(frame.planes[1].reshape(len(frame.planes[1]), -1, 2) >> shift, -1, 0)
    black, white, gray = levels(frame.format, frame.range)
    span = (white - black) * 224 / 219 if frame.range == "limited" else white
    luma = np.maximum(y.astype(float) - black, 0) / (white - black)
    cb, cr = (
        (plane.astype(float) - gray).repeat(2, axis=0).repeat(2, axis=1)[:height, :width] / span
        for plane in (u, v)
    )
    red_share, blue_share = RED_BLUE[frame.matrix]
    red, blue = luma + 2 * (1 - red_share) * cr, luma + 2 * (1 - blue_share) * cb
    green = (luma - red_share * red - blue_share * blue) / (1 - red_share - blue_share)
    bgr: NDArray[np.float64] = np.clip(255 * np.stack([blue, green, red], axis=-1), 0, 255)
    return bgr


def apart(rows: Numbers, gap: int = 0, offset: int = 0) -> Numbers:
    """The same rows with ``gap`` bytes between them, in memory that ends with the last.

    They begin ``offset`` bytes beyond an aligned address.
    """
    height, length = rows.shape[0], rows[0].nbytes
    whole = memory((height - 1) * (length + gap) + length, offset=offset)
    strides = (length + gap, *np.ascontiguousarray(rows).strides[1:])
    view: Numbers = np.ndarray(rows.shape, rows.dtype, whole.data, strides=strides)
    view[...] = rows
    return view


def laid_apart(frame: Frame, gap: int = 0, offset: int = 0) -> Frame:
    """The same frame with `apart` planes."""
    planes = tuple(apart(plane, gap * plane.itemsize, offset * plane.itemsize) for plane in frame.planes)
    return Frame(planes, frame.format, frame.matrix, frame.range)
