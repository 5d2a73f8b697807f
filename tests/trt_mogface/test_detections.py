"""The result in its several forms."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from tests.support.specs import one_line
from trt_mogface import Detections
from trt_mogface.errors import MissingExtraError, OutputError

BOXES = np.array([[-3, 2, 10, 12], [5, 5, 99, 99]], np.float32)
SCORES = np.array([0.75, 0.5], np.float32)
POINTS = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
FACES = Detections(BOXES, SCORES, POINTS, (20, 30))
BARE = Detections(BOXES, SCORES, None, (20, 30))
NONE = Detections(BOXES[:0], SCORES[:0], POINTS[:0], (20, 30))
PICTURE = np.full((20, 30, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("boxes", "scores", "points"),
    [
        (BOXES, SCORES[:1], None),
        (BOXES[:, :3], SCORES, None),
        (BOXES[0], SCORES[:1], None),
        (BOXES, SCORES[:, None], None),
        (BOXES, SCORES, POINTS[:1]),
        (BOXES, SCORES, POINTS.reshape(2, 10)),
        (BOXES, SCORES, POINTS[:, :, :1]),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(boxes: Any, scores: Any, points: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        Detections(boxes, scores, points, (20, 30))


def test_clip_cuts_boxes_and_nothing_else() -> None:
    clipped = FACES.clip()
    assert clipped.xyxy.tolist() == [[0, 2, 10, 12], [5, 5, 30, 20]]
    assert clipped.landmarks is not None
    assert np.array_equal(clipped.landmarks, POINTS)
    assert clipped.image_size == (20, 30)
    assert FACES.xyxy.tolist() == BOXES.tolist()


def test_modelscope_form() -> None:
    assert FACES.to_modelscope() == {
        "scores": [0.75, 0.5],
        "boxes": BOXES.tolist(),
        "keypoints": [list(range(10)), list(range(10, 20))],
    }
    assert BARE.to_modelscope()["keypoints"] is None
    assert NONE.to_modelscope() == {"scores": [], "boxes": [], "keypoints": []}


def test_json_holds_everything() -> None:
    assert json.loads(FACES.to_json()) == {
        "width": 30,
        "height": 20,
        "dropped": 0,
        "faces": [
            {"box": BOXES[0].tolist(), "confidence": 0.75, "landmarks": POINTS[0].tolist()},
            {"box": BOXES[1].tolist(), "confidence": 0.5, "landmarks": POINTS[1].tolist()},
        ],
    }
    assert "landmarks" not in json.loads(BARE.to_json())["faces"][0]
    assert json.loads(NONE.to_json())["faces"] == []


@pytest.mark.parametrize("faces", [FACES, BARE, NONE])
def test_supervision_takes_it(faces: Detections) -> None:
    pytest.importorskip("supervision")
    detections = faces.to_supervision()
    assert len(detections) == len(faces)
    assert np.array_equal(detections.xyxy, faces.xyxy)
    assert detections.confidence is not None
    assert np.array_equal(detections.confidence, faces.confidence)
    assert set(detections.data) == {"class_name"} | ({"landmarks"} if faces.landmarks is not None else set())


def test_without_supervision_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError) as error:
        FACES.to_supervision()
    assert "pip install 'trt-mogface[supervision]'" in one_line(error.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".PNG"])
def test_a_drawing_shows_the_faces_and_spares_the_rest(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    image = np.full((300, 400, 3), 128, np.uint8)
    faces = Detections(np.array([[100, 100, 200, 220]], np.float32), SCORES[:1], None, (300, 400))
    faces.save_picture(path, image)
    assert (image == 128).all()
    drawn = cv2.imread(str(path))
    assert drawn is not None
    changed = np.abs(drawn.astype(int) - 128).max(axis=2) > 40
    assert changed[120:200, 100].all()
    assert changed[120:200, 200].all()
    assert not changed[110:210, 110:190].any()
    assert not changed[230:].any()
    assert list(tmp_path.iterdir()) == [path]


def test_boxes_and_points_beyond_the_picture_can_be_drawn(tmp_path: Path) -> None:
    boxes = np.array([[-1e30, -5, 1e30, 5], [100, 100, 200, 200], [0, 0, 0, 0]], np.float32)
    points = np.full((3, 5, 2), 1e30, np.float32)
    Detections(boxes, np.ones(3, np.float32), points, (20, 30)).save_picture(tmp_path / "a.png", PICTURE)
    Detections(boxes, np.ones(3, np.float32), -points, (1, 1)).save_picture(
        tmp_path / "b.png", PICTURE[:1, :1]
    )
    assert cv2.imread(str(tmp_path / "b.png")) is not None


@pytest.mark.parametrize("name", ["a.xyz", "a", "no/such/folder/a.png", "folder.png"])
def test_a_place_that_cannot_be_written_is_one_line_and_left_clean(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError) as error:
        FACES.save_picture(tmp_path / name, PICTURE)
    assert name in one_line(error.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder.png"]


FURTHER: dict[str, Any] = {"tracker_id": [7, 9], "data": {"age": [30, 40], "of": [[1], [2]]}}
TRACKED = Detections(BOXES, SCORES, POINTS, (20, 30), dropped=3, **FURTHER)


@pytest.mark.parametrize(
    ("index", "kept"),
    [
        (slice(1), [0]),
        (slice(None, None, -1), [1, 0]),
        ([1], [1]),
        ([], []),
        ([False, True], [1]),
        (np.array([True, False]), [0]),
        (np.array([1, 1, 0]), [1, 1, 0]),
        (TRACKED.confidence > 0.6, [0]),
    ],
)
def test_a_part_of_the_faces_keeps_what_belongs_to_them(index: Any, kept: list[int]) -> None:
    part = TRACKED[index]
    assert len(part) == len(kept)
    assert part.xyxy.tolist() == BOXES[kept].tolist()
    assert part.confidence.tolist() == SCORES[kept].tolist()
    assert part.landmarks is not None
    assert part.landmarks.tolist() == POINTS[kept].tolist()
    assert part.tracker_id is not None
    assert part.tracker_id.tolist() == np.array([7, 9])[kept].tolist()
    assert part.data["age"].tolist() == np.array([30, 40])[kept].tolist()
    assert part.data["of"].shape == (len(kept), 1)
    assert (part.image_size, part.dropped) == (TRACKED.image_size, TRACKED.dropped)
    assert (BARE[index].landmarks, BARE[index].tracker_id) == (None, None)


@pytest.mark.parametrize("index", [0, -1, np.int64(1), np.array(True), np.zeros((2, 2), bool), (0, 1, [2])])
def test_a_single_number_is_no_part_of_the_faces(index: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        TRACKED[index]
    with pytest.raises(TypeError, match="slice"):
        list(cast(Any, TRACKED))


@pytest.mark.parametrize(
    "more", [{"tracker_id": [1]}, {"tracker_id": [[1, 2]]}, {"data": {"age": [1]}}, {"data": {"age": 1}}]
)
def test_further_arrays_have_a_value_for_each_face(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Detections(BOXES, SCORES, None, (20, 30), **more)


def test_tracks_and_further_arrays_are_passed_on() -> None:
    assert [face["tracker_id"] for face in TRACKED.to_dict()["faces"]] == [7, 9]
    assert "tracker_id" not in FACES.to_dict()["faces"][0]
    pytest.importorskip("supervision")
    found = TRACKED.to_supervision()
    assert found.tracker_id is not None
    assert found.tracker_id.tolist() == [7, 9]
    assert set(found.data) == {"class_name", "landmarks", "age", "of"}
