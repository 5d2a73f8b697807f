"""`TensorRTNetwork` around a made-up TensorRT: which calls it gets, and what clones share."""

from __future__ import annotations

import ctypes
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.host_cuda import HostCuda
from tests.support.manifests import GOOD
from tests.support.specs import one_line, small_spec
from trt_mogface.backends.gpu.engine import TensorRTNetwork
from trt_mogface.errors import EngineError
from trt_mogface.machine.tensorrt import Flavor, FlavorName
from trt_mogface.models.manifest import Profile, Shape

SPEC = small_spec(landmarks=5)
PROFILES = (Profile((1, 8, 8), (1, 8, 8), (1, 8, 8)), Profile((1, 8, 8), (2, 16, 8), (4, 32, 16)))


class FakeContext:
    """An execution context that answers with the sum of each image, in its first score."""

    def __init__(self, cuda: HostCuda, engine: FakeEngine) -> None:
        self._cuda, self._engine = cuda, engine
        self._addresses: dict[str, int] = {}
        self._shape: Shape = (0, 0, 0)
        self.shapes: list[Shape] = []
        self.fails = False

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        assert stream in self._cuda.live
        self.profile = index
        return "set_optimization_profile_async" not in self._engine.refused

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert (name, shape[3]) == ("images", 3)
        self._shape = shape[0], shape[1], shape[2]
        self.shapes.append(self._shape)
        return "set_input_shape" not in self._engine.refused

    def set_device_memory(self, address: int, nbytes: int) -> None:
        assert address in self._cuda.live
        assert nbytes == 300

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return f"set_tensor_address of {name}" not in self._engine.refused

    def execute_async_v3(self, stream: int) -> bool:
        self._cuda.do(stream, self._run)
        return not self.fails

    def _run(self) -> None:
        batch, height, width = self._shape
        pixels = self._array("images", (batch, height, width, 3), np.uint8)
        for name, shape in SPEC.output_shapes(*self._shape).items():
            self._array(name, shape, np.float32)[...] = 0
        scores = self._array("scores", (batch, SPEC.anchor_count(height, width)), np.float32)
        scores[:, 0] = pixels.sum(axis=(1, 2, 3))

    def _array(self, name: str, shape: tuple[int, ...], dtype: type) -> Any:
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = (ctypes.c_uint8 * nbytes).from_address(self._addresses[name])
        return np.ctypeslib.as_array(raw).view(dtype).reshape(shape)


class FakeEngine:
    num_optimization_profiles = 2

    def __init__(self, cuda: HostCuda) -> None:
        self._cuda = cuda
        self.contexts: list[FakeContext] = []
        self.refused: set[str] = set()
        self.allows_host_code = False

    def get_device_memory_size_for_profile_v2(self, index: int) -> int:
        return (100, 300)[index]

    def create_execution_context(self, strategy: str) -> FakeContext | None:
        assert strategy == "caller's"
        self.contexts.append(FakeContext(self._cuda, self))
        return self.contexts[-1]


def opened(
    tmp_path: Path,
    cuda: HostCuda,
    engine: FakeEngine | None,
    flavor: FlavorName = "tensorrt",
    refusal: str = "wrong\nversion",
    **facts: Any,
) -> TensorRTNetwork:
    path = tmp_path / "small.engine"
    path.write_bytes(b"plan")

    class Logger:
        Severity = SimpleNamespace(ERROR=1)

    class Runtime:
        engine_host_code_allowed = False

        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> FakeEngine | None:
            assert plan == b"plan"
            if engine is None:
                self._logger.log(1, refusal)
            else:
                engine.allows_host_code = self.engine_host_code_allowed
            return engine

    module = SimpleNamespace(
        ILogger=Logger,
        Runtime=Runtime,
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="caller's"),
    )
    manifest = dataclasses.replace(GOOD, spec=SPEC, profiles=PROFILES, **facts)
    return TensorRTNetwork(path, manifest, Flavor(flavor, "10.3.0", module), cuda)


def test_a_run_on_the_host_is_uploaded_run_and_downloaded(tmp_path: Path) -> None:
    cuda = HostCuda()
    engine = FakeEngine(cuda)
    network = opened(tmp_path, cuda, engine)
    assert (network.spec, network.max_shapes, network.scratch_bytes) == (SPEC, ((1, 8, 8), (4, 32, 16)), 300)
    rng = np.random.default_rng(0)
    for shape in ((1, 8, 8), (2, 16, 8), (2, 16, 8), (4, 32, 16)):
        images = rng.integers(0, 256, (*shape, 3), np.uint8)
        outputs = network.run(images[:, ::-1])
        assert outputs.scores[:, 0].tolist() == images.sum(axis=(1, 2, 3)).tolist()
        for values, expected in zip(outputs, SPEC.output_shapes(*shape).values()):
            assert values is not None
            assert values.shape == expected
    assert not cuda.live
    assert [context.profile for context in engine.contexts] == [0, 1]
    assert engine.contexts[1].shapes == [(2, 16, 8), (4, 32, 16)], "a shape is set once"
    network.close()
    network.close()


