"""CUDA's memory, streams, events and graphs in host memory, for the GPU's slots around the emulated kernels.

Work of a stream is done no sooner than the host waits for it, so that whoever reads too early, or overwrites
what is still to be read, is found out.  While a stream is captured nothing may be allocated or waited for.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trt_mogface.backends.gpu.backend import GpuBackend
from trt_mogface.backends.onnxruntime import OnnxExecutor
from trt_mogface.backends.options import Choices
from trt_mogface.cuda import Cuda, Device, DeviceMemory, Event, Graph, PinnedMemory, Stream
from trt_mogface.cuda.resources import Resource
from trt_mogface.errors import CudaError, OutOfMemoryError
from trt_mogface.kernels import Kernels
from trt_mogface.models.manifest import Shape

Work = Callable[[], object]
R = TypeVar("R", bound=Resource)


class HostCuda(Cuda):
    """See `Cuda`.

    Args:
        is_integrated: As a Jetson.
        memory: Bytes of the device.
        graphs: Whether streams can be captured.
    """

    def __init__(self, *, is_integrated: bool = False, memory: int = 1 << 30, graphs: bool = True) -> None:
        super().__init__()
        self.device = Device(0, "host", (9, 0), is_integrated, memory)
        self.live: dict[int, Resource | None] = {}
        self.calls: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.failing_at = -1
        """Of the calls that make something, the one that fails."""
        self._made = 0
        self._graphs, self._used = graphs, 0
        self._numbers = iter(range(1, 1 << 40))
        self._queues: dict[int, list[Work]] = {}
        self._captured: dict[int, list[Work]] = {}
        self._times: dict[int, float] = {}

    def activate(self) -> None:
        self.check_process()

    def free_memory(self) -> int:
        return self.device.memory - self._used

    def allocate(self, nbytes: int) -> DeviceMemory:
        self._call("allocate", waits=True)
        if nbytes > self.free_memory():
            raise OutOfMemoryError("device memory", nbytes, self.free_memory())
        self._used += nbytes
        address, array = _aligned(nbytes)

        def free(handle: int) -> None:
            self._used -= nbytes
            self._forget(handle)

        made = DeviceMemory(address, nbytes, free)
        made.native = array
        return self._keep(made)

    def pin(self, nbytes: int, *, mapped: bool = False) -> PinnedMemory:
        self._call("pin", waits=True)
        address, array = _aligned(nbytes)
        made = PinnedMemory(address, nbytes, self._forget, address if mapped else None)
        made.native = array
        return self._keep(made)

    def stream(self) -> Stream:
        self._call("stream", waits=True)
        made = Stream(next(self._numbers), self._forget)
        self._queues[made.handle] = []
        return self._keep(made)

    def event(self, *, timed: bool = False) -> Event:  # noqa: ARG002 -- all are
        self._call("event")
        return self._keep(Event(next(self._numbers), self._forget))

    def copy_in(self, target: DeviceMemory, source: PinnedMemory, nbytes: int, stream: Stream) -> None:
        self._call("copy_in")
        self.do(stream, lambda: ctypes.memmove(target.handle, source.handle, nbytes))

    def copy_out(self, target: PinnedMemory, source: DeviceMemory, nbytes: int, stream: Stream) -> None:
        self._call("copy_out")
        self.do(stream, lambda: ctypes.memmove(target.handle, source.handle, nbytes))

    def record(self, event: Event, stream: Stream) -> None:
        self._call("record")
        self._times.pop(event.handle, None)

        def come() -> None:
            self._times[event.handle] = time.perf_counter()

        self.do(stream, come)

    def follow(self, stream: Stream, other: int) -> None:
        self._call("follow")
        self.do(stream, lambda: self._finish(other))

    def wait(self, event: Event) -> None:
        self._call("wait", waits=True)
        for handle in list(self._queues):
            if event.handle not in self._times:
                self._finish(handle)

    def synchronize(self, stream: Stream) -> None:
        self._call("synchronize", waits=True)
        self._finish(stream.handle)

    def elapsed(self, begin: Event, end: Event) -> float:
        return (self._times[end.handle] - self._times[begin.handle]) * 1e3

    def begin_capture(self, stream: Stream) -> None:
        self._call("begin_capture")
        if not self._graphs:
            raise CudaError("capturing: not here")
        self._captured[stream.handle] = []

    def end_capture(self, stream: Stream) -> Graph:
        work = self._captured.pop(stream.handle)
        self._call("end_capture")
        made = Graph(next(self._numbers), self._forget)
        made.native = work
        return self._keep(made)

    def launch(self, graph: Graph, stream: Stream) -> None:
        self._call("launch")
        assert not graph.closed
        self._queues[stream.handle].extend(graph.native)

    def do(self, stream: Any, work: Work) -> None:
        """Put work into a stream, or into what is captured of it."""
        handle = stream if isinstance(stream, int) else stream.handle
        self._captured.get(handle, self._queues[handle]).append(work)

    def _finish(self, handle: int) -> None:
        queue = self._queues.get(handle, [])
        while queue:
            queue.pop(0)()

    def _call(self, name: str, *, waits: bool = False) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise self.failing[name]
        if name in {"allocate", "pin", "stream", "event"}:
            self._made += 1
            if self._made == self.failing_at + 1:
                raise CudaError(f"{name}: failed as planned")
        if waits and self._captured:
            raise CudaError(f"{name}: not permitted while a stream is captured")

    def _keep(self, resource: R) -> R:
        # A weak hold would do, but what is forgotten without being closed is a leak too.
        self.live[resource.handle] = None
        return resource

    def _forget(self, handle: int) -> None:
        del self.live[handle]


class HostKernels(Kernels):
    """The emulated kernels, in streams: arguments are checked at once, the work is done in its turn."""

    def __init__(self, library: Path, cuda: HostCuda) -> None:
        super().__init__(library)
        self._cuda = cuda

    def letterbox(self, *arguments: Any, stream: Any = None, **options: Any) -> None:
        run = super().letterbox
        self._cuda._call("letterbox")
        self._cuda.do(stream, lambda: run(*arguments, stream=stream, **options))

    def detect(self, *arguments: Any, stream: Any = None, **options: Any) -> None:
        run = super().detect
        self._cuda._call("detect")
        self._cuda.do(stream, lambda: run(*arguments, stream=stream, **options))


class HostNetworks:
    """ONNX Runtime in the place of an engine."""

    def __init__(self, path: Path, cuda: HostCuda) -> None:
        self.executor, self.cuda = OnnxExecutor(path, threads=1), cuda
        self.open = 0

    def contexts(self) -> HostNetwork:
        self.open += 1
        return HostNetwork(self)

    def close(self) -> None:
        assert self.open == 0, "slots are closed before the engine"
        self.executor.close()


class HostNetwork:
    scratch_bytes = 1000

    def __init__(self, networks: HostNetworks) -> None:
        self._networks, self._closed = networks, False

    def enqueue(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> None:
        networks = self._networks
        networks.cuda._call("network")
        assert scratch.nbytes >= self.scratch_bytes
        assert not scratch.closed

        def run() -> None:
            pixels = _array(images, (*shape, 3), np.uint8)
            found = networks.executor.run(pixels)
            for name, address in outputs.items():
                value = getattr(found, name)
                _array(address, value.shape, np.float32)[...] = value

        networks.cuda.do(stream, run)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._networks.open -= 1


def backend(library: Path, model: Path, cuda: HostCuda, largest: Shape, **choices: Any) -> GpuBackend:
    """The GPU's backend, all of it but the device and the engine."""
    networks = HostNetworks(model, cuda)
    settings = Choices(**choices).of(networks.executor.spec)
    return GpuBackend(networks, cuda, HostKernels(library, cuda), settings, largest)


def _aligned(nbytes: int) -> tuple[int, np.ndarray[Any, Any]]:
    array = np.full(nbytes + 256, 0xA5, np.uint8)
    return array.ctypes.data + -array.ctypes.data % 256, array


def _array(address: int, shape: tuple[int, ...], dtype: type) -> Any:
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = (ctypes.c_uint8 * count).from_address(address)
    return np.ctypeslib.as_array(raw).view(dtype).reshape(shape)
