"""CUDA in host memory, for slots of the GPU with the emulated kernels.

Work of a stream is done when the host waits for it and not before, so that reading too early, or overwriting
memory that is still to be read, shows.  During a capture nothing may be allocated or waited for.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from trt_mogface.backends.cascade_options import CascadeOptions
from trt_mogface.backends.gpu.backend import GpuBackend
from trt_mogface.backends.gpu.cascade import CascadeGpuBackend
from trt_mogface.backends.onnxruntime import OnnxNetwork, session
from trt_mogface.backends.options import DetectorOptions, SlotOptions
from trt_mogface.cuda import Cuda, Device, DeviceMemory, Event, Graph, PinnedMemory, Stream
from trt_mogface.cuda.resources import Resource
from trt_mogface.errors import CudaError, EngineError, OutOfMemoryError
from trt_mogface.kernels.cascade import CascadeKernels
from trt_mogface.models.cascade import STAGES, load_cascade, network_file
from trt_mogface.models.manifest import Shape
from trt_mogface.reference.stages import Limits
from trt_mogface.spec import INPUT

Work = Callable[[], object]
R = TypeVar("R", bound=Resource)


class HostCuda(Cuda):
    """`Cuda` in host memory.

    Args:
        is_integrated: Whether device and host share their memory, as on Jetson.
        memory: Device memory in bytes.
        graphs: Whether streams can be captured.
    """

    def __init__(self, *, is_integrated: bool = False, memory: int = 1 << 30, graphs: bool = True) -> None:
        super().__init__()
        self.device = Device(0, "host", (9, 0), is_integrated, memory)
        self.live: dict[int, Resource | None] = {}
        self.pinned: dict[int, int] = {}
        """Size of each piece of pinned memory by address."""
        self.calls: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.failing_at = -1
        """Number of the allocation that fails."""
        self._made = 0
        self._graphs, self._used = graphs, 0
        self._numbers = iter(range(1 << 12, 1 << 40))  # the first ones are default streams
        self._queues: dict[int, list[Work]] = {}
        self._captured: dict[int, list[Work]] = {}
        self._times: dict[int, float] = {}
        self._working = threading.RLock()  # several threads may wait for the same work

    @override
    @contextmanager
    def current(self) -> Iterator[None]:
        self.check_process()
        yield

    @override
    def free_memory(self) -> int:
        return self.device.memory - self._used

    @override
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

    @override
    def pin(self, nbytes: int, *, mapped: bool = False) -> PinnedMemory:
        self._call("pin", waits=True)
        address, array = _aligned(nbytes)
        self.pinned[address] = nbytes

        def free(handle: int) -> None:
            del self.pinned[handle]
            self._forget(handle)

        made = PinnedMemory(address, nbytes, free, address if mapped else None)
        made.native = array
        return self._keep(made)

    @override
    def stream(self) -> Stream:
        self._call("stream", waits=True)
        made = Stream(next(self._numbers), self._forget)
        self._queues[made.handle] = []
        return self._keep(made)

    @override
    def event(self, *, timed: bool = False) -> Event:
        self._call("event")
        return self._keep(Event(next(self._numbers), self._forget))

    @override
    def copy_in(self, target: DeviceMemory, source: PinnedMemory, nbytes: int, stream: Stream) -> None:
        self._call("copy_in")
        self.do(stream, lambda: ctypes.memmove(target.handle, source.handle, nbytes))

    @override
    def device_address(self, array: NDArray[Any]) -> int | None:
        first = array.ctypes.data
        for at, nbytes in self.pinned.items():
            if at <= first and first + array.nbytes <= at + nbytes:
                return first
        return None

    @override
    def memory_device(self, address: int) -> int | None:
        return None

    @override
    def foreign_device(self, stream: int) -> int | None:
        return None

    @override
    def copy_array(self, target: int, source: NDArray[Any], stream: Stream) -> None:
        self._call("copy_array")
        assert self.device_address(source) is not None
        assert source.flags.c_contiguous
        self.do(stream, lambda: ctypes.memmove(target, source.ctypes.data, source.nbytes))

    @override
    def copy_out(self, target: PinnedMemory, source: DeviceMemory, nbytes: int, stream: Stream) -> None:
        self._call("copy_out")
        self.do(stream, lambda: ctypes.memmove(target.handle, source.handle, nbytes))

    @override
    def record(self, event: Event, stream: Stream) -> None:
        self._call("record")
        self._times.pop(event.handle, None)

        def come() -> None:
            self._times[event.handle] = time.perf_counter()

        self.do(stream, come)

    @override
    def wait_stream(self, stream: Stream, other: int) -> None:
        self._call("wait_stream")
        self.do(stream, lambda: self._finish(other))

    @override
    def wait(self, event: Event) -> None:
        self._call("wait", waits=True)
        for handle in list(self._queues):
            if event.handle not in self._times:
                self._finish(handle)

    @override
    def synchronize(self, stream: Stream) -> None:
        self._call("synchronize", waits=True)
        self._finish(stream.handle)

    @override
    def elapsed(self, begin: Event, end: Event) -> float:
        return (self._times[end.handle] - self._times[begin.handle]) * 1e3

    @override
    def begin_capture(self, stream: Stream) -> None:
        self._call("begin_capture")
        if not self._graphs:
            raise CudaError("capturing: not here")
        self._captured[stream.handle] = []

    @override
    def end_capture(self, stream: Stream) -> Graph:
        work = self._captured.pop(stream.handle)
        self._call("end_capture")
        made = Graph(next(self._numbers), self._forget)
        made.native = work
        return self._keep(made)

    @override
    def launch(self, graph: Graph, stream: Stream) -> None:
        self._call("launch")
        assert not graph.closed
        self._queues[stream.handle].extend(graph.native)

    def do(self, stream: Any, work: Work) -> None:
        """Put work into a stream, or into what is captured of it."""
        handle = stream if isinstance(stream, int) else stream.handle
        self._captured.get(handle, self._queues[handle]).append(work)

    def _finish(self, handle: int) -> None:
        with self._working:
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


class HostKernels(CascadeKernels):
    """The emulated kernels in streams: arguments are checked at once, work is done in its turn."""

    def __init__(self, library: Path, cuda: HostCuda) -> None:
        super().__init__(library)
        self._cuda = cuda

    def letterbox(self, *arguments: Any, **options: Any) -> None:
        self._queue("letterbox", super().letterbox, *arguments, **options)

    def resample(self, *arguments: Any, **options: Any) -> None:
        self._queue("resample", super().resample, *arguments, **options)

    def detect(self, *arguments: Any, **options: Any) -> None:
        self._queue("detect", super().detect, *arguments, **options)

    def merge(self, *arguments: Any, **options: Any) -> None:
        self._queue("merge", super().merge, *arguments, **options)

    def cascade_windows(self, *arguments: Any, **options: Any) -> None:
        self._queue("cascade_windows", super().cascade_windows, *arguments, **options)

    def cascade_boxes(self, *arguments: Any, **options: Any) -> None:
        self._queue("cascade_boxes", super().cascade_boxes, *arguments, **options)

    def cascade_faces(self, *arguments: Any, **options: Any) -> None:
        self._queue("cascade_faces", super().cascade_faces, *arguments, **options)

    def cascade_gather(self, *arguments: Any, **options: Any) -> None:
        self._queue("cascade_gather", super().cascade_gather, *arguments, **options)

    def _queue(
        self, name: str, run: Callable[..., None], *arguments: Any, stream: Any = None, **options: Any
    ) -> None:
        self._cuda._call(name)
        self._cuda.do(stream, lambda: run(*arguments, stream=stream, **options))


class BoundRun:
    """A run of a network whose `enqueue` can be captured."""

    def __init__(self, enqueue: Callable[[Stream], None]) -> None:
        self.enqueue, self.closed = enqueue, False

    def can_capture(self, stream: Stream) -> bool:  # noqa: ARG002 -- always
        return not self.closed

    def close(self) -> None:
        self.closed = True


class HostStage:
    """A network of a cascade in ONNX Runtime; `HostNetwork` runs it in the place of an engine."""

    def __init__(self, path: Path) -> None:
        self._session: Any = session(str(path), 1)

    def clone(self) -> HostStage:
        return self

    def run(self, images: NDArray[np.uint8]) -> Any:
        names = [output.name for output in self._session.get_outputs()]
        return SimpleNamespace(**dict(zip(names, self._session.run(names, {INPUT: images}))))

    def close(self) -> None:
        pass


class HostNetwork:
    """ONNX Runtime in the place of an engine."""

    scratch_bytes = 1000
    capturable = True

    def __init__(self, network: OnnxNetwork | HostStage, cuda: HostCuda, max_shape: Shape) -> None:
        self.network, self.cuda, self.max_shape = network, cuda, max_shape
        self._original: HostNetwork | None = None
        self._clones = 0

    def check_shape(self, shape: Shape) -> None:
        if any(size > most for size, most in zip(shape, self.max_shape)):
            raise EngineError(f"{shape}: outside {self.max_shape}")

    def clone(self) -> HostNetwork:
        twin = HostNetwork(self.network.clone(), self.cuda, self.max_shape)
        twin._original = self
        self._clones += 1
        return twin

    def enqueue(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> None:
        self.cuda._call("network")
        assert scratch.nbytes >= self.scratch_bytes
        assert not scratch.closed

        def run() -> None:
            pixels = _array(images, (*shape, 3), np.uint8)
            found = self.network.run(pixels)
            for name, address in outputs.items():
                value = getattr(found, name)
                _array(address, value.shape, np.float32)[...] = value

        self.cuda.do(stream, run)

    def bind(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> BoundRun:
        assert stream.handle
        return BoundRun(partial(self.enqueue, shape, images, outputs, scratch))

    def close(self) -> None:
        assert self._clones == 0, "slots are closed before the backend"
        self.network.close()
        if self._original is not None:
            self._original._clones -= 1
            self._original = None


def backend(
    library: Path,
    model: Path,
    cuda: HostCuda,
    max_shape: Shape,
    *,
    other_profiles: Sequence[Shape] = (),
    **options: Any,
) -> GpuBackend:
    """Return the GPU's backend, with device and engine replaced."""
    network = OnnxNetwork(model, threads=1)
    resolved = SlotOptions.resolve(network.spec, cast(DetectorOptions, options))
    shapes = [max_shape, *other_profiles]
    batch, height, width = (max(sizes) for sizes in zip(*shapes))
    fake = HostNetwork(network, cuda, (batch, height, width))
    return GpuBackend(fake, cuda, HostKernels(library, cuda), resolved, shapes)


