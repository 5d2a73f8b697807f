"""`Frame`: one still image or video frame, on the host or on a GPU, from the caller to the kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import ArgumentError, ImageError

PixelFormat = Literal["bgr", "nv12", "i420", "p010"]
ColorMatrix = Literal["bt601", "bt709", "bt2020"]
ColorRange = Literal["limited", "full"]

FORMATS: tuple[PixelFormat, ...] = get_args(PixelFormat)
MATRICES: tuple[ColorMatrix, ...] = get_args(ColorMatrix)
RANGES: tuple[ColorRange, ...] = get_args(ColorRange)

MAX_PIXELS = 100_000_000
"""Size of the largest image that is accepted, in pixels."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One still image or video frame.

    Planes are numpy arrays, or device arrays with ``__cuda_array_interface__``; rows may lie apart.

    =========  ==========================================================================================
    ``bgr``    one plane, uint8 [H, W, 3]
    ``nv12``   luma, uint8 [H, W], and interleaved U and V, uint8 [ceil(H/2), ceil(W/2), 2] or the same
               bytes as [ceil(H/2), 2 ceil(W/2)]
    ``i420``   luma, uint8 [H, W], U and V, uint8 [ceil(H/2), ceil(W/2)] each
    ``p010``   as ``nv12`` but uint16, with ten bits in the upper bits of each value
    =========  ==========================================================================================

    Attributes:
        planes: The planes, in the order above.
        format: Pixel format.
        matrix: Color matrix of YUV formats.
        range: Value range of YUV formats: ``limited`` (luma 16..235) or ``full`` (0..255).
        stream: CUDA stream whose work fills device planes: a handle, or a stream of cuda-core, torch, CuPy
            or PyCUDA; None if they are ready.  It must be of the GPU that reads them, and not the per-thread
            default stream (handle 2), because another thread may read them.
        source: Name of the camera, file or stream that the frame comes from.
        index: Number of the frame in its source, from 0.
        time: Presentation time in seconds.

    Raises:
        ArgumentError: If format, matrix or range is unknown, or ``planes`` is not a tuple.
        ImageError: If a plane has an unsupported type, shape, dtype or pitch, or planes are missing.

    Examples:
        >>> import numpy as np
        >>> Frame((np.zeros((5, 7), np.uint8), np.zeros((3, 8), np.uint8)), "nv12", index=3).size
        (5, 7)
    """

    planes: tuple[Any, ...]
    format: PixelFormat = "bgr"
    matrix: ColorMatrix = "bt601"
    range: ColorRange = "limited"
    stream: object = None
    source: str = ""
    index: int | None = None
    time: float | None = None

    def __post_init__(self) -> None:
        for name, known in (("format", FORMATS), ("matrix", MATRICES), ("range", RANGES)):
            value = getattr(self, name)
            if value not in known:
                raise ArgumentError(name, f"unknown {name} (choose from {', '.join(known)})", repr(value))
        if not isinstance(self.planes, tuple):
            raise ArgumentError("planes", f"must be a tuple of arrays, not {type(self.planes).__name__}")
        count = {"bgr": 1, "i420": 3}.get(self.format, 2)
        if len(self.planes) != count:
            raise ImageError(f"image: {self.format} must have {count} planes, not {len(self.planes)}")
        if self.format == "bgr":
            _check_bgr(self.planes[0])
        else:
            _check_yuv(self)

    @staticmethod
    def of(image: object, *, stream: object = None) -> Frame:
        """Return a frame as it is, or wrap a BGR array.

        Args:
            image: A `Frame`, or uint8 [H, W, 3], BGR, of numpy or on a GPU.
            stream: See `Frame`; ignored for a `Frame`.

        Raises:
            ImageError: If the array has an unsupported type, shape or dtype; the message says how to
                convert it.
        """
        return image if isinstance(image, Frame) else Frame((image,), stream=stream)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = _layout(self.planes[0])[0][:2]
        return height, width

    @property
    def on_host(self) -> bool:
        """Whether all planes are numpy arrays."""
        return all(isinstance(plane, np.ndarray) for plane in self.planes)


def _check_bgr(image: Any) -> None:
    if not isinstance(image, np.ndarray) and not hasattr(image, "__cuda_array_interface__"):
        raise ImageError(
            f"image: not an array but {type(image).__name__}; pass uint8 [H, W, 3] in BGR, such as "
            "cv2.imread returns"
        )
    shape, dtype, _ = _layout(image)
    what = f"{dtype} {list(shape)}"
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        raise ImageError(f"image: grayscale ({what}); convert with cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)")
    if len(shape) == 3 and shape[2] == 4:
        raise ImageError(f"image: four channels ({what}); use cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)")
    if len(shape) != 3 or shape[2] != 3:
        raise ImageError(f"image: not [H, W, 3] but {what}; pass uint8 in BGR")
    _check_size(shape[0], shape[1], what)
    if dtype != np.uint8:
        raise ImageError(f"image: not uint8 but {what}; {_to_bytes(image, dtype)}")


def _check_yuv(frame: Frame) -> None:
    luma = _layout(frame.planes[0])[0]
    if len(luma) != 2:
        raise ImageError(f"image: plane 0 of {frame.format} must be [H, W], not {list(luma)}")
    height, width = luma
    _check_size(height, width, frame.format)
    rows, columns = -(-height // 2), -(-width // 2)
    chroma = [(rows, columns)] if frame.format == "i420" else [(rows, columns, 2), (rows, 2 * columns)]
    dtype = np.dtype(np.uint16 if frame.format == "p010" else np.uint8)
    for number, plane in enumerate(frame.planes):
        shape, found, pitch = _layout(plane)
        what = f"image: plane {number} of {frame.format}"
        if found != dtype or (number and shape not in chroma):
            wanted = list(chroma[0] if number else luma)
            raise ImageError(f"{what} must be {dtype} {wanted}, not {found} {list(shape)}")
        row = dtype.itemsize * math.prod(shape[1:])
        if shape[0] > 1 and pitch < row:
            raise ImageError(f"{what} has a pitch of {pitch} bytes, less than a row of {row} bytes")


def _check_size(height: int, width: int, what: str) -> None:
    if not height or not width:
        raise ImageError(f"image: no pixels ({what})")
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"image: more than {MAX_PIXELS // 1_000_000} megapixels ({width}x{height}); scale it down"
        )


def _layout(plane: Any) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return shape, dtype and the bytes between rows of a plane."""
    if isinstance(plane, np.ndarray):
        return plane.shape, plane.dtype, plane.strides[0] if plane.ndim else 0
    interface = getattr(plane, "__cuda_array_interface__", None)
    if interface is None:
        raise ImageError(f"image: a plane is not an array but {type(plane).__name__}")
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    strides = interface.get("strides")
    return shape, dtype, strides[0] if strides else dtype.itemsize * math.prod(shape[1:])


def _to_bytes(image: Any, dtype: np.dtype[Any]) -> str:
    """Return advice on how to turn an array into uint8."""
    if dtype == np.uint16:
        return "convert with (image >> 8).astype(np.uint8)"
    if np.issubdtype(dtype, np.floating):
        if isinstance(image, np.ndarray) and not np.isfinite(image).all():
            return "it holds NaN or infinite values, find out where they come from first"
        return "convert with (image * 255).clip(0, 255).astype(np.uint8) if its values lie in 0..1"
    return "convert with image.clip(0, 255).astype(np.uint8)"


Image = NDArray[np.uint8]
"""A still image in host memory: uint8 [H, W, 3], BGR."""

ImageOrFrame: TypeAlias = Image | Frame
"""Input of a detector: a BGR array of numpy or on a GPU, or a frame."""
