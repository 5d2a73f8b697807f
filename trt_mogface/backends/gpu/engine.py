"""`TensorRTNetwork`: a TensorRT plan, checked against its manifest, deserialized once, run by contexts."""

from __future__ import annotations

import copy
import math
import re
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from trt_mogface._files import whole_file
from trt_mogface.backends.base import Outputs, Shared
from trt_mogface.cuda import Cuda, DeviceMemory, Stream
from trt_mogface.errors import CudaError, EngineError, OutputError
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import (
    Flavor,
    find_tensorrt,
    flavor_name,
    make_logger,
    make_runtime,
    serialized,
    without_collection,
)
from trt_mogface.models.manifest import Manifest, Profile, Shape, check_plan, load_manifest
from trt_mogface.spec import INPUT


def check_runs_here(path: Path, device: int) -> tuple[Manifest, Flavor]:
    """Return an engine's manifest and the TensorRT that runs it, before CUDA or TensorRT see the engine."""
    manifest = load_manifest(path)
    flavor = find_tensorrt(flavor_name(manifest.flavor))
    manifest.check_runs_on(flavor, find_gpu(device), path)
    check_plan(path, manifest)
    return manifest, flavor


class PlanManifest(Protocol):
    """Facts about a plan; see `trt_mogface.models.manifest.Manifest`."""

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Accepted input shapes."""

    @property
    def version_compatible(self) -> bool:
        """Whether later releases of the same major version run the plan too."""

    @property
    def command(self) -> str:
        """Command that rebuilds it."""

    def check_shape(self, shape: Shape, path: Path) -> int:
        """Return the index of the first profile that accepts an input shape."""


class TensorRTEngine:
    """An engine; see `trt_mogface.backends.gpu.network.DeviceNetwork`.

    Clones share the plan.  Each has one execution context per optimization profile for runs of any shape, and
    one more for each `bind`; they never run at the same time, so they share scratch memory.

    Args:
        path: Plan.
        manifest, flavor: Facts about the plan, checked, and the TensorRT that runs it.
        cuda: Device of the engine.
    """

    capturable = True

    def __init__(self, path: Path, manifest: PlanManifest, flavor: Flavor, cuda: Cuda) -> None:
        self._share(Shared(_Plan(path, manifest, flavor, cuda)))

    def _share(self, shared: Shared[_Plan]) -> None:
        self._shared, self._plan, self._closed = shared, shared.value, False
        manifest, self.scratch_bytes = self._plan.manifest, self._plan.scratch_bytes
        self.max_shapes: tuple[Shape, ...] = tuple(profile.max for profile in manifest.profiles)
        self._runs: dict[int, TensorRTRun] = {}

    def check_shape(self, shape: Shape) -> None:
        """Refuse a shape (batch, height, width) outside all profiles."""
        self._plan.manifest.check_shape(shape, self._plan.path)

    def enqueue(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> None:
        """Queue a run of any shape on a stream.  It may wait for the GPU, and must not be captured.

        Args:
            shape: Batch, height, width.
            images: Device address of uint8 [N, H, W, 3].
            outputs: Device addresses by output name.
            scratch: Memory of at least `scratch_bytes`.
            stream: Stream that the run is queued on.

        Raises:
            EngineError: If no profile accepts `shape`, or TensorRT fails.
        """
        index = self._plan.manifest.check_shape(shape, self._plan.path)
        if index not in self._runs:
            self._runs[index] = TensorRTRun(self._plan, index, stream)
        self._runs[index].set(shape, {INPUT: images, **outputs}, scratch)
        self._runs[index].enqueue(stream)

    def bind(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> TensorRTRun:
        """Return a run with a context of its own, set to these arguments of `enqueue` for good.

        Raises:
            EngineError: If no profile accepts `shape`, or TensorRT fails.
        """
        index = self._plan.manifest.check_shape(shape, self._plan.path)
        run = TensorRTRun(self._plan, index, stream, is_eager=True)
        run.set(shape, {INPUT: images, **outputs}, scratch)
        return run

    def clone(self) -> Self:
        """Return a network that shares the plan and has contexts of its own."""
        twin = copy.copy(self)
        twin._share(self._shared.retain())
        return twin

    def close(self) -> None:
        """Free the contexts, and the plan with its last clone; closing twice is harmless."""
        with _current_if_alive(self._plan.cuda):
            self._runs.clear()
            if not self._closed:
                self._closed = True
                self._shared.release()


class TensorRTNetwork(TensorRTEngine):
    """The engine of a one-stage detector; see `trt_mogface.backends.base.Network`.

    Args:
        path, cuda: See `TensorRTEngine`.
        manifest, flavor: Results of `check_runs_here`.
    """

    def __init__(self, path: Path, manifest: Manifest, flavor: Flavor, cuda: Cuda) -> None:
        super().__init__(path, manifest, flavor, cuda)
        self.spec = manifest.spec

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Run the engine on uint8 [N, H, W, 3] in host memory; slots use `enqueue` instead."""
        batch, height, width, _ = images.shape
        shape, cuda = (batch, height, width), self._plan.cuda
        self.check_shape(shape)
        shapes = self.spec.output_shapes(*shape)
        sizes = {INPUT: images.nbytes, **{name: 4 * math.prod(sides) for name, sides in shapes.items()}}
        with cuda.current(), ExitStack() as made:
            keep = made.enter_context
            stream = keep(closing(cuda.stream()))
            scratch = keep(closing(cuda.allocate(max(1, self.scratch_bytes))))
            host = {name: keep(closing(cuda.pin(nbytes))) for name, nbytes in sizes.items()}
            device = {name: keep(closing(cuda.allocate(nbytes))) for name, nbytes in sizes.items()}
            host[INPUT].array[:] = images.reshape(-1)
            cuda.copy_in(device[INPUT], host[INPUT], images.nbytes, stream)
            addresses = {name: memory.handle for name, memory in device.items()}
            self.enqueue(shape, addresses.pop(INPUT), addresses, scratch, stream)
            for name in shapes:
                cuda.copy_out(host[name], device[name], sizes[name], stream)
            cuda.synchronize(stream)
            return Outputs(**{n: host[n].array.view(np.float32).reshape(s).copy() for n, s in shapes.items()})


