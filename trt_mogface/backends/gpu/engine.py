"""Engines at run time: a plan checked against its manifest, deserialized once, run through contexts."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from trt_mogface._files import whole_file
from trt_mogface.cuda import Cuda, DeviceMemory, Stream
from trt_mogface.errors import EngineError, OutputError
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import Flavor, find_tensorrt, flavor_name
from trt_mogface.models.manifest import Manifest, Shape, check_plan, load_manifest
from trt_mogface.spec import INPUT, DetectorSpec


def check_runs_here(path: Path, device: int) -> tuple[Manifest, Flavor]:
    """An engine's manifest and the TensorRT that runs it, before CUDA or TensorRT see anything of it.

    Raises:
        EngineError: It does not fit this machine, or is not the plan of its manifest.
        MissingExtraError: Its TensorRT is not installed.
    """
    manifest = load_manifest(path)
    flavor = find_tensorrt(flavor_name(manifest.flavor))
    manifest.check_runs_on(flavor, find_gpu(device), path)
    check_plan(path, manifest)
    return manifest, flavor


class Engine:
    """A deserialized plan.

    Args:
        path: The plan; its manifest lies beside it.
        manifest, flavor: From `check_runs_here`.
        cuda: The device it goes to.

    Raises:
        EngineError: TensorRT refuses it.
    """

    def __init__(self, path: Path, manifest: Manifest, flavor: Flavor, cuda: Cuda) -> None:
        self.path, self.manifest, self.cuda = path, manifest, cuda
        self._trt, self._flavor = flavor.module, flavor
        self._logger = _logger(self._trt)
        cuda.activate()
        self._runtime: Any = self._trt.Runtime(self._logger)
        self._engine: Any = self._deserialized()
        self._cache: Any = None

    @property
    def spec(self) -> DetectorSpec:
        """How its outputs become faces."""
        return self.manifest.spec

    @property
    def last_error(self) -> str:
        """What TensorRT said last."""
        return str(self._logger.last_error or "no reason given")

    def contexts(self) -> Contexts:
        """A way to run it, for one stream at a time."""
        return Contexts(self)

    @cached_property
    def scratch_bytes(self) -> int:
        """Device memory that a context needs while it runs, in the profile that needs most."""
        engine = self._engine
        return max(
            int(engine.get_device_memory_size_for_profile_v2(i))
            for i in range(engine.num_optimization_profiles)
        )

    def close(self) -> None:
        """Keep what TensorRT-RTX compiled, and free the plan; its contexts must be closed before."""
        if self._cache is not None:
            with suppress(OutputError), whole_file(self._cache_path()) as temporary:
                temporary.write_bytes(memoryview(self._cache.serialize()))
        self._cache = self._engine = self._runtime = None

    def _deserialized(self) -> Any:
        reader = _plan_reader(self._trt)
        if reader is None:
            engine = self._runtime.deserialize_cuda_engine(self.path.read_bytes())
        else:
            with open(self.path, "rb") as file:
                engine = self._runtime.deserialize_cuda_engine(reader(file))
        if engine is None:
            raise EngineError(
                f"{self.path}: {self._flavor.name} {self._flavor.version} refuses it ({self.last_error}): "
                f"rebuild it with: {self.manifest.command}"
            )
        return engine

    def new_context(self) -> Any:
        """A context of TensorRT's, whose scratch memory is the caller's.

        Raises:
            EngineError: TensorRT makes none.
        """
        context = self._execution_context()
        if context is None:
            raise EngineError(f"{self.path}: no context: {self.last_error}")
        return context

    def _execution_context(self) -> Any:
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not self._flavor.is_rtx:
            return self._engine.create_execution_context(strategy)
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        if self._cache is None:  # kernels compiled for this GPU, by this and earlier processes
            self._cache = config.create_runtime_cache()
            with suppress(OSError):
                self._cache.deserialize(self._cache_path().read_bytes())
        config.set_runtime_cache(self._cache)
        return self._engine.create_execution_context(config)

    def _cache_path(self) -> Path:
        return self.path.with_name(self.path.name + ".cache")


class Contexts:
    """Execution contexts of an engine for one stream: one a profile, made when its first shape comes.

    They never run at the same time, so that they share their scratch memory.

    Args:
        engine: Whose weights they share.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_profile: dict[int, tuple[Any, list[Shape]]] = {}

    @property
    def scratch_bytes(self) -> int:
        """See `Engine.scratch_bytes`."""
        return self._engine.scratch_bytes

    def enqueue(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> None:
        """Run the network.

        Args:
            shape: Pictures, height, width.
            images: Address of uint8 [N, H, W, 3].
            outputs: Address by the contract's name.
            scratch: At least `scratch_bytes`.
            stream: Where.

        Raises:
            EngineError: A shape outside the engine's profiles, or TensorRT could not.
        """
        context = self._context(shape, stream)
        context.set_device_memory(scratch.handle, scratch.nbytes)
        context.set_tensor_address(INPUT, images)
        for name, address in outputs.items():
            context.set_tensor_address(name, address)
        if not context.execute_async_v3(stream.handle):
            raise EngineError(f"{self._engine.path}: the network failed: {self._engine.last_error}")

    def close(self) -> None:
        """Free them; closing twice is harmless."""
        self._by_profile.clear()

    def _context(self, shape: Shape, stream: Stream) -> Any:
        """That of the shape's profile, set to the shape."""
        index = self._engine.manifest.check_shape(shape, self._engine.path)
        if index not in self._by_profile:
            made = self._engine.new_context()
            made.set_optimization_profile_async(index, stream.handle)
            self._by_profile[index] = made, []
        context, last = self._by_profile[index]
        if last != [shape]:  # setting it again would cost, and is not allowed in a capture
            context.set_input_shape(INPUT, (*shape, 3))
            last[:] = [shape]
        return context


def _logger(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.last_error = " ".join(message.split())[:300]

    return Logger()


def _plan_reader(trt: Any) -> Any:
    """A reader of an open file, where this release takes one: the plan is never whole in host memory."""
    if not hasattr(trt, "IStreamReaderV2"):
        return None

    class Reader(trt.IStreamReaderV2):  # type: ignore[misc]
        def __init__(self, file: Any) -> None:
            trt.IStreamReaderV2.__init__(self)
            self._file = file

        def read(self, count: int, stream: int) -> bytes:  # noqa: ARG002 -- the bytes are the host's
            read: bytes = self._file.read(count)
            return read

        def seek(self, offset: int, where: Any) -> bool:
            self._file.seek(offset, int(where))
            return True

    return Reader
