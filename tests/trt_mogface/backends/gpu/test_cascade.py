"""MTCNN's way over the GPU in host memory: emulated kernels, and ONNX Runtime as the three engines."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cascades import all_cells, far_away, made, not_a_number, not_finite
from tests.support.emulated import shared_library
from tests.support.host_cuda import FEW, HostCuda, cascade_backend
from tests.support.photos import Photo
from tests.support.published_mtcnn import trained, write_npy
from tests.support.specs import one_line
from trt_mogface import Detections, Detector
from trt_mogface.errors import CudaError, EngineError, OutOfMemoryError
from trt_mogface.frame import Frame
from trt_mogface.reference import cascade
from trt_mogface.reference.stages import Limits, Selection
from trt_mogface.runner import Runner

pytest.importorskip("torch", reason="the networks come out of torch")

MAX_SHAPE = (2, 50, 60)


@pytest.fixture(scope="module")
def library() -> Path:
    return shared_library()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npy(trained(), tmp_path_factory.mktemp("npy"))


@pytest.fixture(scope="module")
def folder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("mtcnn"), weights)


@pytest.fixture(scope="module")
def photos(portrait: Photo) -> list[Photo]:
    """Two small photos of one size, with a face of 26 and one of 36 pixels."""
    small, larger = portrait[::4, ::4][7:55, 35:79], portrait[::3, ::3][10:58, 89:45:-1]
    return [np.ascontiguousarray(small), np.ascontiguousarray(larger)]


def on_cpu(folder: Path, images: list[Photo], limits: Limits = FEW, **options: Any) -> list[Detections]:
    """What the CPU finds with the limits of the emulation, of equal scores the later first."""
    ranked = partial(Selection, rank=cascade.stable_ranking, limits=limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trt_mogface.backends.cascade.Selection", ranked)
        with Detector(folder, threads=1, **options) as detect:
            return [detect(image) for image in images]


@pytest.fixture(scope="module")
def expected(folder: Path, photos: list[Photo]) -> list[Detections]:
    found = on_cpu(folder, photos)
    assert all(len(faces) for faces in found)
    return found


def opened(library: Path, folder: Path, cuda: HostCuda, **options: Any) -> Any:
    return cascade_backend(library, folder, cuda, MAX_SHAPE, **options)


def assert_same(found: list[Detections], expected: list[Detections]) -> None:
    """The same faces in the same order, to the last bit."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert (one.image_size, one.dropped, one.truncated) == (
            other.image_size,
            other.dropped,
            other.truncated,
        )
        np.testing.assert_array_equal(one.confidence, other.confidence)
        np.testing.assert_array_equal(one.xyxy, other.xyxy)
        np.testing.assert_array_equal(one.landmarks, other.landmarks)


def test_photos_step_by_step_and_as_a_graph(
    library: Path, folder: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    cuda = HostCuda()
    with Detector(opened(library, folder, cuda)) as detect:
        for launch in range(3):
            del cuda.calls[:]
            assert_same(detect(photos), expected)
            times = (1, 2, 0)[launch]
            levels = len(cascade.pyramid(48, 44))
            assert cuda.calls.count("cascade_windows") == times * levels
            assert cuda.calls.count("cascade_boxes") == 2 * times
            assert cuda.calls.count("cascade_faces") == times
            assert cuda.calls.count("network") == times * (levels + 2 + 2)
            assert cuda.calls.count("launch") == (launch == 2)
            assert not ({"allocate", "pin", "stream", "event"} & set(cuda.calls)) or launch == 0
    assert not cuda.live


def test_these_photos_have_the_published_faces(
    folder: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    """So the order of equal scores decides nothing here, nor do the limits."""
    with Detector(folder, threads=1) as detect:
        assert_same([detect(photo) for photo in photos], expected)


def test_a_runner(library: Path, folder: Path, photos: list[Photo], expected: list[Detections]) -> None:
    cuda = HostCuda(is_integrated=True)
    with Runner(opened(library, folder, cuda), batch=1, slots=2) as runner:
        assert_same(list(runner.map([*photos, photos[0]])), [*expected, expected[0]])
    assert not cuda.live


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (50, 1), (12, 12), (20, 20), (21, 21), (22, 60)])
def test_images_without_a_face(
    library: Path, folder: Path, photos: list[Photo], expected: list[Detections], shape: tuple[int, int]
) -> None:
    with Detector(opened(library, folder, HostCuda())) as detect:
        if shape == (1, 1):
            assert len(detect(photos[0]))  # nothing of it is left for the next image
        found = detect(np.zeros((*shape, 3), np.uint8))
        assert (len(found), found.dropped, found.truncated, found.image_size) == (0, 0, 0, shape)
        assert found.landmarks is not None
        assert found.landmarks.shape == (0, 5, 2)
    del expected


