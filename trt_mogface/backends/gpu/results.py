"""The faces of a batch on their way from the GPU: one piece of memory on either side, copied at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trt_mogface.backends.base import Placed
from trt_mogface.backends.options import Settings
from trt_mogface.cuda import Cuda, DeviceArray, Stream, mirrored
from trt_mogface.detections import Detections
from trt_mogface.kernels import Faces

ALIGNMENT = 256


class Results:
    """Room for the faces of one batch, on the device and on the host.

    On an integrated GPU there is one room, and nothing is copied.

    Args:
        cuda: The device.
        settings: Say how many faces there may be.
        batch: Most pictures.

    Raises:
        OutOfMemoryError: No room; nothing is kept.
    """

    def __init__(self, cuda: Cuda, settings: Settings, batch: int) -> None:
        self._cuda, self._settings, self._batch = cuda, settings, batch
        self._offsets: dict[str, int] = {}
        self.nbytes = 0
        for name, (dtype, shape) in self._parts(batch).items():
            self._offsets[name] = self.nbytes
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            self.nbytes += -(-size // ALIGNMENT) * ALIGNMENT
        self._host, self._device, self._address = mirrored(cuda, self.nbytes)

    def on_device(self, count: int) -> Faces:
        """Where the kernels write the faces of so many pictures."""
        return Faces(
            **{
                name: DeviceArray(self._address + self._offsets[name], shape, np.dtype(dtype), self)
                for name, (dtype, shape) in self._parts(count).items()
            }
        )

    def download(self, stream: Stream) -> None:
        """Copy to the host, where there is something to copy."""
        if self._device is not None:
            self._cuda.copy_out(self._host, self._device, self.nbytes, stream)

    def detections(self, pictures: Sequence[Placed], *, views: bool = False) -> list[Detections]:
        """The faces of these pictures: copies, or views of the room, which the next batch overwrites."""
        memory = self._host.array
        arrays: dict[str, Any] = {}
        for name, (dtype, shape) in self._parts(len(pictures)).items():
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            offset = self._offsets[name]
            arrays[name] = memory[offset : offset + size].view(dtype).reshape(shape)
        faces = []
        for row, picture in enumerate(pictures):
            count = int(arrays["counts"][row])
            found = {
                name: arrays[name][row, :count] if views else arrays[name][row, :count].copy()
                for name in ("boxes", "scores", "landmarks")
                if name in arrays
            }
            faces.append(
                Detections(
                    xyxy=found["boxes"],
                    confidence=found["scores"],
                    landmarks=found.get("landmarks"),
                    image_size=(picture.image.shape[0], picture.image.shape[1]),
                    dropped=int(arrays["dropped"][row]),
                )
            )
        return faces

    def close(self) -> None:
        """Free it; closing twice is harmless."""
        if self._device is not None:
            self._device.close()
        self._host.close()

    def _parts(self, count: int) -> dict[str, tuple[type, tuple[int, ...]]]:
        spec, most = self._settings.spec, self._settings.thresholds.most_faces
        parts: dict[str, tuple[type, tuple[int, ...]]] = {
            "counts": (np.int32, (count,)),
            "dropped": (np.int32, (count,)),
            "boxes": (np.float32, (count, most, 4)),
            "scores": (np.float32, (count, most)),
        }
        if spec.landmarks:
            parts["landmarks"] = np.float32, (count, most, spec.landmarks, 2)
        return parts
