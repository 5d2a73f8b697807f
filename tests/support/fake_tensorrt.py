"""A TensorRT with ONNX Runtime inside, on the driver of `fake_driver`, that refuses what NVIDIA forbids.

Inside a capture only `execute_async_v3` may be called, on a context that has run once since its last change.
A context that a graph was captured of must not change any more, must outlive the graph, and belongs to one
shape.  A broken rule is an AssertionError, which no caller expects.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import os
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.support.emulated import shared_library
from tests.support.manifests import GOOD
from tests.support.on_driver import Queues
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.machine.tensorrt import MODULES, FlavorName
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.manifest import Profile, Shape, manifest_path

PLAN = b"a plan"
VERSION = "1.7.0"
SCRATCH = 5000
PERSISTENT = 3000
"""Bytes that a context allocates for itself."""


class Context:
    """An execution context that asserts the rules of this module."""

    def __init__(self, engine: Engine, settings: Any) -> None:
        self._engine, self._trt = engine, engine.trt
        self._trt.outside("create_execution_context")
        self.is_eager = getattr(settings, "dynamic_shapes_kernel_specialization_strategy", None) == "eager"
        self._profile: Profile | None = None
        self._shape: Shape | None = None
        self._addresses: dict[str, int] = {}
        self._scratch = (0, 0)
        self._has_run = self._was_asked = False
        self._graphs = self._waiting = 0
        self._memory = self._trt.allocate(PERSISTENT)

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        assert stream
        self._changed("set_optimization_profile_async")
        self._profile = self._engine.profiles[index]
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._changed("set_input_shape")
        assert self._profile is not None
        assert (name, shape[3]) == ("images", 3)
        self._shape = shape[0], shape[1], shape[2]
        return self._profile.holds(self._shape)

    def set_device_memory(self, address: int, nbytes: int) -> None:
        self._changed("set_device_memory")
        assert nbytes >= SCRATCH
        self._scratch = address, nbytes

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._changed("set_tensor_address")
        self._addresses[name] = address
        return name in {"images", *self._engine.network.spec.output_shapes(1, 64, 64)}

    def execute_async_v3(self, stream: int) -> bool:
        shape, spec = self._shape, self._engine.network.spec
        assert shape is not None
        assert {"images", *spec.output_shapes(*shape)} == set(self._addresses)
        assert self._scratch[0]
        if self._trt.captures:
            assert self._has_run, "a capture without a run since the last change of the context"
            if self._trt.is_rtx:
                assert self.is_eager, "a graph keeps the fallback kernels for ever"
                assert self._was_asked
            self._graphs += 1
        else:
            self._trt.free(self._trt.allocate(1))  # a first run may allocate and wait
            self._has_run, self._waiting = True, self._waiting + 1
        this, plain = weakref.ref(self), not self._trt.captures
        network, addresses, scratch = self._engine.network, dict(self._addresses), self._scratch

        def run() -> None:
            alive = this()
            assert alive is not None, "a run after the end of its context"
            assert alive._shape == shape, "a run of a context that has another shape since"
            ctypes.memset(scratch[0], 0xA5, scratch[1])
            pixels = _array(addresses["images"], (*shape, 3), np.uint8)
            found = network.run(pixels)
            for name, sides in spec.output_shapes(*shape).items():
                _array(addresses[name], sides, np.float32)[...] = getattr(found, name)
            alive._waiting -= plain

        self._trt.queues.do(SimpleNamespace(handle=stream), run)
        return True

    def _changed(self, name: str) -> None:
        self._trt.outside(name)
        assert not self._graphs, f"{name} on a context that a graph was captured of"
        self._has_run = False

    def __del__(self) -> None:
        if self._waiting or self._trt.captures:
            print("a context ends during a run or a capture", file=sys.stderr)
            os.abort()
        self._trt.free(self._memory)


class RtxContext(Context):
    """An execution context of TensorRT-RTX."""

    def is_stream_capturable(self, stream: int) -> bool:
        assert stream
        assert self._has_run
        self._trt.outside("is_stream_capturable")
        self._was_asked = True
        return self._trt.capturable


class Engine:
    """A deserialized plan."""

    def __init__(self, trt: TensorRT) -> None:
        self.trt, self.profiles, self.network = trt, trt.profiles, trt.network
        self.num_optimization_profiles = len(trt.profiles)

    def get_device_memory_size_for_profile_v2(self, index: int) -> int:
        return SCRATCH - 100 * index

    def create_execution_context(self, settings: Any) -> Context:
        return (RtxContext if self.trt.is_rtx else Context)(self, settings)

    def create_runtime_config(self) -> Any:
        cache = SimpleNamespace(serialize=lambda: None, deserialize=bool)  # None: it failed
        return SimpleNamespace(
            set_execution_context_allocation_strategy=str,
            create_runtime_cache=lambda: cache,
            set_runtime_cache=bool,
        )


class TensorRT(ModuleType):
    """The module, for engines of the default model.

    Args:
        flavor: Name of the flavor.
        profiles: Profiles of every engine.
        capturable: Answer to `is_stream_capturable`.
    """

    def __init__(self, flavor: FlavorName, profiles: Sequence[Profile], *, capturable: bool = True) -> None:
        super().__init__(MODULES[flavor])
        self.__version__ = "10.9.0" if flavor == "tensorrt" else VERSION
        self.is_rtx, self.profiles, self.capturable = flavor == "tensorrt-rtx", tuple(profiles), capturable
        self.network, self.queues = OnnxNetwork(embedded_file(DEFAULT), threads=1), Queues()
        self._driver = ctypes.CDLL("libcuda.so.1")
        self.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="caller's")
        self.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")

        class ILogger:
            Severity = SimpleNamespace(ERROR=1)

        self.ILogger = ILogger

    def Runtime(self, logger: Any) -> Any:  # noqa: N802 -- TensorRT's name
        assert logger is not None
        return SimpleNamespace(deserialize_cuda_engine=self._deserialize)

    def _deserialize(self, plan: bytes) -> Engine:
        assert plan == PLAN
        return Engine(self)

    @property
    def captures(self) -> bool:
        """Whether this thread captures a stream."""
        return bool(self._driver.fakeCudaCaptures())

    def outside(self, name: str) -> None:
        """Refuse a call during a capture."""
        assert not self.captures, f"{name} during a capture"

    def allocate(self, nbytes: int) -> int:
        """Allocate device memory, which breaks a capture."""
        address = ctypes.c_uint64()
        error = self._driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(nbytes))
        assert not error, f"allocation: error {error}"
        return address.value

    def free(self, address: int) -> None:
        assert not self._driver.cuMemFree_v2(ctypes.c_uint64(address))


def engine(
    folder: Path, *profiles: tuple[Shape, Shape], flavor: FlavorName = "tensorrt", **settings: Any
) -> Path:
    """Install a TensorRT, and return an engine with its manifest for compute capability 9.0."""
    ranges = tuple(Profile(low, high, high) for low, high in profiles)
    trt = TensorRT(flavor, ranges, **settings)
    sys.modules[MODULES[flavor]] = trt
    os.environ["TRT_MOGFACE_KERNELS"] = str(shared_library())
    path = folder / "default.engine"
    path.write_bytes(PLAN)
    manifest = dataclasses.replace(
        GOOD,
        spec=trt.network.spec,
        profiles=ranges,
        flavor=flavor,
        tensorrt=trt.__version__,
        compute_capabilities=("9.0",),
        gpu="Host GPU",
        plan_sha256=hashlib.sha256(PLAN).hexdigest(),
        plan_bytes=len(PLAN),
    )
    manifest_path(path).write_text(manifest.to_json())
    return path


def _array(address: int, shape: tuple[int, ...], dtype: type) -> Any:
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = (ctypes.c_uint8 * nbytes).from_address(address)
    return np.ctypeslib.as_array(raw).view(dtype).reshape(shape)