def test_a_long_image(library: Path, folder: Path) -> None:
    with Detector(cascade_backend(library, folder, HostCuda(), (1, 1, 5000))) as detect:
        assert len(detect(np.zeros((1, 5000, 3), np.uint8))) == 0


@pytest.mark.parametrize("change", [all_cells, far_away, not_finite, not_a_number])
def test_networks_that_give_too_much_or_nonsense(
    library: Path,
    weights: Path,
    photos: list[Photo],
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
) -> None:
    broken = made(tmp_path, weights, change)
    image = photos[0]
    few = Limits(cells=80, proposals=60, refined=10, output=3) if change is all_cells else FEW
    expected = on_cpu(broken, [image], few)
    with Detector(opened(library, broken, HostCuda(), limits=few)) as detect:
        assert_same([detect(image)], expected)
    (faces,) = expected
    if change is all_cells:
        assert faces.truncated > 20
    elif change in (not_finite, not_a_number):
        assert faces.dropped > 0


def test_thresholds_and_limits(
    library: Path, folder: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    several: list[dict[str, Any]] = [{"conf": 0.0, "max_det": 1}, {"conf": 0.5, "clip": True}]
    for options in several:
        wanted = on_cpu(folder, photos[:1], **options)
        with Detector(opened(library, folder, HostCuda(), **options)) as detect:
            assert_same([detect(photos[0])], wanted)
    del expected


def test_a_size_and_other_formats(library: Path, folder: Path, photos: list[Photo]) -> None:
    from tests.support.frames import yuv_frame

    image = photos[0].repeat(2, axis=0).repeat(2, axis=1)
    (wanted,) = on_cpu(folder, [image], size=(44, 48))
    assert len(wanted)
    with Detector(opened(library, folder, HostCuda(), size=(44, 48))) as detect:
        found = detect(image)
        np.testing.assert_allclose(found.xyxy, wanted.xyxy, atol=1e-3)
        np.testing.assert_array_equal(found.confidence, wanted.confidence)
    y, u, v = (photos[0][..., 1], photos[0][::2, ::2, 0], photos[0][::2, ::2, 2])
    frame: Any = yuv_frame("nv12", y, u, v)
    wanted_of_frame = on_cpu(folder, [frame], conf=0.1)
    with Detector(opened(library, folder, HostCuda(), conf=0.1)) as detect:
        assert_same([detect(frame)], wanted_of_frame)


def test_what_was_half_made_is_taken_back(library: Path, folder: Path) -> None:
    step, failed = 0, True
    while failed:
        cuda = HostCuda()
        cuda.failing_at = step
        opening = opened(library, folder, cuda)
        try:
            with contextlib.closing(opening), contextlib.closing(opening.slot(1)):
                failed = False
        except CudaError:
            step += 7
        assert not cuda.live
    assert step > 20


def test_sizes_without_room_are_refused(library: Path, folder: Path, photos: list[Photo]) -> None:
    problem = "images 1x51x60 (batch x height x width): the slot has memory for 2x50x60"
    with Detector(opened(library, folder, HostCuda())) as detect:
        with pytest.raises(EngineError, match=re.escape(problem)) as error:
            detect(np.zeros((51, 60, 3), np.uint8))
        one_line(error.value)
        assert len(detect(photos[0]))
    opening = opened(library, folder, HostCuda())
    with pytest.raises(EngineError, match="batch 3: the engines accept at most 2"):
        opening.slot(3)
    opening.close()
    small = HostCuda(memory=1 << 20)
    with pytest.raises(OutOfMemoryError, match=r"requested .* MB, .* MB free"):
        Detector(opened(library, folder, small))
    assert not small.live


def test_where_capturing_fails_steps_are_launched(
    library: Path, folder: Path, photos: list[Photo], expected: list[Detections], caplog: Any
) -> None:
    cuda = HostCuda()
    cuda.failing["begin_capture"] = CudaError("not today")
    with caplog.at_level(logging.WARNING), Detector(opened(library, folder, cuda)) as detect:
        for _ in range(2):
            assert_same([detect(photos[0])], expected[:1])
    assert "not today" in caplog.text


def test_stages_are_timed(library: Path, folder: Path, photos: list[Photo]) -> None:
    times: dict[str, float] = {}
    opening = opened(library, folder, HostCuda())
    with contextlib.closing(opening), contextlib.closing(opening.slot(1, times.__setitem__)) as slot:
        slot.submit([Frame((photos[0],))])
        slot.wait()
    assert list(times) == ["copy in", "proposals", "refinement", "output", "copy out"]
    assert min(times.values()) >= 0
