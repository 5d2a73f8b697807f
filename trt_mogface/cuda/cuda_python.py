"""`Cuda` by cuda-bindings, NVIDIA's own library."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray
from typing_extensions import override

from trt_mogface._optional import require
from trt_mogface.cuda.driver import bindings_extra, driver_version
from trt_mogface.cuda.interface import Cuda, Device
from trt_mogface.cuda.resources import DeviceMemory, Event, Graph, PinnedMemory, Stream
from trt_mogface.errors import CudaError, OutOfMemoryError


class CudaPython(Cuda):
    """`Cuda` by cuda-bindings."""

    def __init__(self, device: int = 0) -> None:
        super().__init__()
        self._runtime: Any = require("cuda.bindings.runtime", extra=bindings_extra())
        self._driver: Any = require("cuda.bindings.driver", extra=bindings_extra())
        kinds, asked = self._runtime.cudaDeviceAttr, self._runtime.cudaDeviceGetAttribute
        what = f"device {device}"
        try:
            name = _text(self._ask(self._runtime.cudaGetDeviceProperties(device), what).name)
        except RuntimeError as error:  # of cuda-bindings 12.8 without a driver
            raise CudaError(f"{what}: no NVIDIA driver found ({error})") from error
        capability = kinds.cudaDevAttrComputeCapabilityMajor, kinds.cudaDevAttrComputeCapabilityMinor
        major, minor = (self._ask(asked(kind, device), what) for kind in capability)
        integrated = self._ask(asked(kinds.cudaDevAttrIntegrated, device), what)
        self._ask(self._driver.cuInit(0), what)
        # The runtime would select a device for good; contexts of the driver can be put back.
        self._context = self._ask(self._driver.cuDevicePrimaryCtxRetain(device), what)
        self.device = Device(device, name.rstrip("\0"), (major, minor), bool(integrated), 0)
        with self.current():
            self.device = dataclasses.replace(self.device, memory=self._memory()[1])

    @override
    @contextmanager
    def current(self) -> Iterator[None]:
        self.check_process()
        self._ask(self._driver.cuCtxPushCurrent(self._context), f"device {self.device.number}")
        try:
            yield
        finally:
            self._driver.cuCtxPopCurrent()

    @override
    def free_memory(self) -> int:
        return self._memory()[0]

    @override
    def allocate(self, nbytes: int) -> DeviceMemory:
        pointer = self._ask(self._runtime.cudaMalloc(nbytes), "device memory", nbytes)
        return DeviceMemory(int(pointer), nbytes, self._freeing(self._runtime.cudaFree))

    @override
    def pin(self, nbytes: int, *, mapped: bool = False) -> PinnedMemory:
        flags = self._runtime.cudaHostAllocMapped if mapped else self._runtime.cudaHostAllocPortable
        pointer = int(self._ask(self._runtime.cudaHostAlloc(nbytes, flags), "pinned memory", nbytes))
        release = self._freeing(self._runtime.cudaFreeHost)
        if not mapped:
            return PinnedMemory(pointer, nbytes, release)
        seen = self._ask(self._runtime.cudaHostGetDevicePointer(pointer, 0), "mapped memory")
        return PinnedMemory(pointer, nbytes, release, int(seen))

    @override
    def device_address(self, array: NDArray[Any]) -> int | None:
        # Both ends, because a program can page-lock a part of its buffer.
        first = array.__array_interface__["data"][0]
        addresses = [self._device_address(first), self._device_address(first + array.nbytes - 1)]
        return addresses[0] if None not in addresses else None

    def _device_address(self, address: int) -> int | None:
        status, found = self._runtime.cudaPointerGetAttributes(address)
        if status != self._runtime.cudaError_t.cudaSuccess:
            return None
        page_locked = found.type == self._runtime.cudaMemoryType.cudaMemoryTypeHost
        return int(found.devicePointer) or None if page_locked else None

    @override
    def stream(self) -> Stream:
        flags = self._runtime.cudaStreamNonBlocking
        handle = self._ask(self._runtime.cudaStreamCreateWithFlags(flags), "stream")
        return Stream(int(handle), self._freeing(self._runtime.cudaStreamDestroy))

    @override
    def event(self, *, timed: bool = False) -> Event:
        flags = 0 if timed else self._runtime.cudaEventDisableTiming
        handle = self._ask(self._runtime.cudaEventCreateWithFlags(flags), "event")
        return Event(int(handle), self._freeing(self._runtime.cudaEventDestroy))

    @override
    def copy_in(self, target: DeviceMemory, source: PinnedMemory, nbytes: int, stream: Stream) -> None:
        self._copy(target.handle, source.handle, nbytes, "cudaMemcpyHostToDevice", stream)

    @override
    def copy_array(self, target: int, source: NDArray[Any], stream: Stream) -> None:
        address = source.__array_interface__["data"][0]
        self._copy(target, address, source.nbytes, "cudaMemcpyHostToDevice", stream)

    @override
    def copy_out(self, target: PinnedMemory, source: DeviceMemory, nbytes: int, stream: Stream) -> None:
        self._copy(target.handle, source.handle, nbytes, "cudaMemcpyDeviceToHost", stream)

    @override
    def record(self, event: Event, stream: Stream) -> None:
        status = self._ask(self._runtime.cudaStreamIsCapturing(stream.handle), "stream")
        capturing = status != self._runtime.cudaStreamCaptureStatus.cudaStreamCaptureStatusNone
        # During a capture an event becomes a node of the graph only if it is external.
        flags = self._runtime.cudaEventRecordExternal if capturing else self._runtime.cudaEventRecordDefault
        self._ask(
            self._runtime.cudaEventRecordWithFlags(event.handle, stream.handle, flags), "recording an event"
        )

    @override
    def wait_stream(self, stream: Stream, other: int) -> None:
        event = self.event()
        self._ask(self._runtime.cudaEventRecord(event.handle, other), "recording an event")
        self._ask(self._runtime.cudaStreamWaitEvent(stream.handle, event.handle, 0), "waiting for a stream")
        event.close()  # CUDA keeps it until it is complete

    @override
    def wait(self, event: Event) -> None:
        self._ask(self._runtime.cudaEventSynchronize(event.handle), "waiting for an event")

    @override
    def synchronize(self, stream: Stream) -> None:
        self._ask(self._runtime.cudaStreamSynchronize(stream.handle), "waiting for a stream")

    @override
    def elapsed(self, begin: Event, end: Event) -> float:
        return float(self._ask(self._runtime.cudaEventElapsedTime(begin.handle, end.handle), "elapsed time"))

    @override
    def begin_capture(self, stream: Stream) -> None:
        # Other threads may allocate meanwhile; this one may not.
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._ask(self._runtime.cudaStreamBeginCapture(stream.handle, mode), "capture")

    @override
    def end_capture(self, stream: Stream) -> Graph:
        captured = self._ask(self._runtime.cudaStreamEndCapture(stream.handle), "capture")
        try:
            ready = self._ask(self._runtime.cudaGraphInstantiate(captured, 0), "graph")
        finally:
            self._runtime.cudaGraphDestroy(captured)
        return Graph(int(ready), self._freeing(self._runtime.cudaGraphExecDestroy))

    @override
    def launch(self, graph: Graph, stream: Stream) -> None:
        self._ask(self._runtime.cudaGraphLaunch(graph.handle, stream.handle), "graph launch")

    def _copy(self, target: int, source: int, nbytes: int, kind: str, stream: Stream) -> None:
        way = getattr(self._runtime.cudaMemcpyKind, kind)
        self._ask(self._runtime.cudaMemcpyAsync(target, source, nbytes, way, stream.handle), "copy")

    def _memory(self) -> tuple[int, int]:
        status, free, total = self._runtime.cudaMemGetInfo()
        self._ask((status,), "memory")
        return int(free), int(total)

    def _freeing(self, function: Any) -> Any:
        """Return a function that frees a handle on its device, without exceptions that nobody could catch."""
        push, pop, context = self._driver.cuCtxPushCurrent, self._driver.cuCtxPopCurrent, self._context
        exchange = self._runtime.cudaThreadExchangeStreamCaptureMode
        relaxed = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeRelaxed

        def free(handle: int) -> None:
            (status,) = push(context)
            if int(status):  # of a forked process or a lost device, where nothing can be freed
                return
            _, mode = exchange(relaxed)  # or a garbage collection during a capture would break it
            function(handle)
            if mode is not None:
                exchange(mode)
            pop()

        return free

    def _ask(self, answer: tuple[Any, ...], what: str, nbytes: int | None = None) -> Any:
        """Return the value of a call of the runtime or the driver, or raise the error of its status."""
        errors = self._runtime.cudaError_t
        status, values = errors(int(answer[0])), answer[1:]  # both number their errors alike
        if status == errors.cudaSuccess:
            return values[0] if values else None
        if status == errors.cudaErrorMemoryAllocation and nbytes is not None:
            raise OutOfMemoryError(what, nbytes, self._memory()[0])
        _, name = self._runtime.cudaGetErrorName(status)
        _, text = self._runtime.cudaGetErrorString(status)
        advice = _driver_advice() if status == errors.cudaErrorInsufficientDriver else ""
        raise CudaError(f"{what}: {_text(name)} ({_text(text)}){advice}")


def _driver_advice() -> str:
    """Return what to do where the driver is too old for cuda-bindings, or missing."""
    version = driver_version()
    if version is None:
        return "; no NVIDIA driver found"
    return (
        f"; the driver supports CUDA {version[0]}.{version[1]}, update it or "
        f"pip install 'trt-mogface[{bindings_extra()}]'"
    )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
