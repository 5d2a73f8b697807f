"""`Cuda` on NVIDIA's own cuda-bindings."""

from __future__ import annotations

from typing import Any

from trt_mogface._optional import require
from trt_mogface.cuda.interface import Cuda, Device
from trt_mogface.cuda.resources import DeviceMemory, Event, Graph, PinnedMemory, Resource, Stream
from trt_mogface.errors import CudaError, OutOfMemoryError


class CudaPython(Cuda):
    """See `Cuda`.

    Args:
        device: Number of the GPU.

    Raises:
        MissingExtraError: cuda-bindings is not installed.
        CudaError: No driver, or no such device.
    """

    def __init__(self, device: int = 0) -> None:
        super().__init__()
        self._runtime: Any = require("cuda.bindings.runtime", extra="cuda")
        self._ask(self._runtime.cudaSetDevice(device), f"device {device}")
        attribute = self._runtime.cudaDeviceAttr
        major, minor, integrated = (
            self._ask(self._runtime.cudaDeviceGetAttribute(which, device), f"device {device}")
            for which in (
                attribute.cudaDevAttrComputeCapabilityMajor,
                attribute.cudaDevAttrComputeCapabilityMinor,
                attribute.cudaDevAttrIntegrated,
            )
        )
        properties = self._ask(self._runtime.cudaGetDeviceProperties(device), f"device {device}")
        name = properties.name.decode() if isinstance(properties.name, bytes) else str(properties.name)
        _, total = self._memory()
        self.device = Device(device, name.rstrip("\0"), (major, minor), bool(integrated), total)

    def activate(self) -> None:
        """See `Cuda`."""
        self.check_process()
        self._ask(self._runtime.cudaSetDevice(self.device.number), f"device {self.device.number}")

    def free_memory(self) -> int:
        """See `Cuda`."""
        return self._memory()[0]

    def allocate(self, nbytes: int) -> DeviceMemory:
        """See `Cuda`."""
        pointer = self._ask(self._runtime.cudaMalloc(nbytes), "device memory", nbytes)
        return DeviceMemory(int(pointer), nbytes, self._freeing(self._runtime.cudaFree))

    def pin(self, nbytes: int, *, mapped: bool = False) -> PinnedMemory:
        """See `Cuda`."""
        flags = self._runtime.cudaHostAllocMapped if mapped else self._runtime.cudaHostAllocPortable
        pointer = int(self._ask(self._runtime.cudaHostAlloc(nbytes, flags), "pinned memory", nbytes))
        release = self._freeing(self._runtime.cudaFreeHost)
        if not mapped:
            return PinnedMemory(pointer, nbytes, release)
        seen = self._ask(self._runtime.cudaHostGetDevicePointer(pointer, 0), "mapped memory")
        return PinnedMemory(pointer, nbytes, release, int(seen))

    def stream(self) -> Stream:
        """See `Cuda`."""
        flags = self._runtime.cudaStreamNonBlocking
        handle = self._ask(self._runtime.cudaStreamCreateWithFlags(flags), "a stream")
        return Stream(int(handle), self._freeing(self._runtime.cudaStreamDestroy))

    def event(self, *, timed: bool = False) -> Event:
        """See `Cuda`."""
        flags = 0 if timed else self._runtime.cudaEventDisableTiming
        handle = self._ask(self._runtime.cudaEventCreateWithFlags(flags), "an event")
        return Event(int(handle), self._freeing(self._runtime.cudaEventDestroy))

    def copy_in(self, target: DeviceMemory, source: PinnedMemory, nbytes: int, stream: Stream) -> None:
        """See `Cuda`."""
        self._copy(target, source, nbytes, "cudaMemcpyHostToDevice", stream)

    def copy_out(self, target: PinnedMemory, source: DeviceMemory, nbytes: int, stream: Stream) -> None:
        """See `Cuda`."""
        self._copy(target, source, nbytes, "cudaMemcpyDeviceToHost", stream)

    def record(self, event: Event, stream: Stream) -> None:
        """See `Cuda`."""
        status = self._ask(self._runtime.cudaStreamIsCapturing(stream.handle), "a stream")
        capturing = status != self._runtime.cudaStreamCaptureStatus.cudaStreamCaptureStatusNone
        # In a graph an event is a node of its own only where it is said to be for outside.
        flags = self._runtime.cudaEventRecordExternal if capturing else self._runtime.cudaEventRecordDefault
        self._ask(
            self._runtime.cudaEventRecordWithFlags(event.handle, stream.handle, flags), "recording an event"
        )

    def follow(self, stream: Stream, other: int) -> None:
        """See `Cuda`."""
        event = self.event()
        self._ask(self._runtime.cudaEventRecord(event.handle, other), "recording an event")
        self._ask(self._runtime.cudaStreamWaitEvent(stream.handle, event.handle, 0), "following a stream")
        event.close()  # CUDA keeps what is waited for

    def wait(self, event: Event) -> None:
        """See `Cuda`."""
        self._ask(self._runtime.cudaEventSynchronize(event.handle), "waiting for an event")

    def synchronize(self, stream: Stream) -> None:
        """See `Cuda`."""
        self._ask(self._runtime.cudaStreamSynchronize(stream.handle), "waiting for a stream")

    def elapsed(self, begin: Event, end: Event) -> float:
        """See `Cuda`."""
        return float(self._ask(self._runtime.cudaEventElapsedTime(begin.handle, end.handle), "a time"))

    def begin_capture(self, stream: Stream) -> None:
        """See `Cuda`."""
        # Other threads of the program may allocate meanwhile; this one may not.
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._ask(self._runtime.cudaStreamBeginCapture(stream.handle, mode), "capturing")

    def end_capture(self, stream: Stream) -> Graph:
        """See `Cuda`."""
        captured = self._ask(self._runtime.cudaStreamEndCapture(stream.handle), "capturing")
        try:
            ready = self._ask(self._runtime.cudaGraphInstantiate(captured, 0), "making a graph")
        finally:
            self._runtime.cudaGraphDestroy(captured)
        return Graph(int(ready), self._freeing(self._runtime.cudaGraphExecDestroy))

    def launch(self, graph: Graph, stream: Stream) -> None:
        """See `Cuda`."""
        self._ask(self._runtime.cudaGraphLaunch(graph.handle, stream.handle), "launching a graph")

    def _copy(self, target: Resource, source: Resource, nbytes: int, kind: str, stream: Stream) -> None:
        way = getattr(self._runtime.cudaMemcpyKind, kind)
        self._ask(
            self._runtime.cudaMemcpyAsync(target.handle, source.handle, nbytes, way, stream.handle), "a copy"
        )

    def _memory(self) -> tuple[int, int]:
        status, free, total = self._runtime.cudaMemGetInfo()
        self._ask((status,), "memory")
        return int(free), int(total)

    def _freeing(self, function: Any) -> Any:
        """What frees a handle: on its device, and without an exception, as nobody could catch it."""
        set_device, number = self._runtime.cudaSetDevice, self.device.number

        def free(handle: int) -> None:
            set_device(number)
            function(handle)

        return free

    def _ask(self, answer: tuple[Any, ...], what: str, nbytes: int | None = None) -> Any:
        """What a function answered, but for its status."""
        status, *values = answer
        if status == self._runtime.cudaError_t.cudaSuccess:
            return values[0] if values else None
        if status == self._runtime.cudaError_t.cudaErrorMemoryAllocation and nbytes is not None:
            raise OutOfMemoryError(what, nbytes, self._memory()[0])
        _, name = self._runtime.cudaGetErrorName(status)
        _, text = self._runtime.cudaGetErrorString(status)
        raise CudaError(f"{what}: {_text(name)} ({_text(text)})")


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