FEW = Limits(cells=300, proposals=200, refined=20, output=4)
"""Limits of a cascade in the emulation, which takes its time for every thread of a crop."""


def cascade_backend(
    library: Path,
    folder: Path,
    cuda: HostCuda,
    max_shape: Shape,
    *,
    chunks: tuple[int, int] = (25, 5),
    limits: Limits = FEW,
    **options: Any,
) -> CascadeGpuBackend:
    """Return the GPU's backend of a cascade, with device and engines replaced."""
    manifest = load_cascade(folder)
    resolved = CascadeOptions.resolve(manifest.name, manifest.thresholds, cast(DetectorOptions, options))
    sides = (max_shape, (chunks[0], 24, 24), (chunks[1], 48, 48))
    networks = {
        stage: HostNetwork(HostStage(network_file(folder, stage)), cuda, most)
        for stage, most in zip(STAGES, sides)
    }
    kernels = HostKernels(library, cuda)
    return CascadeGpuBackend(
        networks, cuda, kernels, resolved, manifest.name, manifest.origin, max_shape, chunks, limits
    )


def _aligned(nbytes: int) -> tuple[int, np.ndarray[Any, Any]]:
    array = np.full(nbytes + 256, 0xA5, np.uint8)
    return array.ctypes.data + -array.ctypes.data % 256, array


def _array(address: int, shape: tuple[int, ...], dtype: type) -> Any:
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = (ctypes.c_uint8 * count).from_address(address)
    return np.ctypeslib.as_array(raw).view(dtype).reshape(shape)
