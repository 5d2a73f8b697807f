"""Frames on their way to the GPU: packed behind their descriptions in one piece of memory, copied at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trt_mogface.backends.base import Placed
from trt_mogface.cuda import Cuda, DeviceArray, Stream, mirrored
from trt_mogface.kernels import FRAME_BYTES, Frame, Kernels

ALIGNMENT = 256
"""Of each frame, for the kernels' wide loads."""

STEP = 1 << 20
"""Sizes of a copy are multiples of this, so that few graphs serve many sizes of frames."""


class Staging:
    """Room for the frames of one batch, on the host and on the device.

    On an integrated GPU there is one room: the device reads the host's memory, and nothing is copied.  It
    grows with the largest batch that came, so that nothing is allocated after the first few.

    Args:
        cuda: The device.
        kernels: Describe frames.

    Raises:
        OutOfMemoryError: No room.
    """

    def __init__(self, cuda: Cuda, kernels: Kernels) -> None:
        self._cuda, self._kernels = cuda, kernels
        self._host, self._device, self.address = mirrored(cuda, STEP)

    def fill(self, pictures: Sequence[Placed], canvas: tuple[int, int], stream: Stream) -> int:
        """Pack a batch, and return the bytes to copy.

        A picture that is an array of the device stays where it is, and only its description is copied.

        Raises:
            KernelError: A picture that the kernels cannot take.
            OutOfMemoryError: No room.
        """
        offsets, end = [], _aligned(len(pictures) * FRAME_BYTES)
        for picture in pictures:
            offsets.append(end)
            if isinstance(picture.image, np.ndarray):
                end += _aligned(picture.image.nbytes)
        nbytes = -(-end // STEP) * STEP
        if nbytes > self._host.nbytes:
            self.close()
            self._host, self._device, self.address = mirrored(self._cuda, nbytes)
        memory = self._host.array
        frames = []
        for offset, picture in zip(offsets, pictures):
            pixels: object = picture.image
            if isinstance(picture.image, np.ndarray):
                shape = picture.image.shape
                memory[offset : offset + picture.image.nbytes].reshape(shape)[...] = picture.image
                pixels = DeviceArray(self.address + offset, shape, np.dtype(np.uint8), self)
            frames.append(Frame(pixels, picture.placement))
        table = self._kernels.frame_table(frames, canvas, stream=stream)
        memory[: table.nbytes] = table.ravel()
        return nbytes

    def table(self, count: int) -> DeviceArray:
        """The descriptions of the frames, in device memory."""
        return DeviceArray(self.address, (count, FRAME_BYTES), np.dtype(np.uint8), self)

    def upload(self, nbytes: int, stream: Stream) -> None:
        """Copy to the device, where there is something to copy."""
        if self._device is not None:
            self._cuda.copy_in(self._device, self._host, nbytes, stream)

    def close(self) -> None:
        """Free it; closing twice is harmless."""
        if self._device is not None:
            self._device.close()
        self._host.close()


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
