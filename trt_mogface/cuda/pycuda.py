"""`Cuda` on PyCUDA, for programs that live in its contexts.  It has not run yet.

PyCUDA has no graphs: capturing raises, and the runner launches plainly.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, TypeVar

from trt_mogface._optional import require
from trt_mogface.cuda.interface import Cuda, Device
from trt_mogface.cuda.resources import DeviceMemory, Event, Graph, PinnedMemory, Resource, Stream
from trt_mogface.errors import CudaError, OutOfMemoryError

T = TypeVar("T")
R = TypeVar("R", bound=Resource)

NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING, which PyCUDA has no name for."""


class PyCuda(Cuda):
    """See `Cuda`.

    A context of PyCUDA that is current in this thread is used; else the device's primary context.

    Args:
        device: Number of the GPU.

    Raises:
        MissingExtraError: PyCUDA is not installed.
        CudaError: No driver, or no such device.
    """

    def __init__(self, device: int = 0) -> None:
        super().__init__()
        self._driver: Any = require("pycuda.driver", extra="pycuda")
        self._ask("the driver", self._driver.init)
        gpu = self._ask(f"device {device}", lambda: self._driver.Device(device))
        current = self._driver.Context.get_current()
        self._context = current or self._ask(f"device {device}", gpu.retain_primary_context)
        self.activate()
        integrated = gpu.get_attribute(self._driver.device_attribute.INTEGRATED)
        self.device = Device(
            device, gpu.name(), tuple(gpu.compute_capability()), bool(integrated), gpu.total_memory()
        )

    def activate(self) -> None:
        """See `Cuda`."""
        self.check_process()
        if self._driver.Context.get_current() != self._context:
            self._context.push()

    def free_memory(self) -> int:
        """See `Cuda`."""
        return int(self._driver.mem_get_info()[0])

    def allocate(self, nbytes: int) -> DeviceMemory:
        """See `Cuda`."""
        made = self._ask("device memory", lambda: self._driver.mem_alloc(nbytes), nbytes)
        return _owning(DeviceMemory(int(made), nbytes, self._freeing(made)), made)

    def pin(self, nbytes: int, *, mapped: bool = False) -> PinnedMemory:
        """See `Cuda`."""
        flags = self._driver.host_alloc_flags
        wanted = flags.DEVICEMAP if mapped else flags.PORTABLE
        array = self._ask(
            "pinned memory", lambda: self._driver.pagelocked_empty(nbytes, "uint8", mem_flags=wanted), nbytes
        )
        seen = int(array.base.get_device_pointer()) if mapped else None
        return _owning(PinnedMemory(array.ctypes.data, nbytes, self._freeing(array.base), seen), array)

    def stream(self) -> Stream:
        """See `Cuda`."""
        made = self._ask("a stream", lambda: self._driver.Stream(NON_BLOCKING))
        return _owning(Stream(int(made.handle), _forgetting), made)

    def event(self, *, timed: bool = False) -> Event:
        """See `Cuda`."""
        flags = 0 if timed else self._driver.event_flags.DISABLE_TIMING
        made = self._ask("an event", lambda: self._driver.Event(flags))
        return _owning(Event(id(made), _forgetting), made)

    def copy_in(self, target: DeviceMemory, source: PinnedMemory, nbytes: int, stream: Stream) -> None:
        """See `Cuda`."""
        self._ask(
            "a copy",
            lambda: self._driver.memcpy_htod_async(target.handle, _bytes(source, nbytes), stream.native),
        )

    def copy_out(self, target: PinnedMemory, source: DeviceMemory, nbytes: int, stream: Stream) -> None:
        """See `Cuda`."""
        self._ask(
            "a copy",
            lambda: self._driver.memcpy_dtoh_async(_bytes(target, nbytes), source.handle, stream.native),
        )

    def record(self, event: Event, stream: Stream) -> None:
        """See `Cuda`."""
        self._ask("recording an event", lambda: event.native.record(stream.native))

    def follow(self, stream: Stream, other: int) -> None:
        """See `Cuda`; PyCUDA takes no foreign streams, so the host waits for the context's work."""
        if other != stream.handle:
            self._ask("following a stream", self._driver.Context.synchronize)

    def wait(self, event: Event) -> None:
        """See `Cuda`."""
        self._ask("waiting for an event", event.native.synchronize)

    def synchronize(self, stream: Stream) -> None:
        """See `Cuda`."""
        self._ask("waiting for a stream", stream.native.synchronize)

    def elapsed(self, begin: Event, end: Event) -> float:
        """See `Cuda`."""
        return float(self._ask("a time", lambda: begin.native.time_till(end.native)))

    def begin_capture(self, stream: Stream) -> None:  # noqa: ARG002
        """See `Cuda`."""
        raise CudaError("capturing: PyCUDA has no graphs")

    def end_capture(self, stream: Stream) -> Graph:  # noqa: ARG002
        """See `Cuda`."""
        raise CudaError("capturing: PyCUDA has no graphs")

    def launch(self, graph: Graph, stream: Stream) -> None:  # noqa: ARG002
        """See `Cuda`."""
        raise CudaError("launching a graph: PyCUDA has no graphs")

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
    """PyCUDA destroys streams and events when they are forgotten."""


def _bytes(memory: PinnedMemory, nbytes: int) -> Any:
    return (ctypes.c_uint8 * nbytes).from_address(memory.handle)