class TensorRTRun:
    """An execution context of one optimization profile, with its shape, addresses and scratch memory.

    Args:
        plan: Plan of the context.
        profile: Index of the profile.
        stream: Stream of the runs.
        is_eager: Whether TensorRT-RTX compiles the kernels of a shape before its first run.  It would use
            slower ones meanwhile, which a graph would keep.
    """

    def __init__(self, plan: _Plan, profile: int, stream: Stream, *, is_eager: bool = False) -> None:
        self._plan, self._context = plan, plan.new_context(is_eager=is_eager)
        self._shape: Shape | None = None
        self._scratch: tuple[int, int] | None = None
        self._addresses: dict[str, int] = {}
        done = self._context.set_optimization_profile_async(profile, stream.handle)
        self._require(done, f"no profile {profile}")

    def set(self, shape: Shape, addresses: dict[str, int], scratch: DeviceMemory) -> None:
        """Set what has changed: TensorRT prepares the next run for each call."""
        if shape != self._shape:
            self._require(self._context.set_input_shape(INPUT, (*shape, 3)), f"no input shape {shape}")
            self._shape = shape
        if (scratch.handle, scratch.nbytes) != self._scratch:
            self._context.set_device_memory(scratch.handle, scratch.nbytes)
            self._scratch = scratch.handle, scratch.nbytes
        for name, address in addresses.items():
            if self._addresses.get(name) != address:
                self._require(self._context.set_tensor_address(name, address), f"no address of {name}")
                self._addresses[name] = address

    def can_capture(self, stream: Stream) -> bool:
        """Return whether `enqueue` may be captured, after a first run.  Only TensorRT-RTX can refuse it."""
        ask = getattr(self._context, "is_stream_capturable", None)
        return ask is None or bool(ask(stream.handle))

    def enqueue(self, stream: Stream) -> None:
        """Queue the run.

        Raises:
            EngineError: If TensorRT fails.
        """
        self._require(self._context.execute_async_v3(stream.handle), "the network failed")

    def close(self) -> None:
        """Free the context; closing twice is harmless."""
        with _current_if_alive(self._plan.cuda):
            self._context = None

    def _require(self, done: bool, problem: str) -> None:
        if not done:
            raise EngineError(f"{self._plan.path}: {problem}: {self._plan.last_error}")


