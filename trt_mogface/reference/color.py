"""Frames of all formats to BGR: the specification of what the letterbox kernel computes.

YUV is converted in 32-bit integers with factors of 20 fractional bits.  Chroma is that of the nearest sample.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface.frame import ColorMatrix, ColorRange, Frame, Image

RED_BLUE: dict[ColorMatrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
"""Shares of red and blue in the luma (ITU-R BT.601, BT.709, BT.2020)."""

FRACTION = 20
"""Fractional bits of the factors."""


class Factors(NamedTuple):
    """Factors of luma and chroma in blue, green and red, and the values that stand for zero."""

    luma: int
    blue_of_u: int
    green_of_u: int
    green_of_v: int
    red_of_v: int
    black: int
    gray: int


OPENCV = Factors(1220542, 2116026, -409993, -852492, 1673527, 16, 128)
"""Factors of ``cv2.cvtColor``, which has BT.601 in limited range with three decimals."""


def factors(matrix: ColorMatrix, range: ColorRange, bits: int) -> Factors:  # noqa: A002
    """Return the factors for samples of 8 or 10 bits."""
    if (matrix, range, bits) == ("bt601", "limited", 8):
        return OPENCV
    red, blue = RED_BLUE[matrix]
    limited, unit = range == "limited", 1 << (bits - 8)
    luma = 255 * (1 << FRACTION) / (219 * unit if limited else (1 << bits) - 1)
    chroma = 255 * (1 << FRACTION) / (224 * unit if limited else (1 << bits) - 1)
    of_u, of_v, green = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma, 1 - red - blue
    in_green = -round(of_u * blue / green), -round(of_v * red / green)
    black, gray = 16 * unit if limited else 0, 128 * unit
    return Factors(round(luma), round(of_u), *in_green, round(of_v), black, gray)


def to_bgr(frame: Frame) -> Image:
    """Convert a frame on the host to BGR.

    Returns:
        uint8 [H, W, 3]; the plane itself if the frame is BGR.
    """
    if frame.format == "bgr":
        return cast(Image, frame.planes[0])
    height, width = frame.size
    u, v = _chroma(frame)
    bits = 10 if frame.format == "p010" else 8
    by = factors(frame.matrix, frame.range, bits)
    if by is OPENCV and height % 2 == width % 2 == 0:  # the same to the last bit, and faster
        return _by_opencv(frame, u, v)
    luma = _samples(frame.planes[0], bits) - by.black
    rounded = np.maximum(luma, 0) * np.int32(by.luma) + np.int32(1 << (FRACTION - 1))
    u, v = _samples(u, bits) - by.gray, _samples(v, bits) - by.gray
    out = np.empty((height, width, 3), np.uint8)
    parts = by.blue_of_u * u, by.green_of_u * u + by.green_of_v * v, by.red_of_v * v
    for channel, part in enumerate(parts):
        everywhere = part.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        out[:, :, channel] = ((rounded + everywhere) >> FRACTION).clip(0, 255)
    return out


def _chroma(frame: Frame) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return U and V, each [ceil(H / 2), ceil(W / 2)]."""
    if frame.format == "i420":
        return frame.planes[1], frame.planes[2]
    pairs = frame.planes[1].reshape(len(frame.planes[1]), -1, 2)
    return pairs[..., 0], pairs[..., 1]


def _samples(plane: NDArray[np.generic], bits: int) -> NDArray[np.int32]:
    """Return the numbers of a plane; ten bits lie at the top of sixteen."""
    numbers = plane.astype(np.int32)
    return numbers >> 6 if bits == 10 else numbers


def _by_opencv(frame: Frame, u: NDArray[np.generic], v: NDArray[np.generic]) -> Image:
    height, width = frame.size
    stacked = np.empty((height * 3 // 2, width), np.uint8)
    stacked[:height] = frame.planes[0]
    if frame.format == "i420":
        stacked[height:].reshape(2, *u.shape)[:] = u, v
        return cv2.cvtColor(stacked, cv2.COLOR_YUV2BGR_I420)  # type: ignore[return-value]
    stacked[height:] = frame.planes[1].reshape(len(u), width)
    return cv2.cvtColor(stacked, cv2.COLOR_YUV2BGR_NV12)  # type: ignore[return-value]
