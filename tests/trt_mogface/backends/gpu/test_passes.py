"""Further passes over reduced copies on the GPU's way, in host memory, against those on the CPU.

The model says that it sees faces up to 60 pixels, so that small images have further passes too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine_build.onnx import contract
from tests.support.emulated import shared_library
from tests.support.host_cuda import HostCuda, HostNetwork, backend
from tests.trt_mogface.backends.gpu.test_slot import DeviceFrame, assert_same, pinned
from trt_mogface import Detections, Detector
from trt_mogface.errors import EngineError, OutOfMemoryError
from trt_mogface.frame import Frame
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.manifest import Shape
from trt_mogface.runner import Runner

Photo = NDArray[np.uint8]

SIZE = (256, 192)
MAX_SHAPE = (4, 192, 256)
CONF = 0.02
"""Low enough that every pass finds faces, right or wrong."""


@pytest.fixture(scope="module")
def library() -> Path:
    return shared_library()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model with a lower limit of faces."""
    loaded = contract.load(embedded_file(DEFAULT))
    spec = contract.spec_of(loaded)
    levels = tuple(dataclasses.replace(level, max_face=60.0) for level in spec.levels)
    contract.complete(loaded, dataclasses.replace(spec, levels=levels))
    path = tmp_path_factory.mktemp("model") / "limited.onnx"
    contract.save(loaded, path)
    return path


@pytest.fixture(scope="module")
def photos(group: Photo, portrait: Photo) -> list[Photo]:
    """Images that are 177, 192, 192 and 60 pixels high in the network input: the last has one pass."""
    cut, close = group[100:500, 300:600], cv2.resize(portrait[60:140, 180:270], (400, 400))
    return [group, np.ascontiguousarray(cut), close.astype(np.uint8, copy=False), group[200:500]]


def on_cpu(model: Path, photos: list[Photo], **options: Any) -> list[Detections]:
    with Detector(model, size=SIZE, threads=1, conf=CONF, **options) as detect:
        return [detect(photo) for photo in photos]


@pytest.fixture(scope="module")
def once(model: Path, photos: list[Photo]) -> list[Detections]:
    return on_cpu(model, photos, scales="native")


@pytest.fixture(scope="module")
def expected(model: Path, photos: list[Photo], once: list[Detections]) -> list[Detections]:
    found = on_cpu(model, photos)
    assert sum(one.xyxy.tobytes() != two.xyxy.tobytes() for one, two in zip(found[:3], once)) >= 2
    assert found[3].xyxy.tobytes() == once[3].xyxy.tobytes()
    return found


def opened(library: Path, model: Path, cuda: HostCuda, shape: Shape = MAX_SHAPE, **options: Any) -> Any:
    return backend(library, model, cuda, shape, **{"size": SIZE, "conf": CONF, **options})


@pytest.mark.parametrize("is_integrated", [False, True])
def test_faces_are_those_of_the_cpu_step_by_step_and_as_a_graph(
    library: Path, model: Path, photos: list[Photo], expected: list[Detections], is_integrated: bool
) -> None:
    cuda = HostCuda(is_integrated=is_integrated)
    with Detector(opened(library, model, cuda)) as detect:
        for launch in range(3):  # launched step by step, captured, launched as a graph
            del cuda.calls[:]
            assert_same(detect(photos), expected)
            copies = 0 if is_integrated else (1, 2, 0)[launch]
            assert (cuda.calls.count("copy_in"), cuda.calls.count("copy_out")) == (copies, copies)
            passes = (1, 2, 0)[launch]
            assert cuda.calls.count("network") == cuda.calls.count("detect") == 2 * passes
            assert cuda.calls.count("merge") == passes
        slot: Any = detect._slot
        (key,) = slot._graphs
        assert [each.shape for each in key.passes] == [(4, 192, 256), (4, 64, 96)]
        assert {call.shape for call in slot._runs} == {(4, 192, 256), (4, 64, 96)}
        assert_same(detect(photos[3:]), expected[3:])
    assert not cuda.live


def test_images_that_need_one_pass_have_one(
    library: Path, model: Path, photos: list[Photo], once: list[Detections]
) -> None:
    cuda = HostCuda()
    with Detector(opened(library, model, cuda)) as detect:
        assert_same(detect(photos[3:]), once[3:])
    with Detector(opened(library, model, cuda, scales="native")) as detect:
        assert_same(detect(photos), once)
    assert "merge" not in cuda.calls
    assert not cuda.live


