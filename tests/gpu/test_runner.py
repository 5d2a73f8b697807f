"""The whole way on a GPU: with an engine where TensorRT runs, and with a network of fixed answers anyway."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine_build.precision import Precision
from tests.support.host_cuda import BoundRun
from tests.support.photos import Photo
from tests.support.same_faces import assert_same_faces
from tests.support.specs import small_spec
from trt_mogface import Detections, Detector
from trt_mogface.backends.gpu.backend import GpuBackend
from trt_mogface.backends.options import SlotOptions
from trt_mogface.cuda import Cuda, DeviceMemory, Stream, open_cuda
from trt_mogface.errors import CudaError, EngineError, MissingExtraError
from trt_mogface.kernels import Kernels
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import find_tensorrt
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.manifest import Profile, Shape
from trt_mogface.reference.select import select
from trt_mogface.runner import Runner, Stats

pytestmark = pytest.mark.gpu

SIZE = (320, 256)

CONF = 0.5
"""Score threshold far from the scores of all candidates, 0.85 to 1, so that rounding drops no face."""


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
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (*rng.integers(20, 900, 2), 3), np.uint8) for _ in range(40)]

    def run() -> tuple[list[Detections], Stats]:
        backend = GpuBackend(network, cuda, kernels, options, [(batch, SIZE[1], SIZE[0])])
        with Runner(backend, batch=batch, slots=slots, measure=True) as runner:
            return list(runner.map(images * 3)), runner.stats()

    run()  # CUDA loads a kernel into device memory when it is first launched, and keeps it there
    before = cuda.free_memory()
    found, stats = run()
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


def built(folder: Path, precision: Precision) -> Path:
    """Build an engine of the default model by what is installed here."""
    from engine_build.build import EngineBuild
    from engine_build.lowering import Lowering, LoweringOptions
    from engine_build.tensorrt.builder import BuilderOptions

    try:
        flavor = find_tensorrt()
    except MissingExtraError as error:
        pytest.skip(str(error))
    profile = Profile((1, 64, 64), (1, 256, 320), (8, 640, 640))
    lowering = Lowering(LoweringOptions(embedded_file(DEFAULT)))
    return (
        EngineBuild(lowering, BuilderOptions((profile,)), flavor, find_gpu()).engine(precision, folder).engine
    )


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def engine(
    cuda: Cuda,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Path:
    """An engine that runs here: its precision is that of its name."""
    made = built(tmp_path_factory.mktemp("engine"), request.param)
    try:
        Detector(made).close()
    except EngineError as error:
        gpu = find_gpu()
        if find_tensorrt().is_rtx and gpu is not None and gpu.capability == (9, 0):
            pytest.skip(f"TensorRT-RTX does not support this GPU: {error}")
        raise
    return made


@pytest.fixture(scope="module")
def images(group: Photo, portrait: Photo) -> list[Photo]:
    """Images with faces, all of them made of the photo of the repository."""
    return [group, group[:400, :600].copy(), group[100:, 300:].copy(), group[:, ::-1].copy(), portrait]


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_an_engine_finds_what_the_cpu_finds(engine: Path, images: list[Photo], batch: int) -> None:
    with (
        Detector(size=SIZE, conf=CONF) as detect,
        Runner(engine, size=SIZE, conf=CONF, batch=batch, slots=2) as runner,
    ):
        expected = detect(images)
        for found, faces in zip(runner.map(images * 4), expected * 4):
            assert_same_faces(found, faces, **tolerances(engine))


def test_an_engine_finds_it_at_an_image_s_own_size(engine: Path, portrait: Photo) -> None:
    with Detector(conf=CONF) as detect, Detector(engine, conf=CONF) as on_gpu:
        for image in (portrait, portrait[:300, 60:], portrait[:, ::-1].copy()):
            assert_same_faces(on_gpu(image), detect(image), **tolerances(engine))


def tolerances(engine: Path) -> dict[str, float]:
    """Return the largest differences; FP32 engines multiply in TF32, as precise as FP16."""
    return {"pixels": 2.0, "score": 0.01 if "fp32" in engine.name else 0.03}
