"""Blurred faces: coverage when the detector misses faces, strength, all pixel formats, order and resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support import clips
from tests.support.frames import made_frame
from trt_mogface import ArgumentError, Detections, Detector, Frame
from trt_mogface.errors import ImageError
from trt_mogface.frame import FORMATS, PixelFormat
from trt_mogface.reference.color import to_bgr
from trt_mogface.video.blur import KINDS, Blur, BlurKind, blur_faces
from trt_mogface.video.items import EventKind, FrameFaces, Item, SourceEvent
from trt_mogface.video.tracking import open_tracker

SMALL = (270, 480)


def shown(number: int, faces: Detections, source: str = "door", picture: Frame | None = None) -> FrameFaces:
    return FrameFaces(source, number, number / 25, 1e9, "arrival", faces, picture=picture)


def event(kind: EventKind, source: str = "door") -> SourceEvent:
    return SourceEvent(source, kind, 1e9)


def box(*corners: float, ids: list[int] | None = None) -> Detections:
    boxes = np.asarray(corners, np.float32).reshape(-1, 4)
    return Detections(boxes, np.full(len(boxes), 0.95, np.float32), None, SMALL, tracker_id=ids)  # type: ignore[arg-type]


def white() -> Frame:
    return Frame((np.full((*SMALL, 3), 255, np.uint8),))


def black_shares(items: list[Item], truth: list[Detections]) -> list[float]:
    """Return the share of each true face that is black."""
    shares = []
    for item, faces in zip(items, truth):
        assert isinstance(item, FrameFaces)
        for x0, y0, x1, y1 in faces.clip().xyxy.round().astype(int).tolist():
            area = item.image()[y0:y1, x0:x1]
            shares.append(float((area == 0).mean()) if area.size else 1.0)
    return shares


@pytest.mark.parametrize("is_tracked", [True, False])
def test_faces_that_were_taken_away_are_covered(is_tracked: bool, talk: Any) -> None:
    random, tracker = np.random.default_rng(5), open_tracker("bytetrack", 25, 0.9)
    found = [faces[random.random(len(faces)) >= 0.2] for faces in talk]
    found = [tracker.update(faces) for faces in found] if is_tracked else found
    items = [shown(number, faces, picture=white()) for number, faces in enumerate(found)]
    covered = {}
    for carried in (0, 10):
        blurred = list(Blur(lambda _: "solid", carried).apply(items))
        shares = np.array(black_shares(blurred, talk))
        covered[carried] = (shares > 0.9).mean()
    assert 0.75 < covered[0] < 0.85
    assert covered[10] >= 0.98


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("size", [(270, 480), (61, 83)])
def test_a_mask_is_black_in_blurred_pictures(format_: PixelFormat, size: tuple[int, int]) -> None:
    frame = made_frame(format_, size, flat=2)
    mask = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    item = shown(0, box(), picture=frame)
    (left,) = Blur(lambda _: "gaussian", 0, masks_of=lambda _: [mask]).apply([item])
    assert isinstance(left, FrameFaces)
    before, after = to_bgr(frame), left.image()
    height, width = size
    inside = np.s_[height // 4 + 2 : 3 * height // 4 - 2, width // 4 + 2 : 3 * width // 4 - 2]
    assert after[inside].max() <= 2
    changed = np.flatnonzero((before != after).any(axis=(1, 2)))
    assert changed.min() >= height // 4 - 2
    assert changed.max() <= 3 * height // 4 + 2
    assert to_bgr(frame).tobytes() == before.tobytes()


@pytest.fixture(scope="module")
def talk(test_data: Path) -> list[Detections]:
    """Faces of each frame of a clip, in pixels of a frame of 480x270."""
    faces = clips.detect(clips.clip(test_data, clips.TALK), (640, 360), 0.9)
    return [dataclasses.replace(each, xyxy=each.xyxy / np.float32(4), image_size=SMALL) for each in faces]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 96), (65, 97), (3, 5), (1, 1)])
def test_every_format_and_odd_sizes(form: PixelFormat, kind: BlurKind, size: tuple[int, int]) -> None:
    height, width = size
    frame = dataclasses.replace(made_frame(form, size, "bt709"), index=7)
    before = [plane.copy() for plane in frame.planes]
    faces = np.array([[width * 0.5, height * 0.5, width * 2, height * 2], [-50, -9, -20, 70]])
    out = blur_faces(frame, faces, kind)
    assert (out.size, out.format, out.matrix, out.index) == (size, form, frame.matrix, 7)
    for plane, copy in zip(frame.planes, before):
        np.testing.assert_array_equal(plane, copy)
    was, now = to_bgr(frame).astype(int), to_bgr(out).astype(int)
    top, left = (max(0, int(side * 0.5 - side * 0.25) - 4) for side in size)  # the margin of 15% of 1.5 sides
    np.testing.assert_array_equal(now[:top], was[:top])
    np.testing.assert_array_equal(now[:, :left], was[:, :left])
    face = np.s_[height // 2 :, width // 2 :]
    if kind == "solid":
        assert now[face].max() <= 1
    elif height > 9:
        assert now[face].std(axis=(0, 1)).max() < 0.5 * was[face].std(axis=(0, 1)).min()


@pytest.mark.parametrize("kind", ["gaussian", "pixelate"])
@pytest.mark.parametrize("side", [40, 200, 500])
def test_strength_is_relative_to_the_face(kind: BlurKind, side: int) -> None:
    """Two images that differ in waves of eight cycles across the face become the same image."""
    angles = np.linspace(0, 2 * np.pi * 8 * 1.3, side, endpoint=False)
    waves = np.cos(angles)[:, None] * np.cos(angles)
    images = [np.repeat((128 + sign * 100 * waves)[..., None], 3, 2).astype(np.uint8) for sign in (1, -1)]
    face = np.array([[0.15, 0.15, 1.15, 1.15]]) * side / 1.3
    one, other = (blur_faces(Frame((image,)), face, kind).planes[0].astype(int) for image in images)
    assert np.abs(images[0].astype(int) - images[1]).max() > 150
    inner = np.s_[side // 6 : -side // 6, side // 6 : -side // 6]
    assert np.abs(one - other)[inner].max() <= (4 if kind == "gaussian" else 60)
    colors = len(np.unique(one.reshape(-1, 3), axis=0))
    assert colors <= 36 or kind == "gaussian"


@pytest.mark.parametrize("kind", ["gaussian", "pixelate"])
def test_the_detector_finds_blurred_faces_no_more(kind: BlurKind, group: Any) -> None:
    with Detector() as detector:
        faces = detector(group)
        assert len(faces) == 6
        blurred = blur_faces(Frame((group,)), faces.xyxy, kind)
        assert len(detector(blurred)) == 0


@pytest.mark.parametrize("boxes", [[], [[np.nan] * 4], [[-100, -100, -80, -80]], [[50, 50, 40, 40]]])
def test_boxes_without_pixels_change_nothing(boxes: Any) -> None:
    frame = made_frame("i420", (31, 33))
    out = blur_faces(frame, np.asarray(boxes, np.float32).reshape(-1, 4), "solid")
    np.testing.assert_array_equal(to_bgr(out), to_bgr(frame))


def numbers(items: Iterator[Item]) -> list[Any]:
    return [item.frame if isinstance(item, FrameFaces) else item.event for item in items]


def test_items_lag_and_keep_their_order() -> None:
    blur = Blur(lambda source: None if source == "street" else "solid", carried=3)
    assert numbers(blur.push(event("opened"))) == ["opened"]
    for number in range(3):
        assert numbers(blur.push(shown(number, box()))) == []
    assert numbers(blur.push(event("dropped"))) == []
    assert numbers(blur.push(shown(7, box(), "street"))) == [7]
    assert numbers(blur.push(shown(3, box()))) == [0]
    assert numbers(blur.push(shown(4, box()))) == [1]
    assert numbers(blur.push(event("lost"))) == [2, "dropped", 3, 4, "lost"]
    assert numbers(blur.push(shown(5, box()))) == []
    assert numbers(blur.push(event("ended"))) == [5, "ended"]
    assert numbers(blur.push(shown(0, box()))) == []
    assert numbers(blur.flush()) == [0]
    assert numbers(Blur(lambda _: "solid", 0).push(shown(0, box()))) == [0]


def test_slow_sources_do_not_wait_for_minutes() -> None:
    blur = Blur(lambda _: "solid")
    found = []
    for number in range(4):
        item = dataclasses.replace(shown(number, box()), time=60.0 * number)
        found.append(numbers(blur.push(item)))
    assert found == [[], [0], [1], [2]]


def carried_boxes(faces: list[Detections], frames: int) -> list[list[list[int]]]:
    """Return the black rectangles of each frame: x0, y0, x1, y1."""
    items = [shown(number, each, picture=white()) for number, each in enumerate(faces)]
    found = []
    for item in Blur(lambda _: "solid", frames).apply(items):
        assert isinstance(item, FrameFaces)
        dark = (item.image()[..., 0] == 0).astype(np.uint8)
        parts = cv2.connectedComponentsWithStats(dark)[2][1:, :4]
        found.append([[x, y, x + w, y + h] for x, y, w, h in parts.tolist()])
    return found


def test_a_face_is_interpolated_between_sightings_and_held_at_both_ends() -> None:
    first, last = box(100, 100, 140, 140, ids=[1]), box(180, 120, 220, 160, ids=[1])
    empty = box(ids=[])
    found = carried_boxes([empty] * 4 + [first] + [empty] * 3 + [last] + [empty] * 4, 3)
    start, middle, end = [94, 94, 146, 146], [134, 104, 186, 156], [174, 114, 226, 166]
    assert found[0] == []
    assert found[1:5] == [[start]] * 4
    assert found[6] == [middle]
    assert found[8:12] == [[end]] * 4
    assert found[12] == []


def test_faces_are_not_carried_over_a_change_of_size() -> None:
    blur, face = Blur(lambda _: "solid", 2), box(10, 10, 50, 50, ids=[1])
    items: list[Item] = [shown(0, face, picture=white()), event("resized")]
    items += [shown(number, box(ids=[]), picture=white()) for number in (1, 2)]
    shares = black_shares([item for item in blur.apply(items) if isinstance(item, FrameFaces)], [face] * 3)
    assert shares == [1, 0, 0]


@pytest.mark.parametrize("is_tracked", [True, False])
@pytest.mark.parametrize("cut", [0, 1, 7, 25, 39])
def test_a_resumed_run_blurs_the_same_pixels(cut: int, is_tracked: bool) -> None:
    random, items, tracker = np.random.default_rng(3), list[Item](), open_tracker("bytetrack", 25)
    for number in range(40):
        spots = np.array([[20 + 5 * number, 50], [300 - 4 * number, 120]])[random.random(2) < 0.7]
        faces = box(*np.hstack([spots, spots + 40]).ravel())
        items.append(shown(number, tracker.update(faces) if is_tracked else faces, picture=white()))
    items.insert(20, event("corrupt"))
    whole = list(Blur(lambda _: "gaussian").apply(items))
    resumed = Blur(lambda _: "gaussian")
    for item in whole[:cut]:
        resumed.replay(item)
    for item, again in zip(whole[cut:], resumed.apply(items[cut:]), strict=True):
        if isinstance(item, FrameFaces):
            assert isinstance(again, FrameFaces)
            assert item.frame == again.frame
            np.testing.assert_array_equal(item.image(), again.image())


def test_errors_are_one_line() -> None:
    with pytest.raises(ArgumentError, match=r"^blur 'black': unknown blur \(choose from gaussian, "):
        list(Blur(lambda _: "black").push(event("opened")))  # type: ignore[arg-type,return-value]

    class Device:
        __cuda_array_interface__ = {"shape": (4, 4, 3), "typestr": "|u1", "data": (0, True), "version": 3}  # noqa: RUF012

    with pytest.raises(ImageError, match=r"^blur: the frame lies on a GPU; decode it on the CPU"):
        blur_faces(Frame((Device(),)), np.array([[0, 0, 3, 3]]), "solid")
