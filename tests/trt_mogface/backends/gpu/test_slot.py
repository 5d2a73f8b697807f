"""The GPU's way from pictures to faces, in host memory: emulated kernels, and ONNX Runtime as the engine."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.emulated import shared_library
from tests.support.frames import yuv_frame
from tests.support.host_cuda import HostCuda, backend
from tests.support.specs import one_line
from trt_mogface import Detections, Detector
from trt_mogface.backends.gpu.backend import GpuBackend
from trt_mogface.cuda import PinnedMemory
from trt_mogface.errors import (
    CudaError,
    EngineError,
    ImageError,
    MogFaceError,
    OutOfMemoryError,
    RunnerError,
)
from trt_mogface.frame import Frame, PixelFormat
from trt_mogface.kernels import FRAME_BYTES
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.runner import Runner

SIZE = (256, 192)
MAX_SHAPE = (4, 192, 256)
Photo = NDArray[np.uint8]


@pytest.fixture(scope="module")
def library() -> Path:
    return shared_library()


@pytest.fixture(scope="module")
def photo(group: Photo) -> Photo:
    return group


@pytest.fixture(scope="module")
def photos(photo: Photo) -> list[Photo]:
    """Pictures of different sizes and faces."""
    return [photo, photo[:400, :600], photo[100:, 300:], photo[:, ::-1].copy(), photo[::2, ::2].copy()]


@pytest.fixture(scope="module")
def expected(photos: list[Photo]) -> list[Detections]:
    with Detector(size=SIZE, threads=1) as detect:
        found = detect(photos)
    assert sum(map(len, found)) > 8
    return found


def opened(library: Path, cuda: HostCuda, **choices: Any) -> Any:
    return backend(library, embedded_file(DEFAULT), cuda, MAX_SHAPE, size=SIZE, **choices)


def assert_same(found: list[Detections], expected: list[Detections]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert (len(one), one.image_size, one.dropped) == (len(other), other.image_size, other.dropped)
        np.testing.assert_allclose(one.confidence, other.confidence, rtol=0, atol=1e-6)
        np.testing.assert_allclose(one.xyxy, other.xyxy, rtol=0, atol=1e-3)
        np.testing.assert_allclose(one.landmarks, other.landmarks, rtol=0, atol=1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_integrated", [False, True])
def test_a_detector_finds_what_the_cpu_finds(
    library: Path, photos: list[Photo], expected: list[Detections], is_integrated: bool
) -> None:
    cuda = HostCuda(is_integrated=is_integrated)
    with Detector(opened(library, cuda)) as detect:
        for _ in range(3):  # launched step by step, captured, launched as a graph
            assert_same(detect(photos), expected)
    assert ("copy_in" in cuda.calls) == ("copy_out" in cuda.calls) == (not is_integrated)
    assert cuda.calls.count("launch") >= 2
    assert not cuda.live


def test_boxes_are_cut_at_the_edges_if_asked(library: Path, portrait: Photo) -> None:
    part = portrait[80:190, 200:340]
    with Detector(size=SIZE, threads=1) as detect, Detector(opened(library, HostCuda(), clip=True)) as other:
        whole = detect(part)
        assert (whole.xyxy < 0).any()
        assert_same([other(part)], [whole.clip()])


@pytest.mark.parametrize(("batch", "slots"), [(1, 1), (2, 3), (4, 2)])
def test_a_runner_finds_what_the_cpu_finds_in_order(
    library: Path, photos: list[Photo], expected: list[Detections], batch: int, slots: int
) -> None:
    cuda = HostCuda()
    with Runner(opened(library, cuda), batch=batch, slots=slots) as runner:
        assert_same(list(runner.map(photos * 3)), expected * 3)
    assert not cuda.live


def test_pictures_may_change_once_their_batch_has_begun(
    library: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    cuda = HostCuda()
    opening = opened(library, cuda)
    slot = opening.slot(1)
    picture = photos[0].copy()
    slot.submit([Frame.of(picture)])
    picture[:] = 0
    assert_same(slot.wait(), expected[:1])
    slot.close()
    opening.close()


def test_a_shape_is_captured_after_its_second_launch_and_replayed_later(library: Path, photo: Photo) -> None:
    cuda = HostCuda()
    with Detector(opened(library, cuda)) as detect:
        counts = []
        for _ in range(5):
            detect(photo)
            counts.append((cuda.calls.count("end_capture"), cuda.calls.count("launch")))
    assert counts == [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)]


def test_no_more_graphs_are_kept_than_allowed(
    library: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trt_mogface.backends.gpu.graph_slot.MAX_GRAPHS", 2)
    cuda = HostCuda()
    with Detector(opened(library, cuda)) as detect:
        for count in (1, 2, 3, 4) * 3:  # room grows in the first round
            detect([photo] * count)
            most = cuda.calls.count("end_capture")
        graphs = len(detect._slot._graphs)  # type: ignore[attr-defined]
    assert graphs == 2
    assert most > 4  # one that had gone came back
    assert not cuda.live


def test_larger_frames_get_larger_room_and_graphs_of_the_old_one_go(
    library: Path, photo: Photo, photos: list[Photo], expected: list[Detections]
) -> None:
    cuda = HostCuda()
    with Detector(opened(library, cuda)) as detect:
        for _ in range(3):
            detect(photo[:64, :64].copy())
        large = np.repeat(np.repeat(photo, 2, axis=0), 2, axis=1)
        detect(large)
        assert not detect._slot._graphs  # type: ignore[attr-defined]
        assert_same(detect(photos), expected)
    assert not cuda.live


@pytest.mark.parametrize("side", ["pin", "allocate"])
def test_a_slot_is_usable_after_there_was_no_room_for_a_large_frame(
    library: Path, photo: Photo, side: str
) -> None:
    cuda, small = HostCuda(), photo[:64, :64].copy()
    with Detector(opened(library, cuda)) as detect:
        first = detect(small)
        cuda.failing[side] = OutOfMemoryError("memory", 2, 1)
        with pytest.raises(OutOfMemoryError):
            detect(np.repeat(np.repeat(photo, 2, axis=0), 2, axis=1))
        del cuda.failing[side]
        assert_same([detect(small)], [first])
        assert not detect._slot._input._host.closed  # type: ignore[attr-defined]
    assert not cuda.live


def test_after_warming_up_nothing_is_allocated(library: Path, photos: list[Photo]) -> None:
    cuda = HostCuda()
    with Detector(opened(library, cuda)) as detect:
        for _ in range(2):
            detect(photos)
        del cuda.calls[:]
        detect(photos)
    assert not {"allocate", "pin", "stream", "event"} & set(cuda.calls)


@pytest.mark.parametrize("at", ["begin_capture", "end_capture"])
def test_where_capturing_fails_steps_are_launched_and_it_is_said_once(
    library: Path,
    photos: list[Photo],
    expected: list[Detections],
    caplog: pytest.LogCaptureFixture,
    at: str,
) -> None:
    cuda = HostCuda()
    cuda.failing[at] = CudaError("not today")
    with caplog.at_level(logging.WARNING), Detector(opened(library, cuda)) as detect:
        for _ in range(3):
            assert_same(detect(photos), expected)
    (record,) = caplog.records
    assert "not today" in record.getMessage()
    assert "launch" not in cuda.calls
    assert not cuda.live


def test_a_cuda_error_breaks_the_runner_for_good(library: Path, photo: Photo) -> None:
    cuda = HostCuda()
    lost = CudaError("a copy: cudaErrorIllegalAddress")
    with Runner(opened(library, cuda)) as runner:
        runner.submit(photo).result(30)
        cuda.failing["copy_in"] = cuda.failing["launch"] = lost
        assert runner.submit(photo).exception(30) is not None
        with pytest.raises(RunnerError, match="cudaErrorIllegalAddress") as error:
            runner.submit(photo)
        assert error.value.__cause__ is lost
    assert not cuda.live


def test_what_was_half_made_is_taken_back(library: Path) -> None:
    """Whichever of the allocations fails."""
    step, failed = 0, True
    while failed:
        cuda = HostCuda()
        cuda.failing_at = step
        opening = opened(library, cuda)
        try:
            with Runner(opening, batch=2, slots=2):
                failed = False
        except CudaError:
            step += 1
        assert not cuda.live
    assert step > 12


def test_memory_suffices_for_each_profile_not_for_the_maxima_of_all(library: Path, photo: Photo) -> None:
    """One large image, or many small ones: never many large ones."""
    large, small = (1, 480, 640), (8, 96, 128)
    images = {1: photo[:480, :640], 8: photo[:96, :128]}
    with Detector(threads=1) as detect:
        expected = {batch: detect(image) for batch, image in images.items()}
    used = {}
    for shapes in ([large], [small], [large, small]):
        cuda = HostCuda()
        made = backend(library, embedded_file(DEFAULT), cuda, shapes[0], other_profiles=shapes[1:])
        assert made.max_batch == max(shape[0] for shape in shapes)
        slot = made.slot(made.max_batch)
        used[tuple(shapes)] = cuda.device.memory - cuda.free_memory()
        for batch, height, width in shapes:
            slot.submit([Frame.of(images[batch])] * batch)
            found = slot.wait()
            assert [each.image_size for each in found] == [(height, width)] * batch
            for each in found:
                np.testing.assert_allclose(each.xyxy, expected[batch].xyxy, atol=1e-2)
        slot.close()
        made.close()
    alone = used[large,], used[small,]
    assert max(alone) <= used[large, small] < sum(alone)


def test_a_size_limits_the_batch_to_the_profiles_that_accept_it(library: Path) -> None:
    def made(size: tuple[int, int]) -> GpuBackend:
        model, others = embedded_file(DEFAULT), [(8, 96, 128)]
        return backend(library, model, HostCuda(), (1, 480, 640), other_profiles=others, size=size)

    assert made((640, 480)).max_batch == 1
    assert made((128, 96)).max_batch == 8
    with pytest.raises(EngineError, match="batch 2: the engine accepts at most 1"):
        made((640, 480)).slot(2)
    problem = "size 704x480: the engine accepts at most 640x480, 128x96"
    with pytest.raises(EngineError, match=problem) as caught:
        made((704, 480))
    one_line(caught.value)


def test_out_of_memory_names_what_was_asked_and_the_batch_that_fits(library: Path) -> None:
    cuda = HostCuda()
    with Runner(opened(library, cuda), batch=4, slots=1):
        used = cuda.device.memory - cuda.free_memory()
    assert not cuda.live
    small = HostCuda(memory=used // 2)
    with pytest.raises(OutOfMemoryError, match=r"requested .* MB, .* MB free; a batch of [123] would fit"):
        Runner(opened(library, small), batch=4, slots=1)
    assert not small.live
    with pytest.raises(OutOfMemoryError, match="smaller size"):
        Runner(opened(library, HostCuda(memory=1000)), batch=1, slots=1)


def test_a_batch_that_the_engine_does_not_take_is_refused(library: Path) -> None:
    cuda = HostCuda()
    with pytest.raises(EngineError, match="accepts at most 4"):
        Runner(opened(library, cuda), batch=5)
    assert not cuda.live


class DeviceFrame:
    """An array of another library in device memory."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array.copy()
        self.shape = array.shape

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        data = (self._array.ctypes.data, False)
        return {"shape": self.shape, "typestr": self._array.dtype.str, "data": data, "version": 3}


