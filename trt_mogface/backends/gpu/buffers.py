"""Memory of a slot that host and device exchange: frames on the way in, faces on the way out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trt_mogface.cuda import Cuda, DeviceArray, DeviceMemory, Stream
from trt_mogface.detections import Detections
from trt_mogface.frame import Frame
from trt_mogface.kernels import FRAME_BYTES, Faces, Kernels
from trt_mogface.reference.resize import Placement

ALIGNMENT = 256
"""Alignment of each plane and array in bytes, for wide loads."""

STEP = 1 << 20
"""Packed planes are copied in multiples of this many bytes, so that few graphs serve many frame sizes."""

TRUNCATED = "truncated"
"""Name of the array with the numbers of candidates beyond a limit."""

Part: TypeAlias = "tuple[str, np.dtype[Any], tuple[int, ...]]"
"""Name, type and shape of an array."""


class Buffer:
    """Pinned host memory and its counterpart on the device.

    On an integrated GPU the device reads and writes the host's memory, and nothing is copied.

    Args:
        cuda: Device of the buffer.
        nbytes: Size.

    Raises:
        OutOfMemoryError: If either side cannot be allocated; nothing stays allocated.
    """

    _device: DeviceMemory | None
    address: int
    """Address on the device."""
    generation: int
    """Number of allocations: a graph with either address is stale once it changes, though CUDA may give the
    same addresses out again."""

    def __init__(self, cuda: Cuda, nbytes: int) -> None:
        self._cuda, self.generation = cuda, 0
        self._allocate(nbytes)

    def upload(self, nbytes: int, stream: Stream) -> None:
        """Queue the copy of the first bytes to the device, if there is one."""
        if self._device is not None:
            self._cuda.copy_in(self._device, self._host, nbytes, stream)

    def download(self, stream: Stream) -> None:
        """Queue the copy to the host, if there is one."""
        if self._device is not None:
            self._cuda.copy_out(self._host, self._device, self._host.nbytes, stream)

    def close(self) -> None:
        """Free the buffer; closing twice is harmless."""
        if self._device is not None:
            self._device.close()
        self._host.close()

    def _allocate(self, nbytes: int) -> None:
        self.generation += 1
        with ExitStack() as made:
            host = made.enter_context(closing(self._cuda.pin(nbytes, mapped=self._cuda.device.is_integrated)))
            if host.device_pointer is None:
                self._device = self._cuda.allocate(nbytes)
                self.address = self._device.handle
            else:
                self._device, self.address = None, host.device_pointer
            self._host = host
            made.pop_all()


class FrameBuffer(Buffer):
    """Frames of one batch: a table for each pass that describes them, followed by their planes.

    Tables and pageable planes are packed in pinned memory and uploaded at once.  Page-locked planes of the
    caller are copied from their own memory, behind the others, unless the device reads them in place; device
    planes stay where they are.  The buffer grows with the largest batch, so that nothing is allocated once it
    is warm.

    Args:
        cuda: Device of the buffer.
        kernels: Kernels that read the tables.
    """

    def __init__(self, cuda: Cuda, kernels: Kernels) -> None:
        super().__init__(cuda, STEP)
        self._kernels = kernels

    def fill(
        self,
        frames: Sequence[Frame],
        passes: Sequence[Sequence[Placement]],
        stream: Stream,
        resident: Sequence[Frame] = (),
    ) -> int:
        """Pack a batch, and queue the copies of page-locked planes.

        Args:
            frames: Frames of the batch; page-locked planes must not change before it is done.
            passes: Positions of the frames in the network input of each pass.
            stream: Stream of the slot.
            resident: As many frames in the slot's own memory, which one more table describes.

        Returns:
            Number of bytes to `upload`.
        """
        planes = {id(p): p for frame in frames for p in frame.planes if isinstance(p, np.ndarray)}
        locked = {key: address for key, plane in planes.items() if (address := self._locked(plane))}
        pageable = {key: plane for key, plane in planes.items() if key not in locked}
        sizes = {key: plane.nbytes for key, plane in pageable.items()}
        tables = len(passes) * len(frames) + len(resident)
        packed, end = _laid_out(sizes, _aligned(tables * FRAME_BYTES))
        nbytes = -(-end // STEP) * STEP
        direct, end = _laid_out({key: planes[key].nbytes for key in locked} if self._device else {}, nbytes)
        if self._host.closed or end > self._host.nbytes:  # closed: it could not grow before
            self.close()
            self._allocate(end)
        addresses = locked | {key: self.address + offset for key, offset in (packed | direct).items()}
        memory = self._host.array
        for key, offset in packed.items():
            plane = pageable[key]
            np.ndarray(plane.shape, plane.dtype, memory.data, offset)[...] = plane
        reachable = [self._reachable(frame, addresses) for frame in frames]
        described: list[tuple[Sequence[Frame], Sequence[Placement]]] = [(reachable, each) for each in passes]
        if resident:
            described.append((resident, [Placement((1.0, 1.0), each.size, each.size) for each in resident]))
        for number, (given, placements) in enumerate(described):
            table = self._kernels.frame_table(given, placements, placements[0].canvas, stream=stream)
            memory[number * table.nbytes :][: table.nbytes] = table.ravel()
        for key in direct:
            self._cuda.copy_array(addresses[key], planes[key], stream)
        return nbytes

    def table(self, number: int, count: int) -> DeviceArray:
        """Return the table of `count` frames in a pass, in device memory; resident frames follow the last."""
        address = self.address + number * count * FRAME_BYTES
        return DeviceArray(address, (count, FRAME_BYTES), np.dtype(np.uint8), self)

    def _locked(self, plane: NDArray[Any]) -> int | None:
        """Return the device address of a page-locked plane without gaps, else None."""
        return self._cuda.device_address(plane) if plane.flags.c_contiguous else None

    def _reachable(self, frame: Frame, addresses: dict[int, int]) -> Frame:
        """Return a frame whose host planes are replaced by device arrays."""
        planes = list(frame.planes)
        for i, plane in enumerate(planes):
            if id(plane) in addresses:
                planes[i] = DeviceArray(addresses[id(plane)], plane.shape, plane.dtype, self)
        return dataclasses.replace(frame, planes=tuple(planes), stream=None)


class FaceLayout:
    """Arrays of the faces of one batch in one piece of memory.

    Attributes:
        nbytes: Size of the memory.

    Args:
        points: Landmarks of a face.
        most: Largest number of faces of an image.
        batch: Largest batch.
        truncates: Whether candidates beyond a limit are counted.
    """

    def __init__(self, points: int, most: int, batch: int, *, truncates: bool = False) -> None:
        self._points, self._most, self._truncates = points, most, truncates
        sizes = {name: math.prod(shape) * dtype.itemsize for name, dtype, shape in self._parts(batch)}
        self._offsets, self.nbytes = _laid_out(sizes, 0)

    def on_device(self, address: int, count: int, owner: object) -> Faces:
        """Return the arrays of `count` frames at an address; `owner` keeps the memory alive."""
        at = {name: address + offset for name, offset in self._offsets.items()}
        parts = self._parts(count)
        arrays = {name: DeviceArray(at[name], shape, dtype, owner) for name, dtype, shape in parts}
        arrays.pop(TRUNCATED, None)
        return Faces(**arrays)

    def truncated(self, address: int, count: int, owner: object) -> DeviceArray:
        """Return the numbers of candidates of `count` frames beyond a limit."""
        return DeviceArray(address + self._offsets[TRUNCATED], (count,), np.dtype(np.int32), owner)

    def on_host(self, memory: memoryview, count: int) -> dict[str, NDArray[Any]]:
        """Return the arrays of `count` frames by name."""
        return {
            name: np.ndarray(shape, dtype, memory, self._offsets[name])
            for name, dtype, shape in self._parts(count)
        }

    def _parts(self, count: int) -> list[Part]:
        int32, float32 = np.dtype(np.int32), np.dtype(np.float32)
        each = (count, self._most)
        parts: list[Part] = [("counts", int32, (count,)), ("dropped", int32, (count,))]
        if self._truncates:
            parts.append((TRUNCATED, int32, (count,)))
        parts += ("boxes", float32, (*each, 4)), ("scores", float32, each)
        if self._points:
            parts.append(("landmarks", float32, (*each, self._points, 2)))
        return parts


class FaceBuffer(Buffer):
    """Faces of one batch, written by the device and copied to the host at once.

    Args:
        cuda: Device of the buffer.
        layout: Arrays of the largest batch.
    """

    def __init__(self, cuda: Cuda, layout: FaceLayout) -> None:
        self._layout = layout
        super().__init__(cuda, layout.nbytes)

    def on_device(self, count: int) -> Faces:
        """Return the arrays that the kernels fill for `count` frames."""
        return self._layout.on_device(self.address, count, self)

    def truncated(self, count: int) -> DeviceArray:
        """Return the numbers of candidates of `count` frames beyond a limit, which the kernels fill too."""
        return self._layout.truncated(self.address, count, self)

    def detections(self, frames: Sequence[Frame], *, views: bool = False) -> list[Detections]:
        """Return the faces of frames, as copies or as views that the next batch overwrites."""
        arrays = self._layout.on_host(self._host.array.data, len(frames))
        counts, dropped = arrays.pop("counts").tolist(), arrays.pop("dropped").tolist()
        truncated = arrays.pop(TRUNCATED).tolist() if TRUNCATED in arrays else [0] * len(frames)
        found = []
        for row, (frame, count) in enumerate(zip(frames, counts)):
            faces = {name: np.array(array[row, :count], copy=not views) for name, array in arrays.items()}
            landmarks = faces.get("landmarks")
            arguments = faces["boxes"], faces["scores"], landmarks, frame.size, dropped[row]
            found.append(Detections(*arguments, truncated=truncated[row]))
        return found


def _laid_out(sizes: dict[Any, int], start: int) -> tuple[dict[Any, int], int]:
    """Return the aligned offset of each piece behind `start`, and the end of the last one."""
    offsets = {}
    for key, nbytes in sizes.items():
        offsets[key] = start
        start += _aligned(nbytes)
    return offsets, start


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
