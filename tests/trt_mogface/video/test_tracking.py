"""Identities of faces: figures on real clips, laws of replay and of ids, and ugly detections."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import clips
from trt_mogface import ArgumentError, Detections
from trt_mogface.video.items import FrameFaces
from trt_mogface.video.tracking import KINDS, TrackerKind, low_confidence, open_tracker
from trt_mogface.video.tracks import Track

CONF = 0.9


def faces_of(boxes: Any, confidence: Any = 0.95) -> Detections:
    xyxy = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Detections(xyxy, np.broadcast_to(np.float32(confidence), len(xyxy)), None, (1080, 1920))


def crowd(frames: int, seed: int = 0) -> list[Detections]:
    """Return people who walk at random, close to each other, with weak, missing and false detections."""
    random = np.random.default_rng(seed)
    centers, speed = random.uniform(100, 500, (12, 2)), random.normal(0, 4, (12, 2))
    made = []
    for _ in range(frames):
        centers = centers + speed + random.normal(0, 2, centers.shape)
        seen = random.random(len(centers)) < 0.85
        spots = np.concatenate([centers[seen], random.uniform(0, 600, (random.integers(0, 3), 2))])
        confidence = np.clip(random.uniform(0.1, 1.3, len(spots)), 0, 1)
        made.append(faces_of(np.hstack([spots - 40, spots + 40]), confidence))
    return made


def scenes(count: int) -> list[Detections]:
    """Return crowds of other people, with two seconds without faces between them."""
    return [faces for seed in range(count) for faces in [*crowd(10, seed), *[faces_of([])] * 10]]


@pytest.mark.parametrize(
    ("name", "size", "rate", "people", "frames"),
    [(clips.TALK, (960, 540), 25, 3, 98), (clips.PORTRAIT, (480, 270), 29.97, 1, 240)],
)
def test_faces_keep_their_ids(
    test_data: Path, name: str, size: tuple[int, int], rate: float, people: int, frames: int
) -> None:
    tracker, seen = open_tracker("bytetrack", rate, CONF), Counter[int]()
    for faces in clips.detect(clips.clip(test_data, name), size, low_confidence("bytetrack", CONF)):
        found = tracker.update(faces).tracker_id
        assert found is not None
        assert len({*found[found > 0]}) == (found > 0).sum()
        seen.update(found.tolist())
    del seen[-1]
    assert min(count for _, count in seen.most_common(people)) >= frames


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_reported_gives_the_same_ids_again(kind: TrackerKind) -> None:
    live, replayed = open_tracker(kind, 25, CONF), open_tracker(kind, 25, CONF)
    dropped = 0
    for faces in crowd(150):
        reported = live.update(faces)
        dropped += len(faces) - len(reported)
        again = replayed.update(reported)
        np.testing.assert_array_equal(again.tracker_id, reported.tracker_id)
        np.testing.assert_array_equal(again.xyxy, reported.xyxy)
        assert live.active == replayed.active
    assert dropped > 150


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_not_used_again(kind: TrackerKind) -> None:
    tracker, ended = open_tracker(kind, 5, CONF), set[int]()
    for faces in scenes(20):
        found = tracker.update(faces).tracker_id
        assert found is not None
        assert not ended & {*found.tolist()}
        ended = {*range(1, max([0, *tracker.active, *ended]) + 1)} - tracker.active
    assert len(ended) > 25


@pytest.mark.parametrize("kind", KINDS)
def test_a_track_waits_for_a_second(kind: TrackerKind) -> None:
    face, nothing = faces_of([100, 100, 200, 200]), faces_of([])
    for gap, is_same in ((0, True), (8, True), (12, False)):
        tracker = open_tracker(kind, 10, CONF)
        before = [tracker.update(face) for _ in range(6)][-1].tracker_id
        for _ in range(gap):
            assert len(tracker.update(nothing)) == 0
        after = [tracker.update(face) for _ in range(6)][-1].tracker_id
        assert before is not None
        assert before.tolist() == [1]
        assert after is not None
        assert after.tolist() == [1 if is_same else 2]


def test_a_weak_face_continues_a_track_and_begins_none() -> None:
    tracker = open_tracker("bytetrack", 25, CONF)
    weak, elsewhere = faces_of([100, 100, 200, 200], [0.4]), faces_of([[500, 100, 600, 200]], [0.4])
    for _ in range(5):
        assert len(tracker.update(weak)) == 0
    for _ in range(3):
        tracker.update(faces_of([100, 100, 200, 200]))
    assert tracker.update(weak).tracker_id == np.array([1])
    assert len(tracker.update(elsewhere)) == 0
    assert len(tracker.update(faces_of([100, 100, 200, 200], [0.2]))) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_ugly_boxes_are_reported_without_an_id(kind: TrackerKind) -> None:
    good = [10, 10, 60, 60]
    ugly = [
        [5, 5, 5, 9],
        [9, 9, 3, 3],
        [np.nan, 0, 1, 1],
        [0, 0, np.inf, 9],
        [-1e30, -1e30, 1e30, 1e30],
        [0, 0, 1e-30, 1e-30],
        [7, 7, 7.0001, 4000],
    ]
    tracker = open_tracker(kind, 25)
    for number in range(40):
        found = tracker.update(faces_of([good, *ugly] if number % 3 else ugly))
        ids = np.asarray(found.tracker_id)
        assert len(found) == len(ugly) + bool(number % 3)
        assert (ids[-len(ugly) :][:4] == -1).all()
        assert (ids[ids != -1] > 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [1e-3, 1, 1000])
def test_any_rate(kind: TrackerKind, rate: float) -> None:
    tracker = open_tracker(kind, rate)
    ids = [tracker.update(faces_of([0, 0, 50, 50])).tracker_id for _ in range(6)]
    assert ids[-1] == np.array([1])


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match=r"^tracker 'sort': unknown tracker \(choose from bytetrack, "):
        open_tracker("sort", 25)  # type: ignore[arg-type]
    for rate in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match=r"^rate .*: must be positive and finite$"):
            open_tracker("bytetrack", rate)


def head(yaw: float, roll: float = 0, scale: float = 1) -> np.ndarray:
    """Return five landmarks of a head that is turned by angles in degrees, seen from far away."""
    points = np.array([[-30, -30, 0], [30, -30, 0], [0, 0, 25], [-25, 30, 0], [25, 30, 0]], float)
    a, b = np.radians([yaw, roll])
    x = points[:, 0] * np.cos(a) + points[:, 2] * np.sin(a)
    turned = np.stack([x * np.cos(b) - points[:, 1] * np.sin(b), x * np.sin(b) + points[:, 1] * np.cos(b)], 1)
    return turned * scale + 200


def test_the_best_face_is_frontal_confident_and_large() -> None:
    from trt_mogface.video.tracks import frontality, quality

    yaws = [0, 15, 30, 45, 60, 90]
    values = frontality(np.array([head(yaw) for yaw in yaws], np.float32), len(yaws))
    assert values[0] == pytest.approx(1)
    assert (np.diff(values) <= 0).all()
    assert values[-1] == 0
    mirrored = frontality(np.array([head(-30), head(30, roll=77, scale=3)], np.float32), 2)
    np.testing.assert_allclose(mirrored, values[2], rtol=1e-4)
    same = np.full((1, 5, 2), 7, np.float32)
    assert frontality(same, 1).tolist() == [0]
    small, large, huge = (quality(faces_of([0, 0, side, side]))[0] for side in (28, 112, 500))
    assert small * 4 == pytest.approx(large)
    assert large == huge == pytest.approx(0.95)


def test_summaries_of_tracks() -> None:
    tracker = open_tracker("bytetrack", 10, 0.5)
    sides, found = [20, 40, 60, 40, 20], []
    for number, side in enumerate(sides):
        item = FrameFaces(
            "door", number * 3, number / 2, 1e9 + number, "arrival", faces_of([50, 50, 50 + side, 50 + side])
        )
        found.append(tracker.track(item))
    assert found[0].tracks == (None,)
    (track,) = found[-1].tracks
    assert track is not None
    assert (track.id, track.faces) == (1, 4)
    assert (track.first.frame, track.best.frame, track.last.frame) == (3, 6, 12)
    assert (track.first.time, track.last.captured) == (0.5, 1e9 + 4)
    assert track.best.box == (50, 50, 110, 110)
    nothing = FrameFaces("door", 99, None, 1e9, "arrival", faces_of([]))
    assert tracker.track(nothing).tracks == ()


def test_every_track_ends_once_and_is_forgotten() -> None:
    tracker = open_tracker("bytetrack", 5, 0.5)
    ended: list[Track] = []
    latest: dict[int, Track] = {}
    for number, faces in enumerate(scenes(20)):
        item = tracker.track(FrameFaces("door", number, None, 0, "arrival", faces))
        assert {*tracker._tracks._tracks} <= tracker.active
        latest |= {track.id: track for track in item.tracks if track}
        ended += item.ended
    assert len(ended) > 100
    for number in range(99, 102):
        item = tracker.track(FrameFaces("door", number, None, 0, "arrival", faces_of([50, 50, 90, 90])))
        latest |= {track.id: track for track in item.tracks if track}
        ended += item.ended
    assert latest.keys() > {track.id for track in ended}
    ended += tracker.finish()
    assert len({track.id for track in ended}) == len(ended)
    assert {track.id: track for track in ended} == latest
    assert tracker.finish() == ()