def test_frames_in_device_memory_are_not_copied(
    library: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    cuda = HostCuda()
    with Runner(opened(library, cuda), batch=2) as runner:
        frames: list[Any] = [DeviceFrame(each) for each in photos]
        assert_same(list(runner.map(frames)), expected)
        with pytest.raises(ImageError, match="not uint8"):
            runner.submit(DeviceFrame(photos[0].astype(np.float32))).result(30)


def test_a_frame_is_read_after_the_stream_that_fills_it(
    library: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    cuda = HostCuda()
    with Runner(opened(library, cuda)) as runner, contextlib.closing(cuda.stream()) as stream:
        frame = DeviceFrame(np.zeros_like(photos[0]))
        cuda.do(stream, lambda: np.copyto(frame._array, photos[0]))
        assert_same([runner.submit(frame, stream=stream).result(30)], expected[:1])
        with pytest.raises(MogFaceError, match="stream"):
            runner.submit(frame, stream="a river")


def test_times_of_every_stage_are_measured_where_asked_for(library: Path, photo: Photo) -> None:
    with Runner(opened(library, HostCuda()), measure=True) as runner:
        list(runner.map([photo] * 5))
        stages = runner.stats().stages
    wanted = {"queue", "run", "total", "copy in", "letterbox", "network", "select", "copy out"}
    assert set(stages) == wanted
    assert all(stage.count == 5 and stage.sum > 0 for stage in stages.values())
    assert stages["network"].median < stages["run"].median


def test_faces_are_copies_that_the_next_call_leaves_alone(
    library: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    with Detector(opened(library, HostCuda())) as detect:
        found = [detect(photo) for photo in photos]
    assert_same(found, expected)


def test_faces_are_views_where_that_is_asked_for(
    library: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    with Detector(opened(library, HostCuda()), views=True) as detect:
        first = detect(photos[0])
        assert_same([first], expected[:1])
        other = detect(photos[0][:64, :64].copy())
        assert len(other) == 0
        assert not np.array_equal(first.xyxy, expected[0].xyxy)


def test_a_forked_process_is_refused(library: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as opening:
        on_gpu = opening.enter_context(contextlib.closing(opened(library, HostCuda())))
        slot = opening.enter_context(contextlib.closing(on_gpu.slot(1)))
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(CudaError, match="forked"):
            slot.submit([Frame.of(photo)])
        monkeypatch.undo()
        slot.submit([Frame.of(photo)])
        slot.wait()


def test_a_clone_shares_the_engine_and_outlives_its_original(
    library: Path, photos: list[Photo], expected: list[Detections]
) -> None:
    cuda = HostCuda()
    detect = Detector(opened(library, cuda))
    twin = detect.clone()
    detect.close()
    assert_same(twin(photos), expected)
    twin.close()
    twin.close()
    assert not cuda.live


def video_frame(photo: Photo, kind: PixelFormat) -> Frame:
    """Convert an image to a frame of a video."""
    height, width = (side // 2 * 2 for side in photo.shape[:2])
    yuv = cv2.cvtColor(np.ascontiguousarray(photo[:height, :width]), cv2.COLOR_BGR2YUV_I420)
    y, chroma = yuv[:height].astype(int), yuv[height:].reshape(2, height // 2, width // 2).astype(int)
    unit = 4 if kind == "p010" else 1
    return yuv_frame(kind, y * unit, *(chroma * unit))


def pinned(cuda: HostCuda, image: NDArray[Any]) -> tuple[PinnedMemory, NDArray[Any]]:
    """Copy an image to page-locked memory."""
    memory = cuda.pin(image.nbytes)
    array = memory.array.view(image.dtype).reshape(image.shape)
    array[...] = image
    return memory, array


@pytest.mark.parametrize("is_integrated", [False, True])
def test_page_locked_frames_are_not_copied_twice(
    library: Path, photos: list[Photo], expected: list[Detections], is_integrated: bool
) -> None:
    cuda = HostCuda(is_integrated=is_integrated)
    locked = [pinned(cuda, np.ascontiguousarray(photo)) for photo in photos[1:3]]
    with Detector(opened(library, cuda)) as detect:
        slot: Any = detect._slot
        for _ in range(3):  # launched step by step, captured, launched as a graph
            del cuda.calls[:]
            assert_same(detect([array for _, array in locked]), expected[1:3])
            assert cuda.calls.count("copy_array") == (0 if is_integrated else 2)
            packed = slot._input._host.array[-(-2 * FRAME_BYTES // 256) * 256 :]
            assert not any(np.array_equal(packed[: array.nbytes], array.ravel()) for _, array in locked)
        assert len(slot._graphs) == 1, "a graph does not depend on the address of a frame"
        del cuda.calls[:]
        other, array = pinned(cuda, np.ascontiguousarray(photos[1][::-1]))
        assert_same(detect([array[::-1], locked[1][1]]), expected[1:3])  # the first has gaps, and is packed
        assert cuda.calls.count("copy_array") == (0 if is_integrated else 1)
        assert_same(detect([photos[0], locked[0][1], photos[3]]), [expected[0], expected[1], expected[3]])
    for memory in (other, *(memory for memory, _ in locked)):
        memory.close()
    assert not cuda.live


def test_an_image_given_several_times_is_packed_once(
    library: Path, photo: Photo, expected: list[Detections]
) -> None:
    cuda = HostCuda()
    with Detector(opened(library, cuda)) as detect:
        assert_same(detect([photo] * 4), expected[:1] * 4)
        slot: Any = detect._slot
        assert slot._input._host.nbytes < 2 * photo.nbytes


def test_a_batch_that_the_network_refuses_moves_nothing(library: Path, photo: Photo) -> None:
    cuda = HostCuda()
    with Runner(backend(library, embedded_file(DEFAULT), cuda, MAX_SHAPE)) as runner:
        del cuda.calls[:]
        assert isinstance(runner.submit(photo).exception(30), EngineError)
        assert cuda.calls == []
        runner.submit(photo[:64, :64]).result(30)
    assert not cuda.live


@pytest.mark.parametrize("kind", ["nv12", "i420", "p010"])
@pytest.mark.parametrize("where", ["host", "page-locked", "device"])
def test_video_frames_of_all_formats_and_places_are_found_as_on_the_cpu(
    library: Path, photos: list[Photo], kind: PixelFormat, where: str
) -> None:
    cuda = HostCuda()
    frames = [video_frame(photo, kind) for photo in photos]
    with Detector(size=SIZE, threads=1) as detect:
        expected = detect(frames)
    assert sum(map(len, expected)) > 8
    held = [[pinned(cuda, plane) for plane in frame.planes] for frame in frames]
    moved = {
        "host": frames,
        "page-locked": [
            dataclasses.replace(frame, planes=tuple(array for _, array in planes))
            for frame, planes in zip(frames, held)
        ],
        "device": [
            dataclasses.replace(frame, planes=tuple(map(DeviceFrame, frame.planes))) for frame in frames
        ],
    }
    with Runner(opened(library, cuda), batch=2) as runner:
        assert_same(list(runner.map(moved[where])), expected)