def test_shapes_outside_all_profiles_are_refused_before_anything_moves(tmp_path: Path) -> None:
    cuda = HostCuda()
    network = opened(tmp_path, cuda, FakeEngine(cuda))
    network.check_shape((3, 31, 16))
    for shape in ((5, 8, 8), (1, 33, 8), (1, 8, 7)):
        with pytest.raises(EngineError, match="4x32x16"):
            network.check_shape(shape)
        with pytest.raises(EngineError):
            network.run(np.zeros((*shape, 3), np.uint8))
    assert cuda.calls == []


def test_clones_share_the_plan_and_have_their_own_contexts(tmp_path: Path) -> None:
    cuda = HostCuda()
    engine = FakeEngine(cuda)
    network = opened(tmp_path, cuda, engine)
    twin = network.clone()
    images = np.ones((1, 8, 8, 3), np.uint8)
    network.run(images)
    network.close()
    assert twin.run(images).scores[0, 0] == images.size
    assert len(engine.contexts) == 2
    plan: Any = twin._plan
    assert plan._engine is engine
    twin.close()
    assert plan._engine is None


def test_a_missing_plugin_library_is_named_before_anything_is_launched(tmp_path: Path) -> None:
    """The manifest says whether an engine ends in faces, and may be wrong."""
    cuda = HostCuda()
    refusal = "Error Code 1: Serialization (Cannot deserialize plugin since\nIPluginCreator not found)"
    with pytest.raises(EngineError, match="needs a plugin library that is not loaded") as error:
        opened(tmp_path, cuda, None, refusal=refusal)
    assert "IPluginCreator not found" in one_line(error.value)
    assert not cuda.live


def test_failures_are_one_line(tmp_path: Path) -> None:
    cuda = HostCuda()
    with pytest.raises(EngineError, match=r"refuses it \(wrong version\); rebuild it with: ") as error:
        opened(tmp_path, cuda, None)
    one_line(error.value)
    engine = FakeEngine(cuda)
    network = opened(tmp_path, cuda, engine)
    network.run(np.zeros((1, 8, 8, 3), np.uint8))
    engine.contexts[0].fails = True
    with pytest.raises(EngineError, match="the network failed: no reason given"):
        network.run(np.zeros((1, 8, 8, 3), np.uint8))
    assert not cuda.live


@pytest.mark.parametrize("version_compatible", [False, True])
def test_host_code_runs_only_for_version_compatible_engines(tmp_path: Path, version_compatible: bool) -> None:
    """TensorRT refuses a version-compatible plan, which contains code for the host, unless it is allowed."""
    cuda = HostCuda()
    engine = FakeEngine(cuda)
    opened(tmp_path, cuda, engine, version_compatible=version_compatible).close()
    assert engine.allows_host_code == version_compatible


@pytest.mark.parametrize(
    ("refused", "problem"),
    [
        ("set_optimization_profile_async", "no profile 0"),
        ("set_input_shape", "no input shape"),
        ("set_tensor_address of images", "no address of images"),
        ("set_tensor_address of deltas", "no address of deltas"),
    ],
)
def test_what_tensorrt_refuses_is_an_error_before_the_run(tmp_path: Path, refused: str, problem: str) -> None:
    cuda = HostCuda()
    engine = FakeEngine(cuda)
    engine.refused.add(refused)
    network = opened(tmp_path, cuda, engine)
    with pytest.raises(EngineError, match=f"small.engine: {problem}.*: no reason given") as caught:
        network.run(np.zeros((1, 8, 8, 3), np.uint8))
    one_line(caught.value)
    assert not cuda.live


@pytest.mark.parametrize("kept", [None, b"kernels"])
def test_a_runtime_cache_that_cannot_be_serialized_is_not_written(tmp_path: Path, kept: bytes | None) -> None:
    """``IRuntimeCache.serialize`` returns None if it fails; closing goes on."""
    cuda = HostCuda()
    network = opened(tmp_path, cuda, FakeEngine(cuda), "tensorrt-rtx")
    plan: Any = network._plan
    plan._cache = SimpleNamespace(serialize=lambda: kept)
    network.close()
    file = tmp_path / "small.engine.cache"
    assert (file.read_bytes() if file.is_file() else None) == kept
    assert plan._engine is None
