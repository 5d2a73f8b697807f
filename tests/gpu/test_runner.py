"""The whole way on a GPU: with an engine where TensorRT runs, and with a network of fixed answers anyway."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.host_cuda import BoundRun
from tests.support.specs import small_spec
from trt_mogface import Detector
from trt_mogface.backends.gpu.backend import GpuBackend
from trt_mogface.backends.options import SlotOptions
from trt_mogface.cuda import Cuda, DeviceMemory, Stream, open_cuda
from trt_mogface.errors import CudaError, EngineError, MissingExtraError, MogFaceError
from trt_mogface.kernels import Kernels
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.manifest import Profile, Shape
from trt_mogface.reference.select import select
from trt_mogface.runner import Runner

pytestmark = pytest.mark.gpu

SIZE = (320, 256)


@pytest.fixture(scope="module")
def cuda(kernels: Kernels) -> Cuda:  # noqa: ARG001 -- there is a GPU where there are kernels for one
    try:
        return open_cuda(0)
    except (MissingExtraError, CudaError) as error:
        pytest.skip(str(error))


class FixedAnswers:
    """A network that gives the same outputs for every picture: copies on the device."""

    scratch_bytes = 256
    capturable = True

    def __init__(self, cuda: Cuda, batch: int) -> None:
        self.spec = small_spec("distance", landmarks=5, score_threshold=0.9)
        rng = np.random.default_rng(0)
        count = self.spec.anchor_count(SIZE[1], SIZE[0])
        self.answers = {
            name: np.repeat(rng.random(shape, np.float32), batch, axis=0)
            for name, shape in {
                "scores": (1, count),
                "deltas": (1, count, 4),
                "landmarks": (1, count, 10),
            }.items()
        }
        self._cuda = cuda
        self._device: dict[str, DeviceMemory] = {}
        stream = cuda.stream()
        for name, values in self.answers.items():
            host, self._device[name] = cuda.pin(values.nbytes), cuda.allocate(values.nbytes)
            host.array[:] = values.view(np.uint8).ravel()
            cuda.copy_in(self._device[name], host, values.nbytes, stream)
            cuda.synchronize(stream)
        self._runtime: Any = pytest.importorskip("cuda.bindings.runtime")

    def check_shape(self, shape: Shape) -> None:
        assert shape[1:] == (SIZE[1], SIZE[0])

    def clone(self) -> FixedAnswers:
        return self

    def enqueue(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> None:
        assert images
        assert scratch.nbytes >= self.scratch_bytes
        for name, address in outputs.items():
            nbytes = self.answers[name][: shape[0]].nbytes
            kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
            (status,) = self._runtime.cudaMemcpyAsync(
                address, self._device[name].handle, nbytes, kind, stream.handle
            )
            assert status == self._runtime.cudaError_t.cudaSuccess

    def bind(
        self, shape: Shape, images: int, outputs: dict[str, int], scratch: DeviceMemory, stream: Stream
    ) -> BoundRun:
        assert stream.handle
        return BoundRun(partial(self.enqueue, shape, images, outputs, scratch))

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("batch", "slots"), [(1, 1), (4, 2), (8, 3)])
def test_kernels_graphs_and_copies_in_a_ring(cuda: Cuda, kernels: Kernels, batch: int, slots: int) -> None:
    network = FixedAnswers(cuda, batch)
    options = SlotOptions.resolve(network.spec, {"size": SIZE})
    backend = GpuBackend(network, cuda, kernels, options, (batch, SIZE[1], SIZE[0]))
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (*rng.integers(20, 900, 2), 3), np.uint8) for _ in range(40)]
    before = cuda.free_memory()
    with Runner(backend, batch=batch, slots=slots, measure=True) as runner:
        found = list(runner.map(images * 3))
        stats = runner.stats()
    assert cuda.free_memory() >= before
    assert stats.frames == 120
    assert stats.stages["network"].count == stats.batches
    expected = select(
        *(network.answers[name][0] for name in ("scores", "deltas", "landmarks")),
        spec=network.spec,
        size=(SIZE[1], SIZE[0]),
        thresholds=options.thresholds,
    )
    for image, faces in zip(images * 3, found):
        scale = np.array(options.place(*image.shape[:2]).scale * 2, np.float32)
        np.testing.assert_array_equal(faces.xyxy, expected.boxes / scale)
        np.testing.assert_array_equal(faces.confidence, expected.scores)


@pytest.fixture(scope="module")
def engine(cuda: Cuda, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """An FP32 engine of the default model, built by what is installed here."""
    from engine_build.build import EngineBuild
    from engine_build.lowering import Lowering, LoweringOptions
    from engine_build.tensorrt.builder import BuilderOptions
    from trt_mogface.machine.gpu import find_gpu
    from trt_mogface.machine.tensorrt import find_tensorrt

    profile = Profile((1, 64, 64), (1, 256, 320), (8, 640, 640))
    try:
        build = EngineBuild(
            Lowering(LoweringOptions(embedded_file(DEFAULT))),
            BuilderOptions((profile,)),
            find_tensorrt(),
            find_gpu(),
        )
        return build.engine("fp32", tmp_path_factory.mktemp("engine")).engine
    except MogFaceError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def photos(group: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [group, group[:400, :600].copy(), group[100:, 300:].copy(), group[:, ::-1].copy()] * 5


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_an_engine_finds_what_the_cpu_finds(
    engine: Path, photos: list[NDArray[np.uint8]], batch: int
) -> None:
    try:
        runner = Runner(engine, size=SIZE, batch=batch, slots=2)
    except EngineError as error:
        pytest.skip(f"TensorRT does not run on this GPU: {error}")
    with Detector(size=SIZE) as detect, runner:
        for found, expected in zip(runner.map(photos), detect(photos)):
            assert len(found) == len(expected)
            np.testing.assert_allclose(found.confidence, expected.confidence, atol=5e-3)
            np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=1.0)
