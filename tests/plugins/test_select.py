"""Suppression against the specification and a loop over all pairs, and the way back into frames."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support import device
from tests.support.device import Bytes, Floats, HostCandidates, HostFaces, reseed, same_bits
from tests.support.problems import select
from tests.support.strategies import examples
from trt_mogface.frame import Frame
from trt_mogface.kernels import Kernels
from trt_mogface.reference.nms import nms
from trt_mogface.reference.resize import Placement
from trt_mogface.spec import Thresholds

LIMITS = Thresholds(0.5, 0.4, top_k=100, max_detections=100)

MOST_FOR_THE_LOOP = 1500


def given_boxes(*images: Floats, top_k: int, points: int = 0, gone: float = 0.0) -> HostCandidates:
    """Candidates with these boxes, best first, a portion of which was dropped by `decode`."""
    made = device.candidates(len(images), top_k, points)
    rng = np.random.default_rng(top_k)
    for image, boxes in enumerate(images):
        count = len(boxes)
        made.counts[image] = count
        made.boxes[image, :count] = boxes
        made.scores[image, :count] = np.linspace(1, 0.5, count)
        made.anchors[image, :count] = np.where(rng.random(count) < gone, -1, rng.integers(0, 10**6, count))
        if made.landmarks is not None:
            made.landmarks[image, :count] = rng.normal(0, 99, (count, points, 2))
    return made


def plainly(boxes: Floats, limits: Thresholds) -> list[int]:
    """Greedy suppression, box by box, every step in float32."""
    one, threshold = np.float32(limits.inclusive_areas), np.float32(limits.iou_threshold)
    none = np.float32(0)
    areas = [(x1 - x0 + one) * (y1 - y0 + one) for x0, y0, x1, y1 in boxes]
    kept: list[int] = []
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        for winner in kept:
            left, top, right, bottom = boxes[winner]
            width = max(min(x1, right) - max(x0, left) + one, none)
            height = max(min(y1, bottom) - max(y0, top) + one, none)
            both = width * height
            if not both / (areas[winner] + areas[index] - both) <= threshold:
                break
        else:
            kept.append(index)
    return kept[: limits.max_detections]


def kept_of(given: HostCandidates, image: int, limits: Thresholds) -> NDArray[np.int64]:
    """Which candidates stay, by numpy and, unless there are too many, by the loop above."""
    present = np.flatnonzero(given.anchors[image, : given.counts[image]] >= 0)
    boxes = given.boxes[image, present]
    keep = nms(boxes, limits.iou_threshold, inclusive=limits.inclusive_areas, max_keep=limits.max_detections)
    with np.errstate(all="ignore"):
        assert len(boxes) > MOST_FOR_THE_LOOP or plainly(boxes, limits) == keep.tolist()
    return present[keep]


def check(kernels: Kernels, given: HostCandidates, limits: Thresholds) -> HostFaces:
    """Faces are the candidates that stay, to the last bit, and zeros."""
    found = select(kernels, given, limits)
    for image in range(len(given.counts)):
        kept = kept_of(given, image, limits)
        count = len(kept)
        assert found.counts[image] == count
        for faces, candidates in (
            (found.boxes, given.boxes),
            (found.scores, given.scores),
            (found.landmarks, given.landmarks),
        ):
            if faces is not None and candidates is not None:
                assert same_bits(faces[image, :count], candidates[image, kept])
                assert (faces[image, count:] == 0).all()
    assert device.is_unwritten(found.dropped)
    return found


def crowd(rng: np.random.Generator, count: int, *, spread: float = 60) -> Floats:
    corner = rng.uniform(0, spread, (count, 2))
    return np.hstack([corner, corner + rng.uniform(1, 30, (count, 2))]).astype(np.float32)


@st.composite
def box_lists(draw: st.DrawFn) -> Floats:
    """Clusters; boxes on a grid that are equal, touch, are empty or inside out; boxes beyond measure."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 100, 128, 129]))
    kind = draw(st.sampled_from(["crowd", "clusters", "grid", "inside out", "huge"]))
    boxes: NDArray[np.float64]
    if kind == "crowd":
        return crowd(rng, count, spread=draw(st.sampled_from([5, 60, 1000])))
    if kind == "clusters":
        center = rng.uniform(0, 500, (5, 4)) + np.array([0, 0, 600, 600])
        boxes = center[rng.integers(0, 5, count)] + rng.normal(0, 40, (count, 4))
    elif kind == "huge":
        boxes = rng.choice([-3e38, -2e19, -1.0, 0.0, 1.0, 2e19, 3e38], (count, 4))
    else:
        corner = rng.integers(-3, draw(st.sampled_from([2, 10, 40])), (count, 2))
        side = rng.integers(-2 if kind == "inside out" else 0, 5, (count, 2))
        boxes = np.hstack([corner, corner + side]) * draw(st.sampled_from([1.0, 4.0, 0.3]))
    return boxes.astype(np.float32)


