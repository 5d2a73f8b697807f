"""`Cuda` by PyCUDA, for programs that use its contexts; untested on a GPU.

PyCUDA has no graphs: a capture raises, and slots launch step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from trt_mogface._optional import require
from trt_mogface.cuda.interface import Cuda, Device
from trt_mogface.cuda.resources import DeviceMemory, Event, Graph, PinnedMemory, Resource, Stream
from trt_mogface.errors import CudaError, OutOfMemoryError

T = TypeVar("T")
R = TypeVar("R", bound=Resource)

NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING, which PyCUDA does not name."""


class PyCuda(Cuda):
    """`Cuda` by PyCUDA, in its context that is current in this thread, else in the primary context."""

    def __init__(self, device: int = 0) -> None:
        super().__init__()
        self._driver: Any = require("pycuda.driver", extra="pycuda")
        self._ask("driver", self._driver.init)
        gpu = self._ask(f"device {device}", lambda: self._driver.Device(device))
        current = self._driver.Context.get_current()
        self._context = current or self._ask(f"device {device}", gpu.retain_primary_context)
        self.activate()
        integrated = gpu.get_attribute(self._driver.device_attribute.INTEGRATED)
        self.device = Device(
            device, gpu.name(), tuple(gpu.compute_capability()), bool(integrated), gpu.total_memory()
        )

    @override
    def activate(self) -> None:
        self.check_process()
        if self._driver.Context.get_current() != self._context:
            self._context.push()

    @override
    def free_memory(self) -> int:
        return int(self._driver.mem_get_info()[0])

    @override
    def allocate(self, nbytes: int) -> DeviceMemory:
        made = self._ask("device memory", lambda: self._driver.mem_alloc(nbytes), nbytes)
        return _owning(DeviceMemory(int(made), nbytes, self._freeing(made)), made)

    @override
    def pin(self, nbytes: int, *, mapped: bool = False) -> PinnedMemory:
        flags, empty = self._driver.host_alloc_flags, self._driver.pagelocked_empty
        wanted = flags.DEVICEMAP if mapped else flags.PORTABLE
        array = self._ask("pinned memory", lambda: empty(nbytes, "uint8", mem_flags=wanted), nbytes)
        seen = int(array.base.get_device_pointer()) if mapped else None
        return _owning(PinnedMemory(array.ctypes.data, nbytes, self._freeing(array.base), seen), array)

    @override
    def device_address(self, array: NDArray[Any]) -> int | None:
        root: Any = array
        while isinstance(root.base, np.ndarray):
            root = root.base
        locked = self._driver.PagelockedHostAllocation, self._driver.RegisteredHostMemory
        if not isinstance(root.base, locked):
            return None
        return int(root.base.get_device_pointer()) + array.ctypes.data - int(root.ctypes.data)

    @override
    def stream(self) -> Stream:
        made = self._ask("stream", lambda: self._driver.Stream(NON_BLOCKING))
        return _owning(Stream(int(made.handle), _forgetting), made)

    @override
    def event(self, *, timed: bool = False) -> Event:
        flags = 0 if timed else self._driver.event_flags.DISABLE_TIMING
        made = self._ask("event", lambda: self._driver.Event(flags))
        return _owning(Event(id(made), _forgetting), made)

    @override
    def copy_in(self, target: DeviceMemory, source: PinnedMemory, nbytes: int, stream: Stream) -> None:
        self.copy_array(target.handle, source.array[:nbytes], stream)

    @override
    def copy_array(self, target: int, source: NDArray[Any], stream: Stream) -> None:
        self._ask("copy", lambda: self._driver.memcpy_htod_async(target, source, stream.native))

    @override
    def copy_out(self, target: PinnedMemory, source: DeviceMemory, nbytes: int, stream: Stream) -> None:
        to = target.array[:nbytes]
        self._ask("copy", lambda: self._driver.memcpy_dtoh_async(to, source.handle, stream.native))

    @override
    def record(self, event: Event, stream: Stream) -> None:
        self._ask("recording an event", lambda: event.native.record(stream.native))

    @override
    def wait_stream(self, stream: Stream, other: int) -> None:
        # PyCUDA accepts no foreign streams, so the host waits for all work of the context.
        if other != stream.handle:
            self._ask("waiting for a stream", self._driver.Context.synchronize)

    @override
    def wait(self, event: Event) -> None:
        self._ask("waiting for an event", event.native.synchronize)

    @override
    def synchronize(self, stream: Stream) -> None:
        self._ask("waiting for a stream", stream.native.synchronize)

    @override
    def elapsed(self, begin: Event, end: Event) -> float:
        return float(self._ask("elapsed time", lambda: begin.native.time_till(end.native)))

    @override
    def begin_capture(self, stream: Stream) -> None:
        raise CudaError("capture: PyCUDA has no graphs")

    @override
    def end_capture(self, stream: Stream) -> Graph:
        raise CudaError("capture: PyCUDA has no graphs")

    @override
    def launch(self, graph: Graph, stream: Stream) -> None:
        raise CudaError("graph launch: PyCUDA has no graphs")

    def _freeing(self, allocation: Any) -> Callable[[int], None]:
        def free(_: int) -> None:
            self.activate()
            allocation.free()

        return free

    def _ask(self, what: str, function: Callable[[], T], nbytes: int | None = None) -> T:
        try:
            return function()
        except self._driver.MemoryError as error:
            if nbytes is None:
                raise CudaError(f"{what}: {error}") from error
            raise OutOfMemoryError(what, nbytes, self.free_memory()) from error
        except self._driver.Error as error:
            raise CudaError(f"{what}: {error}") from error


def _owning(resource: R, native: object) -> R:
    resource.native = native
    return resource


def _forgetting(_: int) -> None:
    """Do nothing: PyCUDA destroys streams and events with their Python objects."""
