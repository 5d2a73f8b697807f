"""`Cuda`: the part of CUDA that slots use, independent of the library that provides it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from trt_mogface.cuda import driver
from trt_mogface.cuda.resources import DeviceMemory, Event, Graph, PinnedMemory, Stream
from trt_mogface.errors import CudaError


@dataclass(frozen=True)
class Device:
    """A GPU.

    Attributes:
        number: Number of the device in CUDA's order.
        name: Name that the driver reports.
        capability: Compute capability, major and minor.
        is_integrated: Whether the GPU shares the host's memory, as on Jetson.
        memory: Total device memory in bytes.
    """

    number: int
    name: str
    capability: tuple[int, int]
    is_integrated: bool
    memory: int


class Cuda(ABC):
    """One device in its primary context.

    Every method may be called from any thread, within `current`.  Resources may be closed anywhere, even
    during a capture.

    Raises:
        CudaError: If CUDA reports an error; the message names it.
        OutOfMemoryError: If memory cannot be allocated.
    """

    device: Device
    has_graphs = True
    """Whether streams can be captured."""

    def __init__(self) -> None:
        self._process = os.getpid()

    @abstractmethod
    def current(self) -> AbstractContextManager[None]:
        """Make the device current in this thread, and what was current before it again at the end."""

    def check_process(self) -> None:
        """Refuse a process that was forked after CUDA began, because CUDA would crash in it.

        Raises:
            CudaError: If this is such a process.
        """
        if os.getpid() != self._process:
            raise CudaError(
                "CUDA: this process was forked from one that uses CUDA; start using CUDA after the fork, or "
                "use the start method spawn"
            )

    @abstractmethod
    def free_memory(self) -> int:
        """Return the bytes of free device memory."""

    @abstractmethod
    def allocate(self, nbytes: int) -> DeviceMemory:
        """Allocate device memory, aligned to 256 bytes."""

    @abstractmethod
    def pin(self, nbytes: int, *, mapped: bool = False) -> PinnedMemory:
        """Allocate page-locked host memory; if `mapped`, the GPU reads and writes it in place."""

    @abstractmethod
    def device_address(self, array: NDArray[Any]) -> int | None:
        """Return the device address of an array in page-locked host memory, or None if it is pageable."""

    def memory_device(self, address: int) -> int | None:
        """Return the number of the GPU that an address belongs to; None if it is not one of a GPU."""
        return driver.memory_device(address)

    def foreign_device(self, stream: int) -> int | None:
        """Return the number of the GPU of a stream of another context; None for a stream of this one."""
        return driver.foreign_device(stream)

    @abstractmethod
    def stream(self) -> Stream:
        """Create a stream that does not synchronize with the default stream."""

    @abstractmethod
    def event(self, *, timed: bool = False) -> Event:
        """Create an event."""

    @abstractmethod
    def copy_in(self, target: DeviceMemory, source: PinnedMemory, nbytes: int, stream: Stream) -> None:
        """Queue a copy of the first bytes of host memory to the device."""

    @abstractmethod
    def copy_array(self, target: int, source: NDArray[Any], stream: Stream) -> None:
        """Queue a copy of a contiguous array in page-locked host memory to a device address."""

    @abstractmethod
    def copy_out(self, target: PinnedMemory, source: DeviceMemory, nbytes: int, stream: Stream) -> None:
        """Queue a copy of the first bytes of device memory to the host."""

    @abstractmethod
    def record(self, event: Event, stream: Stream) -> None:
        """Record an event after the work queued on a stream; during a capture, as a node of the graph."""

    @abstractmethod
    def wait_stream(self, stream: Stream, other: int) -> None:
        """Make later work on `stream` wait for all work already queued on the stream handle `other`."""

    @abstractmethod
    def wait(self, event: Event) -> None:
        """Block the host until an event is complete."""

    @abstractmethod
    def synchronize(self, stream: Stream) -> None:
        """Block the host until all work of a stream is complete."""

    @abstractmethod
    def elapsed(self, begin: Event, end: Event) -> float:
        """Return the milliseconds between two complete timed events."""

    @abstractmethod
    def begin_capture(self, stream: Stream) -> None:
        """Record later work on a stream instead of running it."""

    @abstractmethod
    def end_capture(self, stream: Stream) -> Graph:
        """Return the recorded work as a graph; if recording failed, raise and leave the stream usable."""

    def capture(self, stream: Stream, work: Callable[[], object]) -> Graph:
        """Return what `work` queues on a stream as a graph; whatever it raises, the capture is over."""
        self.begin_capture(stream)
        try:
            work()
        except BaseException:
            with suppress(CudaError):  # the first exception says what is wrong
                self.end_capture(stream).close()
            raise
        return self.end_capture(stream)

    @abstractmethod
    def launch(self, graph: Graph, stream: Stream) -> None:
        """Queue a graph on a stream."""
