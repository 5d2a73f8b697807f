"""Interfaces of a network on a GPU, which slots queue and capture."""

from __future__ import annotations

from typing import Protocol

from trt_mogface.cuda import DeviceMemory, Stream
from trt_mogface.models.manifest import Shape


class DeviceRun(Protocol):
    """A network with a shape and addresses of its own, so that a CUDA graph of it stays valid."""

    def enqueue(self, stream: Stream) -> None:
        """Queue the run; after a first time it neither waits nor allocates."""

    def can_capture(self, stream: Stream) -> bool:
        """Return whether `enqueue` may be captured from now on."""

    def close(self) -> None:
        """Free the run, after its graphs."""


class DeviceNetwork(Protocol):
    """A network on the GPU for one stream at a time: `trt_mogface.backends.gpu.engine.TensorRTNetwork`."""

    @property
    def scratch_bytes(self) -> int:
        """Device memory that a run needs."""

    @property
    def capturable(self) -> bool:
        """Whether runs can be captured in a CUDA graph; if not, `bind` is not called."""

    def check_shape(self, shape: Shape) -> None:
        """Refuse a shape (batch, height, width) that the network does not accept."""

    def enqueue(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> None:
        """Queue a run; see `trt_mogface.backends.gpu.engine.TensorRTNetwork.enqueue`."""

    def bind(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> DeviceRun:
        """Return a run that is set to these arguments for good."""

    def clone(self) -> DeviceNetwork:
        """Return a network that shares the weights, for another stream."""

    def close(self) -> None:
        """Free the network."""
