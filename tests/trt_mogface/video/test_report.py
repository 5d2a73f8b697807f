"""The report's sums against plain counts, and its size and memory against the number of records."""

from __future__ import annotations

import dataclasses
import math
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.report_items import BEGUN, RATE, faces, items
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.report import BINS, CONFIDENCES, MAX_TRACKS, PER_OCTAVE, Bin, Series, summarize
from trt_mogface.video.report_page import report_page


def mixed(frames: int) -> Iterator[Item]:
    """Yield the items of two cameras and a file, in turn as an analysis has them."""
    sources = [
        items("door", frames, is_live=True),
        items("clips/a.mp4", frames, is_live=False, seed=1),
        items("hall", frames, is_live=True, seed=2),
    ]
    while sources:
        for source in list(sources):
            item = next(source, None)
            if item is None:
                sources.remove(source)
            else:
                yield item


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e9, 1e10), st.integers(0, 50)), min_size=1, max_size=700))
def test_a_series_keeps_sums_and_places(rows: list[tuple[float, int]]) -> None:
    series = Series()
    for time, count in rows:
        series.at(time).add(Bin(1, count, count, dropped=2))
    bins = list(series.bins())
    assert len(bins) <= BINS
    assert sum(each.frames for _, each in bins) == len(rows)
    assert sum(each.dropped for _, each in bins) == 2 * len(rows)
    places = Counter(math.floor(time / series.width) for time, _ in rows)
    assert {math.floor(middle / series.width): each.frames for middle, each in bins} == places
    assert max(each.most for _, each in bins) == max(count for _, count in rows)


def test_sums_are_those_of_the_records() -> None:
    records = list(mixed(600))
    found = summarize(records)
    assert list(found) == ["door", "clips/a.mp4", "hall"]
    for name, report in found.items():
        frames = [each for each in records if isinstance(each, FrameFaces) and each.source == name]
        boxes = np.concatenate([each.faces.xyxy for each in frames])
        scores = np.concatenate([each.faces.confidence for each in frames])
        assert (report.total.frames, report.total.faces) == (len(frames), len(boxes))
        assert report.total.most == max(len(each.faces) for each in frames)
        for number, count in report.sizes.items():
            low, high = 2 ** (number / PER_OCTAVE), 2 ** ((number + 1) / PER_OCTAVE)
            sides = (boxes[:, 2:] - boxes[:, :2]).max(1)
            assert count == ((sides >= low * (1 - 1e-6)) & (sides < high * (1 + 1e-6))).sum()
        for number, count in report.confidences.items():
            assert count == (np.floor(scores * CONFIDENCES) == number).sum()
        ids = np.concatenate([each.faces.tracker_id for each in frames if each.faces.tracker_id is not None])
        assert {number: track.faces for number, track in report.tracks.items()} == Counter(ids.tolist())
        events = [each for each in records if isinstance(each, SourceEvent) and each.source == name]
        assert report.events == Counter(each.event for each in events)
        assert report.total.dropped == sum(each.count for each in events if each.event == "dropped")
        assert report.total.lag == max((each.lag for each in frames if each.lag is not None), default=None)
        assert report.state == "ended"


def test_a_camera_has_the_time_of_day_and_a_file_its_own() -> None:
    found = summarize(mixed(400))
    door, clip = found["door"], found["clips/a.mp4"]
    assert door.is_live
    assert not clip.is_live
    (first, _), *_, (last, _) = door.series.bins()
    assert BEGUN <= first < last <= BEGUN + 400 / RATE
    (first, _), *_, (last, _) = clip.series.bins()
    assert 0 <= first < last <= 400 / RATE


def stills(count: int) -> Iterator[FrameFaces]:
    """Yield frames of a file, one a second."""
    for number in range(count):
        found = faces(np.random.default_rng(number), 1, 1)
        yield FrameFaces("a", number, float(number), BEGUN + number, "sender", found)


def test_lag_or_a_loss_makes_a_source_live() -> None:
    frames = list(stills(9))
    assert not summarize(frames)["a"].is_live
    assert summarize([*frames, dataclasses.replace(frames[-1], lag=0.0)])["a"].is_live
    assert summarize([*frames, SourceEvent("a", "lost", BEGUN)])["a"].is_live


def test_times_that_jump_back_and_are_missing_are_counted_once() -> None:
    frames = [dataclasses.replace(each, time=None) for each in stills(50)]
    jumping = [dataclasses.replace(each, time=float(-n)) if n % 3 else each for n, each in enumerate(frames)]
    report = summarize(jumping)["a"]
    assert sum(each.frames for _, each in report.series.bins()) == 50
    assert "50" in report_page({"a": report})


def test_of_too_many_tracks_the_longest_stay() -> None:
    generator = np.random.default_rng(0)
    report = summarize(
        FrameFaces("a", number, number / RATE, BEGUN, "arrival", faces(generator, 100, 1 + number * 99))
        for number in range(400)
    )["a"]
    assert len(report.tracks) <= MAX_TRACKS
    assert len(report.tracks) + report.forgotten == 400 * 99 + 1
    assert {track.faces for track in report.tracks.values()} == {1, 2}


def test_no_frames_make_a_page() -> None:
    assert "There are no records" in report_page({})
    failed = summarize([SourceEvent("cam", "failed", BEGUN, message="refused; check the address")])
    assert "refused; check the address" in report_page(failed)


def test_size_and_memory_do_not_grow_with_the_records() -> None:
    def measured(frames: int) -> tuple[int, int]:
        tracemalloc.start()
        found = summarize(mixed(frames))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return len(report_page(found)), peak

    (small, _), (large, peak) = measured(100), measured(1000)
    assert large < 2 * small
    assert peak < 1 << 20  # the 3,000 items with 6,000 faces take more


def test_a_thousand_sources_make_one_page() -> None:
    found = summarize(
        FrameFaces(f"camera-{number}", 0, 0.0, BEGUN, "arrival", faces(np.random.default_rng(number), 2, 1))
        for number in range(1000)
    )
    text = report_page(found)
    assert len(re.findall(r">camera-\d+</th>", text)) >= 1000
    assert text.count("<figure") < 40
    assert len(text) < 1 << 20