@st.composite
def limits_of(draw: st.DrawFn) -> Thresholds:
    return Thresholds(
        score_threshold=0.5,
        iou_threshold=draw(st.sampled_from([0.0, 0.3, 0.4, 0.5, 1.0])),
        top_k=draw(st.sampled_from([129, 130, 192, 200])),
        max_detections=draw(st.sampled_from([1, 2, 40, 64, 65, 100, 1000])),
        inclusive_areas=draw(st.booleans()),
    )


@examples(150)
@given(
    images=st.lists(box_lists(), min_size=1, max_size=3),
    limits=limits_of(),
    gone=st.sampled_from([0.0, 0.2, 0.9]),
    points=st.sampled_from([0, 5, 7]),
    seed=st.integers(0, 2**31),
)
def test_faces_are_those_of_the_specification(
    kernels: Kernels,
    images: list[Floats],
    limits: Thresholds,
    gone: float,
    points: int,
    seed: int,
) -> None:
    reseed(kernels.path, seed)
    check(kernels, given_boxes(*images, top_k=limits.top_k, points=points, gone=gone), limits)


@pytest.mark.parametrize("top_k", [1, 2, 63, 64, 65, 127, 128, 129])
def test_any_number_of_candidates_meets_any_limit(kernels: Kernels, top_k: int) -> None:
    rng = np.random.default_rng(top_k)
    counts = sorted({0, 1, top_k // 2, top_k - 1, top_k})
    made = given_boxes(*(crowd(rng, count) for count in counts), top_k=top_k)
    check(kernels, made, dataclasses.replace(LIMITS, top_k=top_k))


@pytest.mark.parametrize("count", [449, 511, 512, 513, 640])
def test_bits_in_shared_memory_and_beyond_it_select_the_same(kernels: Kernels, count: int) -> None:
    """Up to 512 candidates are a few."""
    images = [crowd(np.random.default_rng(seed), count, spread=300) for seed in range(2)]
    few = crowd(np.random.default_rng(9), 70)
    limits = dataclasses.replace(LIMITS, top_k=700, max_detections=600)
    found = check(kernels, given_boxes(*images, few, top_k=700, points=5, gone=0.1), limits)
    assert 100 < found.counts[0] < count


@pytest.mark.parametrize("count", [1100, pytest.param(2500, marks=pytest.mark.slow)])
def test_more_candidates_than_threads(kernels: Kernels, count: int) -> None:
    boxes = crowd(np.random.default_rng(0), count, spread=1500)
    limits = dataclasses.replace(LIMITS, top_k=count + 3, max_detections=count)
    found = check(kernels, given_boxes(boxes, top_k=count + 3, gone=0.1), limits)
    assert count / 2 < found.counts[0] < count


def test_a_large_batch_leaves_every_block_several_tiles(kernels: Kernels) -> None:
    rng = np.random.default_rng(0)
    full, few, none = crowd(rng, 384, spread=300), crowd(rng, 3), crowd(rng, 0)
    limits = dataclasses.replace(LIMITS, top_k=384, max_detections=300)
    found = check(kernels, given_boxes(full, *[none] * 62, few, full[::-1], top_k=384), limits)
    assert found.counts[0] > 100


@pytest.mark.slow
def test_the_most_candidates_there_may_be(kernels: Kernels) -> None:
    most = 8192
    boxes = crowd(np.random.default_rng(0), most, spread=200)
    limits = dataclasses.replace(LIMITS, top_k=most, max_detections=most)
    check(kernels, given_boxes(boxes, top_k=most), limits)


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("count", [2, 64, 200])
def test_of_equal_boxes_the_first_stays(kernels: Kernels, count: int, inclusive: bool) -> None:
    boxes = np.tile(np.array([3, 4, 9, 12], np.float32), (count, 1))
    limits = dataclasses.replace(LIMITS, top_k=200, inclusive_areas=inclusive)
    assert check(kernels, given_boxes(boxes, top_k=200), limits).counts.tolist() == [1]


def apart(count: int) -> Floats:
    boxes: Floats = (np.arange(count)[:, None] * 10 + np.array([0, 0, 5, 5])).astype(np.float32)
    return boxes


@pytest.mark.parametrize("most", [1, 2, 63, 64, 65, 100, 150, 199, 200])
def test_it_stops_at_the_most_detections_with_the_best(kernels: Kernels, most: int) -> None:
    limits = dataclasses.replace(LIMITS, top_k=200, max_detections=most)
    found = check(kernels, given_boxes(apart(200), apart(190)[::-1], top_k=200), limits)
    assert found.counts.tolist() == [most, min(most, 190)]
    assert same_bits(found.boxes[0], apart(most))


@pytest.mark.parametrize("most", [10, 100])
def test_the_most_detections_count_those_that_stay(kernels: Kernels, most: int) -> None:
    boxes = np.repeat(apart(60), 3, axis=0)  # of each three the first stays
    limits = dataclasses.replace(LIMITS, top_k=180, max_detections=most)
    assert check(kernels, given_boxes(boxes, top_k=180), limits).counts.tolist() == [min(most, 60)]


@pytest.mark.parametrize("gap", [0, 30, 64, 130])
def test_a_box_that_goes_suppresses_nobody(kernels: Kernels, gap: int) -> None:
    chain = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [15, 0, 25, 10]], np.float32)
    between = apart(gap) + np.float32(1000)
    boxes = np.vstack([chain[:1], between, chain[1:2], between + 5000, chain[2:3], between + 9000, chain[3:]])
    limits = dataclasses.replace(LIMITS, iou_threshold=0.3, inclusive_areas=False, top_k=400)
    found = check(kernels, given_boxes(boxes, top_k=400), dataclasses.replace(limits, max_detections=400))
    assert found.counts.tolist() == [3 * gap + 2]
    assert same_bits(found.boxes[0, [0, 2 * gap + 1]], chain[[0, 2]])


