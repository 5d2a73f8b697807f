"""Memory of a slot that host and device exchange: frames on the way in, faces on the way out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.options import SlotOptions
from trt_mogface.cuda import Cuda, DeviceArray, Stream, mirrored
from trt_mogface.detections import Detections
from trt_mogface.frame import Frame
from trt_mogface.kernels import FRAME_BYTES, Faces, Kernels
from trt_mogface.reference.resize import Placement

ALIGNMENT = 256
"""Alignment of each plane and array in bytes, for wide loads."""

STEP = 1 << 20
"""Packed planes are copied in multiples of this many bytes, so that few graphs serve many frame sizes."""


class FrameBuffer:
    """Frames of one batch: a table that describes them, followed by their planes.

    Table and pageable planes are packed in pinned memory and uploaded at once.  Page-locked planes of the
    caller are copied from their own memory, behind the others; device planes stay where they are.  On an
    integrated GPU the device reads pinned and page-locked memory in place, and nothing is copied.

    The buffer grows with the largest batch, so that nothing is allocated once it is warm.

    Args:
        cuda: Device of the buffer.
        kernels: Kernels that read the table.

    Raises:
        OutOfMemoryError: If the buffer cannot be allocated.
    """

    def __init__(self, cuda: Cuda, kernels: Kernels) -> None:
        self._cuda, self._kernels = cuda, kernels
        self._host, self._device, self.address = mirrored(cuda, STEP)

    def fill(
        self, frames: Sequence[Frame], placements: Sequence[Placement], size: tuple[int, int], stream: Stream
    ) -> int:
        """Pack a batch, and queue the copies of page-locked planes.

        Args:
            frames: Frames of the batch; page-locked planes must not change before it is done.
            placements: Positions of the frames in the network input.
            size: Height and width of the network input.
            stream: Stream of the slot.

        Returns:
            Number of bytes to `upload`.

        Raises:
            ArgumentError: If the kernels cannot read a frame.
            OutOfMemoryError: If the buffer cannot grow.
        """
        planes = {id(p): p for frame in frames for p in frame.planes if isinstance(p, np.ndarray)}
        locked = {key: address for key, plane in planes.items() if (address := self._locked(plane))}
        pageable = {key: plane for key, plane in planes.items() if key not in locked}
        packed, end = _laid_out(pageable, _aligned(len(frames) * FRAME_BYTES))
        nbytes = -(-end // STEP) * STEP
        direct, end = _laid_out({key: planes[key] for key in locked} if self._device else {}, nbytes)
        self._reserve(end)
        addresses = locked | {key: self.address + offset for key, offset in (packed | direct).items()}
        memory = self._host.array
        for key, offset in packed.items():
            plane = pageable[key]
            room = memory[offset : offset + plane.nbytes].view(plane.dtype)
            room.reshape(plane.shape)[...] = plane
        reachable = [self._reachable(frame, addresses) for frame in frames]
        table = self._kernels.frame_table(reachable, placements, size, stream=stream)
        memory[: table.nbytes] = table.ravel()
        for key in direct:
            self._cuda.copy_array(addresses[key], planes[key], stream)
        return nbytes

    def table(self, count: int) -> DeviceArray:
        """Return the table of `count` frames, in device memory."""
        return DeviceArray(self.address, (count, FRAME_BYTES), np.dtype(np.uint8), self)

    def upload(self, nbytes: int, stream: Stream) -> None:
        """Queue the copy of table and packed planes, if there is one."""
        if self._device is not None:
            self._cuda.copy_in(self._device, self._host, nbytes, stream)

    def close(self) -> None:
        """Free the buffer; closing twice is harmless."""
        if self._device is not None:
            self._device.close()
        self._host.close()

    def _locked(self, plane: NDArray[Any]) -> int | None:
        """Return the device address of a page-locked plane without gaps, else None."""
        return self._cuda.device_address(plane) if plane.flags.c_contiguous else None

    def _reserve(self, nbytes: int) -> None:
        if nbytes > self._host.nbytes:
            self.close()
            self._host, self._device, self.address = mirrored(self._cuda, nbytes)

    def _reachable(self, frame: Frame, addresses: dict[int, int]) -> Frame:
        """Return a frame whose host planes are replaced by device arrays."""
        planes = (
            DeviceArray(addresses[id(plane)], plane.shape, plane.dtype, self)
            if id(plane) in addresses
            else plane
            for plane in frame.planes
        )
        return dataclasses.replace(frame, planes=tuple(planes), stream=None)


class FaceBuffer:
    """Faces of one batch, written by the device and copied to the host at once.

    On an integrated GPU the device writes the host's memory, and nothing is copied.

    Args:
        cuda: Device of the buffer.
        options: Resolved options, which limit the number of faces.
        batch: Largest batch.

    Raises:
        OutOfMemoryError: If the buffer cannot be allocated; nothing stays allocated.
    """

    def __init__(self, cuda: Cuda, options: SlotOptions, batch: int) -> None:
        self._cuda, self._options = cuda, options
        empty = {
            name: np.broadcast_to(dtype(0), shape) for name, (dtype, shape) in self._parts(batch).items()
        }
        self._offsets, self.nbytes = _laid_out(empty, 0)
        self._host, self._device, self._address = mirrored(cuda, self.nbytes)

    def on_device(self, count: int) -> Faces:
        """Return the arrays that the kernels fill for `count` frames."""
        return Faces(
            **{
                name: DeviceArray(self._address + self._offsets[name], shape, np.dtype(dtype), self)
                for name, (dtype, shape) in self._parts(count).items()
            }
        )

    def download(self, stream: Stream) -> None:
        """Queue the copy to the host, if there is one."""
        if self._device is not None:
            self._cuda.copy_out(self._host, self._device, self.nbytes, stream)

    def detections(self, frames: Sequence[Frame], *, views: bool = False) -> list[Detections]:
        """Return the faces of frames, as copies or as views that the next batch overwrites."""
        memory = self._host.array
        arrays: dict[str, Any] = {}
        for name, (dtype, shape) in self._parts(len(frames)).items():
            at = self._offsets[name]
            nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
            arrays[name] = memory[at : at + nbytes].view(dtype).reshape(shape)
        counts, dropped = arrays.pop("counts").tolist(), arrays.pop("dropped").tolist()
        found = []
        for row, (frame, count) in enumerate(zip(frames, counts)):
            kept = {name: array[row, :count] for name, array in arrays.items()}
            faces = kept if views else {name: array.copy() for name, array in kept.items()}
            found.append(
                Detections(
                    xyxy=faces["boxes"],
                    confidence=faces["scores"],
                    landmarks=faces.get("landmarks"),
                    image_size=frame.size,
                    dropped=dropped[row],
                )
            )
        return found

    def close(self) -> None:
        """Free the buffer; closing twice is harmless."""
        if self._device is not None:
            self._device.close()
        self._host.close()

    def _parts(self, count: int) -> dict[str, tuple[type[Any], tuple[int, ...]]]:
        points, most = self._options.spec.landmarks, self._options.thresholds.most_faces
        parts: dict[str, tuple[type[Any], tuple[int, ...]]] = {
            "counts": (np.int32, (count,)),
            "dropped": (np.int32, (count,)),
            "boxes": (np.float32, (count, most, 4)),
            "scores": (np.float32, (count, most)),
        }
        if points:
            parts["landmarks"] = np.float32, (count, most, points, 2)
        return parts


def _laid_out(arrays: dict[Any, NDArray[Any]], start: int) -> tuple[dict[Any, int], int]:
    """Return the aligned offset of each array behind `start`, and the end of the last one."""
    offsets = {}
    for key, array in arrays.items():
        offsets[key] = start
        start += _aligned(array.nbytes)
    return offsets, start


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
