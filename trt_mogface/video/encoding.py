"""Frames for the video encoder: the planes of `Frame` as PyAV's frames, and the encoder's options."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface._optional import needs
from trt_mogface.frame import ColorMatrix, ColorRange, Frame
from trt_mogface.reference.color import to_bgr

if TYPE_CHECKING:
    from av import VideoFrame

Encoder = Literal["libx264", "h264_nvenc"]

TICKS = 90_000
"""Time stamps a second: 90 kHz has whole numbers for all common rates."""

TIME_BASE = Fraction(1, TICKS)

OPTIONS: dict[Encoder, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "crf": "23", "tune": "zerolatency", "g": "50"},
    "h264_nvenc": {"preset": "p4", "tune": "ull", "rc": "vbr", "cq": "23", "zerolatency": "1", "g": "50"},
}
"""Options with which a frame leaves the encoder at once, so that a killed run loses none within it."""

NVENC_SIDES = 160, 4096
"""Least and largest width and height that NVENC takes on all cards."""

Colors = tuple[ColorMatrix, ColorRange]

NUMBERS: dict[ColorMatrix, int] = {"bt601": 6, "bt709": 1}
"""Color matrices that are encoded, by their number in ISO/IEC 23091-2."""


def colors_of(frame: Frame) -> Colors:
    """Return the colors to encode a source in, by its first frame: its own if that is possible."""
    if frame.format in ("i420", "nv12") and frame.matrix in NUMBERS:
        return frame.matrix, frame.range
    return "bt709", "limited"


@cache
def has_nvenc() -> bool:
    """Return whether NVENC encodes here (untested on a GPU)."""
    with needs("video"):
        import av

    try:
        context = av.CodecContext.create("h264_nvenc", "w")
        context.width = context.height = 256
        context.pix_fmt, context.time_base = "yuv420p", TIME_BASE
        context.open()
    except Exception:  # noqa: BLE001 -- without a GPU or its driver PyAV raises exceptions of many types
        return False
    return True


def encoder_for(height: int, width: int) -> Encoder:
    """Return NVENC where a GPU has it for this size, or else x264."""
    least, largest = NVENC_SIDES
    fits = all(least <= side <= largest for side in (height, width))
    return "h264_nvenc" if fits and has_nvenc() else "libx264"


def configure(stream: Any, size: tuple[int, int], colors: Colors) -> None:
    """Set size, pixel format, time base and colors of an output stream of PyAV.

    Args:
        stream: Video stream of an output container.
        size: Height and width of the frames; an odd one is rounded up.
        colors: Color matrix and value range.
    """
    stream.height, stream.width = (side + side % 2 for side in size)
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = TIME_BASE
    matrix, full = colors
    context.color_range = 2 if full == "full" else 1
    context.colorspace = context.color_primaries = context.color_trc = NUMBERS[matrix]


def to_video_frame(frame: Frame, colors: Colors) -> VideoFrame:
    """Return a frame for the encoder: 4:2:0, its sides even, its last column and row repeated if odd.

    Args:
        frame: Frame on the host.
        colors: Color matrix and value range to encode; a frame of others is converted.
    """
    if frame.format in ("i420", "nv12") and (frame.matrix, frame.range) == colors:
        return _from_planes(frame)
    return _from_image(to_bgr(frame), colors)


def _from_planes(frame: Frame) -> VideoFrame:
    import av

    height, width = frame.size
    made = av.VideoFrame(width + width % 2, height + height % 2, "yuv420p")
    planes = frame.planes
    if frame.format == "nv12":
        pairs = planes[1].reshape(len(planes[1]), -1, 2)
        planes = planes[0], pairs[..., 0], pairs[..., 1]
    for target, plane in zip(made.planes, planes):
        _fill(np.frombuffer(target, np.uint8).reshape(-1, target.line_size), plane)  # type: ignore[call-overload]
    return made


def _fill(target: NDArray[np.uint8], plane: NDArray[np.uint8]) -> None:
    """Copy a plane, and repeat its last column and row."""
    height, width = plane.shape
    target[:height, :width] = plane
    target[:height, width : width + 1] = plane[:, -1:]
    target[height : height + 1] = target[height - 1]


def _from_image(image: NDArray[np.uint8], colors: Colors) -> VideoFrame:
    import av
    from av.video.reformatter import ColorRange as AvRange
    from av.video.reformatter import Colorspace

    height, width = image.shape[:2]
    if height % 2 or width % 2:
        bottom, right = height % 2, width % 2
        padded = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        image = np.asarray(padded, np.uint8)
    matrix, full = colors
    return av.VideoFrame.from_ndarray(image, format="bgr24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709 if matrix == "bt709" else Colorspace.ITU601,
        dst_color_range=AvRange.JPEG if full == "full" else AvRange.MPEG,
    )