def test_a_long_chain_is_decided_link_by_link(kernels: Kernels) -> None:
    boxes = (np.arange(200)[:, None] * [5, 0, 5, 0] + [0, 0, 10, 10]).astype(np.float32)
    limits = dataclasses.replace(
        LIMITS, iou_threshold=0.3, inclusive_areas=False, top_k=200, max_detections=200
    )
    found = check(kernels, given_boxes(boxes, boxes[::-1], top_k=200), limits)
    assert same_bits(found.boxes[0, :100], boxes[::2])
    assert same_bits(found.boxes[1, :100], boxes[::-1][::2])


@pytest.mark.parametrize(
    ("inclusive", "boxes"),
    [
        (False, [[0, 0, 1, 1], [0, 0, 1, 2]]),
        (True, [[0, 0, 0, 0], [0, 0, 0, 1]]),
        (False, [[0, 0, 1.5, 1], [0.5, 0, 2, 1]]),
        (True, [[-8, -8, 7, 7], [-8, -8, 7, 23]]),
    ],
)
def test_an_iou_of_exactly_the_threshold_stays(
    kernels: Kernels, boxes: list[list[float]], inclusive: bool
) -> None:
    pair = given_boxes(np.array(boxes, np.float32), top_k=2)
    half = np.float32(0.5)
    limits = dataclasses.replace(LIMITS, top_k=2, inclusive_areas=inclusive)
    for threshold, stay in (
        (half, 2),
        (np.nextafter(half, np.float32(0)), 1),
        (np.nextafter(half, np.float32(1)), 2),
    ):
        found = check(kernels, pair, dataclasses.replace(limits, iou_threshold=float(threshold)))
        assert found.counts.tolist() == [stay]


def test_boxes_without_area_suppress_each_other(kernels: Kernels) -> None:
    boxes = np.array([[5, 5, 5, 5], [9, 9, 9, 9], [5, 5, 5, 9], [0, 0, 9, 9]], np.float32)
    limits = dataclasses.replace(LIMITS, inclusive_areas=False)
    found = check(kernels, given_boxes(boxes, top_k=100), limits)
    assert same_bits(found.boxes[0, :2], boxes[[0, 3]])


def test_areas_beyond_float32_suppress_what_they_meet(kernels: Kernels) -> None:
    huge = [-2e38, -2e38, 1e38, 1e38]
    boxes = np.array([huge, huge, [0, 0, 9, 9], [-3e38, -3e38, 3e38, 3e38]], np.float32)
    found = check(kernels, given_boxes(boxes, top_k=100), LIMITS)
    assert found.counts.tolist() == [2]