class _Plan:
    """A deserialized plan; arguments as for `TensorRTEngine`."""

    def __init__(self, path: Path, manifest: PlanManifest, flavor: Flavor, cuda: Cuda) -> None:
        self.path, self.manifest, self.cuda = path, manifest, cuda
        self._cache_path = path.with_name(path.name + ".cache")
        self._trt, self._flavor = flavor.module, flavor
        self._logger = make_logger(self._trt)
        self._cache: Any = None
        with cuda.current(), without_collection():
            self._runtime: Any = make_runtime(
                self._trt, self._logger, version_compatible=manifest.version_compatible
            )
            self._engine: Any = self._deserialized()
        profiles = range(self._engine.num_optimization_profiles)
        self.scratch_bytes = max(map(int, map(self._engine.get_device_memory_size_for_profile_v2, profiles)))

    @property
    def last_error(self) -> str:
        """Last error that TensorRT logged."""
        return str(self._logger.last_error)

    def new_context(self, *, is_eager: bool) -> Any:
        """Return an execution context whose scratch memory is the caller's; see `TensorRTRun`."""
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        settings = self._config(strategy, is_eager) if self._flavor.is_rtx else strategy
        with without_collection():
            context = self._engine.create_execution_context(settings)
        if context is None:
            raise EngineError(f"{self.path}: no execution context: {self.last_error}")
        return context

    def close(self) -> None:
        """Save what TensorRT-RTX compiled, and free the plan."""
        if self._cache is not None:
            kept = serialized(self._cache.serialize())
            if kept is not None:
                with suppress(OutputError), whole_file(self._cache_path) as temporary:
                    temporary.write_bytes(kept)
        self._cache = self._engine = self._runtime = None

    def _deserialized(self) -> Any:
        reader = _plan_reader(self._trt)
        if reader is None:
            engine = self._runtime.deserialize_cuda_engine(self.path.read_bytes())
        else:
            with open(self.path, "rb") as file:
                engine = self._runtime.deserialize_cuda_engine(reader(file))
        if engine is None and re.search("plugin", self.last_error, re.IGNORECASE):
            raise EngineError(
                f"{self.path}: needs a plugin library that is not loaded ({self.last_error}); "
                "build the engine without end_to_end"
            )
        if engine is None:
            raise EngineError(
                f"{self.path}: {self._flavor.name} {self._flavor.version} refuses it ({self.last_error}); "
                f"rebuild it with: {self.manifest.command}"
            )
        return engine

    def _config(self, strategy: Any, is_eager: bool) -> Any:
        """Return how TensorRT-RTX runs the engine."""
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        if is_eager:
            kinds = self._trt.DynamicShapesKernelSpecializationStrategy
            config.dynamic_shapes_kernel_specialization_strategy = kinds.EAGER
        if self._cache is None:  # kernels compiled for this GPU, by this and earlier processes
            self._cache = config.create_runtime_cache()
            with suppress(OSError):
                self._cache.deserialize(self._cache_path.read_bytes())
        config.set_runtime_cache(self._cache)
        return config


def _current_if_alive(cuda: Cuda) -> ExitStack:
    """Return a context in which the device is current; if it is lost, objects of TensorRT still end."""
    stack = ExitStack()
    with suppress(CudaError):
        stack.enter_context(cuda.current())
    return stack


def _plan_reader(trt: Any) -> Any:
    """Return the type of a reader of an open file, or None if this TensorRT wants a whole plan in memory."""
    if not hasattr(trt, "IStreamReaderV2"):
        return None

    class Reader(trt.IStreamReaderV2):  # type: ignore[misc]
        def __init__(self, file: Any) -> None:
            trt.IStreamReaderV2.__init__(self)
            self._file = file

        def read(self, count: int, stream: int) -> bytes:  # noqa: ARG002 -- the bytes are in host memory
            read: bytes = self._file.read(count)
            return read

        def seek(self, offset: int, where: Any) -> bool:
            self._file.seek(offset, int(where))
            return True

    return Reader
