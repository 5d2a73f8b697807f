"""`Cuda` by PyCUDA, for programs that use its contexts; untested on a GPU.

PyCUDA has no graphs, so slots launch step by step.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from trt_mogface._optional import require
from trt_mogface.cuda.driver import driver_version
from trt_mogface.cuda.interface import Cuda, Device
from trt_mogface.cuda.resources import DeviceMemory, Event, Graph, PinnedMemory, Resource, Stream
from trt_mogface.errors import CudaError, MissingExtraError, OutOfMemoryError

T = TypeVar("T")
R = TypeVar("R", bound=Resource)

NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING, which PyCUDA does not name."""


class PyCuda(Cuda):
    """`Cuda` by PyCUDA, in the context that it has made current in this thread, if that is one of the device.

    Else it uses the primary context.  PyCUDA ends a program with an abort where a thread ends with a current
    context, and frees streams and events only in a thread where theirs is: so every context is put back.

    Args:
        device: Number of the GPU.

    Raises:
        MissingExtraError: If PyCUDA is not installed.
        CudaError: If there is no driver or no such device.
    """

    has_graphs = False

    def __init__(self, device: int = 0) -> None:
        super().__init__()
        try:
            self._driver: Any = require("pycuda.driver", extra="pycuda")
        except MissingExtraError as error:
            if driver_version() is None and find_spec("pycuda") is not None:
                raise CudaError(f"device {device}: no NVIDIA driver found") from error
            raise
        self._ask("driver", self._driver.init)
        what = f"device {device}"
        gpu = self._ask(what, lambda: self._driver.Device(device))
        current = self._driver.Context.get_current()
        if current is None or current.get_device() != gpu:
            current = self._ask(what, gpu.retain_primary_context)
            _leak(current)  # PyCUDA would destroy it like any other context, which CUDA refuses
        self._context = current
        with self.current():
            integrated = gpu.get_attribute(self._driver.device_attribute.INTEGRATED)
            capability = tuple(gpu.compute_capability())
            self.device = Device(device, gpu.name(), capability, bool(integrated), gpu.total_memory())

    @override
    @contextmanager
    def current(self) -> Iterator[None]:
        self.check_process()
        self._ask("context", self._context.push)
        try:
            yield
        finally:
            self._context.pop()

    @override
    def free_memory(self) -> int:
        return int(self._driver.mem_get_info()[0])

    @override
    def allocate(self, nbytes: int) -> DeviceMemory:
        made = self._ask("device memory", lambda: self._driver.mem_alloc(nbytes), nbytes)
        return DeviceMemory(int(made), nbytes, self._freeing(made.free))

    @override
    def pin(self, nbytes: int, *, mapped: bool = False) -> PinnedMemory:
        flags, empty = self._driver.host_alloc_flags, self._driver.pagelocked_empty
        wanted = flags.DEVICEMAP if mapped else flags.PORTABLE
        array = self._ask("pinned memory", lambda: empty(nbytes, "uint8", mem_flags=wanted), nbytes)
        seen = int(array.base.get_device_pointer()) if mapped else None
        return PinnedMemory(array.ctypes.data, nbytes, self._freeing(array.base.free), seen)

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
        return self._owning(Stream, int(made.handle), made)

    @override
    def event(self, *, timed: bool = False) -> Event:
        flags = 0 if timed else self._driver.event_flags.DISABLE_TIMING
        made = self._ask("event", lambda: self._driver.Event(flags))
        return self._owning(Event, id(made), made)

    @override
    def copy_in(self, target: DeviceMemory, source: PinnedMemory, nbytes: int, stream: Stream) -> None:
        data = _bytes(source, nbytes)
        self._ask("copy", lambda: self._driver.memcpy_htod_async(target.handle, data, stream.native[0]))

    @override
    def copy_array(self, target: int, source: NDArray[Any], stream: Stream) -> None:
        self._ask("copy", lambda: self._driver.memcpy_htod_async(target, source, stream.native[0]))

    @override
    def copy_out(self, target: PinnedMemory, source: DeviceMemory, nbytes: int, stream: Stream) -> None:
        to = _bytes(target, nbytes)
        self._ask("copy", lambda: self._driver.memcpy_dtoh_async(to, source.handle, stream.native[0]))

    @override
    def record(self, event: Event, stream: Stream) -> None:
        self._ask("recording an event", lambda: event.native[0].record(stream.native[0]))

    @override
    def wait_stream(self, stream: Stream, other: int) -> None:
        # PyCUDA accepts no foreign streams, so the host waits for all work of the context.
        if other != stream.handle:
            self._ask("waiting for a stream", self._driver.Context.synchronize)

    @override
    def wait(self, event: Event) -> None:
        self._ask("waiting for an event", event.native[0].synchronize)

    @override
    def synchronize(self, stream: Stream) -> None:
        self._ask("waiting for a stream", stream.native[0].synchronize)

    @override
    def elapsed(self, begin: Event, end: Event) -> float:
        return float(self._ask("elapsed time", lambda: begin.native[0].time_till(end.native[0])))

    @override
    def begin_capture(self, stream: Stream) -> None:
        raise CudaError("capture: PyCUDA has no graphs")

    @override
    def end_capture(self, stream: Stream) -> Graph:
        raise CudaError("capture: PyCUDA has no graphs")

    @override
    def launch(self, graph: Graph, stream: Stream) -> None:
        raise CudaError("graph launch: PyCUDA has no graphs")

    def _freeing(self, function: Callable[[], object]) -> Callable[[int], None]:
        context, errors = self._context, self._driver.Error

        def free(_: int) -> None:
            try:
                context.push()
            except errors:  # of a forked process or a lost device, where PyCUDA's destructors abort
                _leak(function)
                return
            try:
                function()
            finally:
                context.pop()

        return free

    def _owning(self, kind: Callable[[int, Callable[[int], None]], R], handle: int, made: object) -> R:
        """Return a resource whose PyCUDA object, ``native[0]``, ends in its context."""
        native = [made]
        resource = kind(handle, self._freeing(native.clear))
        resource.native = native
        return resource

    def _ask(self, what: str, function: Callable[[], T], nbytes: int | None = None) -> T:
        try:
            return function()
        except self._driver.MemoryError as error:
            if nbytes is None:
                raise CudaError(f"{what}: {error}") from error
            raise OutOfMemoryError(what, nbytes, self.free_memory()) from error
        except self._driver.Error as error:
            raise CudaError(f"{what}: {error}") from error


def _leak(value: object) -> None:
    """Keep an object, and all that it refers to, from ever being destroyed."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def _bytes(memory: PinnedMemory, nbytes: int) -> Any:
    return (ctypes.c_uint8 * nbytes).from_address(memory.handle)