def test_a_dropped_candidate_neither_stays_nor_suppresses(kernels: Kernels) -> None:
    boxes = np.repeat(apart(3), 3, axis=0)
    made = given_boxes(boxes, top_k=100)
    made.anchors[0, [0, 3, 4]] = -1
    made.boxes[0, [0, 3]] = np.nan
    found = check(kernels, made, LIMITS)
    assert found.counts.tolist() == [3]
    assert same_bits(found.scores[0, :3], made.scores[0, [1, 5, 6]])


def test_all_dropped_leaves_nobody(kernels: Kernels) -> None:
    made = given_boxes(apart(100), top_k=100, points=5, gone=1.0)
    assert check(kernels, made, LIMITS).counts.tolist() == [0]


def test_what_lies_beyond_the_candidates_does_not_matter(kernels: Kernels) -> None:
    made = given_boxes(apart(70)[:10], top_k=100)
    before = check(kernels, made, LIMITS)
    made.boxes[0, 10:], made.anchors[0, 10:] = 7.0, 3
    after = check(kernels, made, LIMITS)
    assert same_bits(before.boxes, after.boxes)


@pytest.mark.parametrize("count", [-(2**31), -1, 101, 2**31 - 1])
def test_a_number_of_candidates_that_was_overwritten_reads_nothing_beyond_them(
    kernels: Kernels, count: int
) -> None:
    """Below zero counts as zero, above all as all; also run under the address sanitizer."""
    made = given_boxes(apart(100), top_k=100)
    made.counts[0] = count
    found = select(kernels, made, LIMITS)
    assert found.counts.tolist() == [100 if count > 0 else 0]


@pytest.mark.parametrize("points", [1, 2, 5, 68])
def test_landmarks_follow_their_box(kernels: Kernels, points: int) -> None:
    boxes = crowd(np.random.default_rng(0), 90)
    found = check(kernels, given_boxes(boxes, boxes[:3], top_k=100, points=points), LIMITS)
    assert 3 < found.counts[0] < 90


def blank(height: int, width: int) -> Bytes:
    return np.zeros((height, width, 3), np.uint8)


SCALES = ((1.0, 1.0), (0.1, 0.1), (1 / 3, 1 / 3), (0.6666666666666666, 2.5), (2.5, 0.1), (1000 / 1733, 1.0))


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("points", [0, 5, 7])
def test_frames_map_faces_back_each_by_its_own_scale(kernels: Kernels, points: int, clip: bool) -> None:
    rng = np.random.default_rng(points)
    boxes = [(crowd(rng, 60, spread=200) - np.float32(50)) for _ in SCALES]
    made = given_boxes(*boxes, top_k=60, points=points)
    limits = dataclasses.replace(LIMITS, top_k=60, max_detections=40)
    sizes = [(30 + 7 * i, 50 - 3 * i) for i in range(len(SCALES))]
    frames = [Frame((blank(*size),)) for size in sizes]
    placements = [Placement(scale, (40, 40), (64, 64)) for scale in SCALES]
    table = kernels.frame_table(frames, placements, (64, 64))
    found = select(kernels, made, limits, frames=table, clip=clip)
    plain = select(kernels, made, limits)
    for image, ((height, width), scale) in enumerate(zip(sizes, SCALES)):
        count = found.counts[image]
        wanted = plain.boxes[image] / np.tile(np.array(scale, np.float32), 2)
        if clip:
            assert (wanted[:count] < 0).any()
            assert (wanted[:count] > [width, height] * 2).any()
            wanted = np.clip(wanted, np.float32(0), np.array([width, height] * 2, np.float32))
        assert count == plain.counts[image]
        assert same_bits(found.boxes[image] + np.float32(0), wanted + np.float32(0))  # 0 has two signs
        assert same_bits(found.scores[image], plain.scores[image])
        if found.landmarks is not None and plain.landmarks is not None:
            assert same_bits(found.landmarks[image], plain.landmarks[image] / np.array(scale, np.float32))
        assert (found.boxes[image, count:] == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_threads_does_not_matter(kernels: Kernels, seed: int) -> None:
    made = given_boxes(crowd(np.random.default_rng(0), 150), top_k=150, points=5, gone=0.1)
    limits = dataclasses.replace(LIMITS, top_k=150)
    assert limits.most_faces == 100
    first = check(kernels, made, limits)
    reseed(kernels.path, seed + 1)
    again = check(kernels, made, limits)
    assert all(np.array_equal(one, other) for one, other in zip(device.arrays(first), device.arrays(again)))
