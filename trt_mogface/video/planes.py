"""Decoded frames of PyAV as `Frame`: the decoder's own planes where their layout is one of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import ImageError
from trt_mogface.frame import MAX_PIXELS, ColorMatrix, ColorRange, Frame, PixelFormat
from trt_mogface.video.nvdec import CPU, is_on_device, to_device_frame

if TYPE_CHECKING:
    from av import VideoFrame

KEPT: dict[str, PixelFormat] = {
    "yuv420p": "i420",
    "yuvj420p": "i420",
    "nv12": "nv12",
    "p010le": "p010",
    "yuv420p10le": "p010",
}
"""Formats whose planes stay as they are; others, which are rare, become BGR."""

DEEP = ("p010le", "yuv420p10le")
INTERLEAVED = ("nv12", "p010le")

MATRICES: dict[int, ColorMatrix] = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
"""Color matrices by their number in ISO/IEC 23091-2; others are read as BT.601."""

FULL = 2
"""Number of the full value range."""


class Orientation(NamedTuple):
    """How a stored frame is turned before it is shown: first transposed, then reversed."""

    is_transposed: bool = False
    reverses_rows: bool = False
    reverses_columns: bool = False

    def apply(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return a plane as it is shown: [H, W] or [H, W, channels]."""
        turned = plane.swapaxes(0, 1) if self.is_transposed else plane
        turned = turned[::-1] if self.reverses_rows else turned
        return np.ascontiguousarray(turned[:, ::-1] if self.reverses_columns else turned)


UPRIGHT = Orientation()


def orientation_of(decoded: VideoFrame) -> Orientation:
    """Return how a frame is to be turned, by its display matrix; angles between are rounded."""
    side_data: Any = decoded.side_data
    found = next((bytes(data) for data in side_data if "MATRIX" in str(data.type)), None)
    if found is None or len(found) != 36:
        return UPRIGHT
    a, b, _, c, d, *_ = (int(value) for value in np.frombuffer(found, np.int32))  # x' = ax + cy, y' = bx + dy
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(is_transposed=True, reverses_rows=b < 0, reverses_columns=c < 0)
    return Orientation(reverses_rows=d < 0, reverses_columns=a < 0)


def to_frame(
    decoded: VideoFrame,
    orientation: Orientation,
    source: str,
    index: int,
    time: float | None,
    *,
    for_cpu: bool = False,
) -> Frame:
    """Return a decoded frame as it is shown, in host memory or, if NVDEC has decoded it, on the GPU.

    Args:
        decoded: Frame of PyAV; its memory is used, not copied, where that is possible.
        orientation: See `orientation_of`.
        source, index, time: See `Frame`.
        for_cpu: Whether the network runs on the CPU, which needs BGR.  Then planes stay only where OpenCV
            converts them: swscale is many times faster than the reference for other matrices and ranges.

    Raises:
        ImageError: If the frame is larger than `MAX_PIXELS`, or is on a GPU and has to be turned.
    """
    width, height, name = decoded.width, decoded.height, decoded.format.name
    if width * height > MAX_PIXELS:
        limit = f"more than {MAX_PIXELS // 1_000_000} megapixels ({width}x{height})"
        raise ImageError(f"{source}: {limit}; scale it down")
    matrix = MATRICES.get(int(decoded.colorspace), "bt601")
    is_full = int(decoded.color_range) == FULL or name == "yuvj420p"
    value_range: ColorRange = "full" if is_full else "limited"
    is_turned = orientation != UPRIGHT
    if is_on_device(decoded):
        if is_turned:
            raise ImageError(f"{source}: a video that is turned stays upright on the CPU only; {CPU}")
        return to_device_frame(decoded, matrix, value_range, source, index, time)
    is_odd = width % 2 or height % 2  # turned, its pairs of pixels would begin elsewhere
    is_slow = is_odd or KEPT.get(name) == "p010" or (matrix, value_range) != ("bt601", "limited")
    if name not in KEPT or (is_turned and is_odd) or (for_cpu and is_slow):
        image = orientation.apply(decoded.to_ndarray(format="bgr24"))
        return Frame((image,), source=source, index=index, time=time)
    planes = _p010(decoded) if name == "yuv420p10le" else _planes(decoded)
    if is_turned:
        planes = tuple(map(orientation.apply, planes))
    return Frame(planes, KEPT[name], matrix, value_range, source=source, index=index, time=time)


def _planes(decoded: VideoFrame) -> tuple[NDArray[Any], ...]:
    """Return views of the decoder's planes: [H, W], or [H, W, 2] for interleaved chroma."""
    name = decoded.format.name
    dtype = np.dtype(np.uint16 if name in DEEP else np.uint8)
    views = []
    for number, plane in enumerate(decoded.planes):
        samples = 2 if number and name in INTERLEAVED else 1
        rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)  # type: ignore[call-overload]
        view = rows[: plane.height, : plane.width * samples]
        views.append(view.reshape(plane.height, plane.width, 2) if samples == 2 else view)
    return tuple(views)


def _p010(decoded: VideoFrame) -> tuple[NDArray[Any], ...]:
    """Return planes of ten bits in the form of P010: at the top of sixteen, chroma interleaved."""
    luma, u, v = _planes(decoded)
    pairs = np.empty((*u.shape, 2), np.uint16)
    np.left_shift(u, 6, out=pairs[..., 0])
    np.left_shift(v, 6, out=pairs[..., 1])
    return luma << 6, pairs