def test_a_number_of_passes_is_for_all_images(library: Path, model: Path, photos: list[Photo]) -> None:
    some, cuda = photos[2:], HostCuda()
    expected = on_cpu(model, some, scales=3)
    with Detector(opened(library, model, cuda, scales=3)) as detect:
        for _ in range(3):
            assert_same(detect(some), expected)
    assert cuda.calls.count("network") == 3 * 3  # two launches and a capture
    assert not cuda.live


def test_a_runner_finds_them_in_batches_and_measures_each_stage_once(
    library: Path, model: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    cuda = HostCuda()
    with Runner(opened(library, model, cuda), batch=2, slots=2, measure=True) as runner:
        assert_same(list(runner.map(photos)), expected)
        stages = runner.stats().stages
    assert {
        name: stage.count for name, stage in stages.items() if name in ("letterbox", "network", "copy in")
    } == (dict.fromkeys(("letterbox", "network", "copy in"), stages["run"].count))
    assert not cuda.live


def test_frames_on_the_device_and_in_page_locked_memory_are_read_in_place(
    library: Path, model: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    cuda = HostCuda()
    memory, locked = pinned(cuda, np.ascontiguousarray(photos[1]))
    with Detector(opened(library, model, cuda)) as detect:
        for _ in range(2):
            frames: list[Any] = [DeviceFrame(photos[0]), locked, photos[2]]
            assert_same(detect(frames), expected[:3])
        assert cuda.calls.count("copy_array") == 2
    memory.close()
    assert not cuda.live


def test_faces_may_be_views_of_memory_that_the_next_batch_overwrites(
    library: Path, model: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    with Detector(opened(library, model, HostCuda()), views=True) as detect:
        first = detect(photos[0])
        assert_same([first], expected[:1])
        detect(np.zeros((192, 256, 3), np.uint8))
        assert not np.array_equal(first.xyxy, expected[0].xyxy)


def test_after_warming_up_nothing_is_allocated(library: Path, model: Path, photos: list[Photo]) -> None:
    cuda = HostCuda()
    with Detector(opened(library, model, cuda)) as detect:
        for _ in range(2):
            detect(photos[0])
        del cuda.calls[:]
        detect(photos[0])
    assert not {"allocate", "pin", "stream", "event"} & set(cuda.calls)


def test_further_passes_need_little_memory(library: Path, model: Path) -> None:
    used = {}
    for scales in ("native", "full"):
        cuda = HostCuda()
        with contextlib.closing(opened(library, model, cuda, scales=scales)) as on_gpu:
            slot = on_gpu.slot(4)
            used[scales] = cuda.device.memory - cuda.free_memory()
            slot.close()
    faces = 4 * 750 * (4 + 1 + 10) * 4
    assert 0 < used["full"] - used["native"] < 2 * faces
    with pytest.raises(OutOfMemoryError):
        opened(library, model, HostCuda(memory=used["native"]), scales="full").slot(4)


def test_an_engine_that_refuses_the_reduced_shape_has_one_pass_and_says_so_once(
    library: Path,
    model: Path,
    photos: list[Photo],
    once: list[Detections],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accepts = HostNetwork.check_shape

    def no_small_images(self: HostNetwork, shape: Shape) -> None:
        accepts(self, shape)
        if shape[1] < 192:
            raise EngineError(f"{shape}: no profile accepts it")

    monkeypatch.setattr(HostNetwork, "check_shape", no_small_images)
    with caplog.at_level(logging.WARNING), Detector(opened(library, model, HostCuda())) as detect:
        for _ in range(2):
            assert_same(detect(photos[:2]), once[:2])
    (record,) = caplog.records
    assert "large faces may be missed" in record.getMessage()
    assert "(2, 64, 96): no profile accepts it" in record.getMessage()
    with (
        Detector(opened(library, model, HostCuda(), scales=2)) as detect,
        pytest.raises(EngineError, match="64"),
    ):
        detect(photos)


def test_a_failure_in_a_further_pass_leaves_the_slot_usable(
    library: Path,
    model: Path,
    photos: list[Photo],
    expected: list[Detections],
) -> None:
    cuda = HostCuda()
    with (
        contextlib.closing(opened(library, model, cuda)) as on_gpu,
        contextlib.closing(on_gpu.slot(4)) as slot,
    ):
        cuda.failing["merge"] = EngineError("not today")
        with pytest.raises(EngineError, match="not today"):
            slot.submit([Frame.of(photos[0])])
        del cuda.failing["merge"]
        slot.submit([Frame.of(photos[0])])
        assert_same(slot.wait(), expected[:1])
    assert not cuda.live
