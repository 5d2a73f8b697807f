"""Video decoded by a GPU's NVDEC: PyAV's CUDA frames as device `Frame`, without a copy to the host.

Untested on a GPU.  PyAV decodes with the primary CUDA context, which is that of the runner.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trt_mogface._optional import needs
from trt_mogface.errors import ArgumentError, DeviceError, ImageError
from trt_mogface.frame import ColorMatrix, ColorRange, Frame
from trt_mogface.kernels.arrays import LEGACY_STREAM, Array, array

if TYPE_CHECKING:
    from av import VideoFrame
    from av.codec.hwaccel import HWAccel

LIBRARY = "libnvcuvid.so.1"
"""NVDEC in the driver."""

RESERVE = 16
"""Decoded frames that batches and their consumers may hold, beyond those that the decoder needs."""

OPTIONS = {"extra_hw_frames": str(RESERVE)}
"""Options of a decoder on a GPU."""

CPU = "use decoder='cpu'"


def check_nvdec(device: int = 0) -> None:
    """Refuse a machine without NVDEC.

    Args:
        device: Number of the GPU.

    Raises:
        DeviceError: If PyAV has no CUDA, or driver or GPU are missing.
        MissingExtraError: If PyAV is not installed.
    """
    with needs("video"):
        from av import Codec
        from av.codec.hwaccel import hwdevices_available

    if "cuda" not in hwdevices_available():
        raise DeviceError(f"decoder nvdec: this build of PyAV has no CUDA; install its wheel, or {CPU}")
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        hint = "in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
        raise DeviceError(
            f"decoder nvdec: {LIBRARY} of the NVIDIA driver is missing; {hint}, or {CPU}"
        ) from None
    try:
        acceleration(device).create(Codec("h264", "r"))
    except Exception as error:  # PyAV's exceptions share no base
        raise DeviceError(
            f"decoder nvdec: GPU {device} does not open ({type(error).__name__}); {CPU}"
        ) from error


def acceleration(device: int = 0) -> HWAccel:
    """Return the argument ``hwaccel`` of ``av.open`` that keeps decoded frames on a GPU.

    Streams that NVDEC does not decode, such as 4:2:2 of older GPUs, are decoded on the CPU.
    """
    from av.codec.hwaccel import HWAccel

    return HWAccel("cuda", device=str(device), is_hw_owned=True, allow_software_fallback=True)


def is_on_device(decoded: VideoFrame) -> bool:
    """Return whether a decoded frame lies on a GPU."""
    return decoded.format.name == "cuda"


@dataclass(frozen=True)
class DevicePlane:
    """A plane of a decoded frame, which it keeps from being used again.

    Attributes:
        memory: Address, pitch and owner of the plane.
        shape: Rows, columns, and 2 for interleaved chroma.
    """

    memory: Array
    shape: tuple[int, ...]

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        size = self.memory.dtype.itemsize
        inner = (2 * size, size) if len(self.shape) == 3 else (size,)
        return {
            "shape": self.shape,
            "typestr": self.memory.dtype.str,
            "data": (self.memory.pointer, True),
            "strides": (self.memory.pitch, *inner),
            "version": 3,
        }


class _Exported:
    """A plane of PyAV whose DLPack export takes no stream; the work that fills it is waited for elsewhere."""

    def __init__(self, plane: Any) -> None:
        self._plane = plane

    def __dlpack_device__(self) -> tuple[int, int]:
        found: tuple[int, int] = self._plane.__dlpack_device__()
        return found

    def __dlpack__(self, *, stream: object = None) -> object:
        return self._plane.__dlpack__()


def planes_of(decoded: VideoFrame, *, host: bool = False) -> tuple[DevicePlane, DevicePlane]:
    """Return luma and interleaved chroma of a frame in NV12 or P010.

    Args:
        decoded: Frame of PyAV.
        host: Whether it lies in host memory, as the device memory of emulated kernels does.

    Raises:
        ArgumentError: If PyAV does not export the pixel format, or it lies in other memory.
    """
    height, width = decoded.height, decoded.width
    luma, chroma = (array(_Exported(plane), "plane", host=host, pitched=True) for plane in decoded.planes)
    # PyAV rounds the size of the chroma down.
    return DevicePlane(luma, (height, width)), DevicePlane(chroma, (-(-height // 2), -(-width // 2), 2))


def to_device_frame(
    decoded: VideoFrame,
    matrix: ColorMatrix,
    value_range: ColorRange,
    source: str,
    index: int,
    time: float | None,
) -> Frame:
    """Return a frame that NVDEC has decoded, on the GPU.

    FFmpeg fills it on the default stream, for which the reader of the frame waits.

    Args:
        decoded: Frame of PyAV; its memory is used, not copied.
        matrix, value_range: See `Frame`.
        source, index, time: See `Frame`.

    Raises:
        ImageError: If it has another pixel format than NV12 and P010, or lies in host memory.
    """
    try:
        planes = planes_of(decoded)
    except ArgumentError as error:
        raise ImageError(f"{source}: the decoded frame {error.problem}; {CPU}") from error
    kind = "p010" if planes[0].memory.dtype.itemsize == 2 else "nv12"
    return Frame(planes, kind, matrix, value_range, LEGACY_STREAM, source, index, time)  # type: ignore[arg-type]
