"""`Cuda`: the little of CUDA that the runner uses, whichever library provides it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass

from trt_mogface.cuda.resources import DeviceMemory, Event, Graph, PinnedMemory, Stream
from trt_mogface.errors import CudaError


@dataclass(frozen=True)
class Device:
    """A GPU.

    Attributes:
        number: CUDA's.
        name: As the driver names it.
        capability: Compute capability.
        is_integrated: Whether it shares the host's memory, as on Jetson.
        memory: Bytes in all.
    """

    number: int
    name: str
    capability: tuple[int, int]
    is_integrated: bool
    memory: int


class Cuda(ABC):
    """One device, in its primary context.

    Every method may be called from any thread, after `activate` in that thread.  All raise `CudaError`, which
    names CUDA's error, and `OutOfMemoryError`, which says what was asked for and what is free.
    """

    device: Device

    def __init__(self) -> None:
        self._process = os.getpid()

    @abstractmethod
    def activate(self) -> None:
        """Make the device the current one of this thread."""

    def check_process(self) -> None:
        """Refuse a process that was forked after CUDA began: it cannot use it, and would crash.

        Raises:
            CudaError: It is one.
        """
        if os.getpid() != self._process:
            raise CudaError(
                "this process was forked from one that uses CUDA, and cannot use it: "
                "begin with CUDA after the fork, or use the start method spawn"
            )

    @abstractmethod
    def free_memory(self) -> int:
        """Bytes of device memory that are free."""

    @abstractmethod
    def allocate(self, nbytes: int) -> DeviceMemory:
        """Device memory, aligned to 256 bytes."""

    @abstractmethod
    def pin(self, nbytes: int, *, mapped: bool = False) -> PinnedMemory:
        """Pinned host memory; mapped, the GPU reaches it by an address of its own."""

    @abstractmethod
    def stream(self) -> Stream:
        """A stream that does not wait for the default one."""

    @abstractmethod
    def event(self, *, timed: bool = False) -> Event:
        """An event."""

    @abstractmethod
    def copy_in(self, target: DeviceMemory, source: PinnedMemory, nbytes: int, stream: Stream) -> None:
        """Copy the first bytes of host memory to the device."""

    @abstractmethod
    def copy_out(self, target: PinnedMemory, source: DeviceMemory, nbytes: int, stream: Stream) -> None:
        """Copy the first bytes of device memory to the host."""

    @abstractmethod
    def record(self, event: Event, stream: Stream) -> None:
        """Put the event behind the work of a stream; into a graph too, while one is captured."""

    @abstractmethod
    def follow(self, stream: Stream, other: int) -> None:
        """Let later work of a stream wait for what the stream of another handle has been given so far."""

    @abstractmethod
    def wait(self, event: Event) -> None:
        """Wait, on the host, until the event has come."""

    @abstractmethod
    def synchronize(self, stream: Stream) -> None:
        """Wait, on the host, for all work of a stream."""

    @abstractmethod
    def elapsed(self, begin: Event, end: Event) -> float:
        """Milliseconds between two timed events that have come."""

    @abstractmethod
    def begin_capture(self, stream: Stream) -> None:
        """From now on the stream's work is kept, not done."""

    @abstractmethod
    def end_capture(self, stream: Stream) -> Graph:
        """What was kept since, as a graph; after an error in between, raises and leaves the stream usable."""

    @abstractmethod
    def launch(self, graph: Graph, stream: Stream) -> None:
        """Do a graph's work."""
