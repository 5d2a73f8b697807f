"""The pipeline in a closed loop, against Little's law and the network's batches."""

from __future__ import annotations

import time
from itertools import count, repeat

import pytest

from tests.support.fakes import FakeBackend, picture
from tests.support.photos import Photo
from tests.support.specs import one_line
from trt_mogface import Detector
from trt_mogface.bench.measurement import MeasureOptions
from trt_mogface.bench.pipeline import measure_pipeline
from trt_mogface.errors import ArgumentError, ImageError
from trt_mogface.runner import Runner

BRIEF = MeasureOptions(0.3, warm_up=0.05, iterations=4)
SERVICE = 0.01


def slow(backend: FakeBackend, seconds: float = SERVICE) -> FakeBackend:
    backend.at_wait = lambda _: time.sleep(seconds)
    return backend


@pytest.mark.parametrize("batch", [1, 4])
def test_in_flight_is_throughput_times_latency(batch: int) -> None:
    """Little's law; filling and emptying the pipeline takes a part of so short a time."""
    with Runner(slow(FakeBackend()), batch=batch, slots=2, max_delay_ms=1000, measure=True) as runner:
        result = measure_pipeline(runner, map(picture, repeat(1)), batch, 2, BRIEF)
    measured = result.measurement
    inside = measured.images_per_s * measured.latency.mean / 1e3
    assert 0.6 * 3 * batch < inside <= 3 * batch * 1.001
    assert measured.images_per_s <= 2 * batch / SERVICE * 1.001  # the slots work side by side
    assert result.faces == measured.count


def test_all_batches_are_full() -> None:
    backend = slow(FakeBackend())
    with Runner(backend, batch=4, slots=2, max_delay_ms=30_000) as runner:
        begun = time.monotonic()
        measure_pipeline(runner, map(picture, count()), 4, 2, BRIEF)
        assert time.monotonic() - begun < 10.0  # no batch waited for missing images
    assert {len(numbers) for numbers in backend.all_submitted()} == {4}


def test_the_warm_up_is_in_no_figure() -> None:
    """The first batch takes half a second, which would be seen in the longest and in the means."""
    backend, first = FakeBackend(), iter([0.5])
    backend.at_wait = lambda _: time.sleep(next(first, 0.001))
    with Runner(backend, slots=1, measure=True) as runner:
        result = measure_pipeline(runner, map(picture, repeat(1)), 1, 1, BRIEF)
    assert result.measurement.latency.max < 400.0
    assert result.stages["run"] < 100.0
    assert result.stages["total"] == pytest.approx(result.stages["run"] + result.stages["queue"], rel=1e-6)


def test_without_measuring_there_are_no_stages_and_no_zeros() -> None:
    with Runner(FakeBackend()) as runner:
        assert measure_pipeline(runner, map(picture, repeat(1)), 1, 2, BRIEF).stages == {}


def test_a_batch_longer_than_the_measurement_is_refused() -> None:
    with Runner(slow(FakeBackend(), 0.5)) as runner, pytest.raises(ArgumentError) as refusal:
        measure_pipeline(runner, map(picture, repeat(1)), 1, 2, BRIEF)
    assert refusal.value.argument == "duration"
    assert one_line(refusal.value)


def test_a_source_that_fails_ends_the_measurement_with_its_error() -> None:
    def source() -> object:
        yield picture(1)
        raise ImageError("b.jpg: the file is empty (0 bytes)")

    with Runner(FakeBackend()) as runner, pytest.raises(ImageError, match="empty"):
        measure_pipeline(runner, source(), 1, 2, BRIEF)  # type: ignore[arg-type]


def test_faces_are_those_that_a_detector_finds(group: Photo) -> None:
    with Detector(size=(320, 240), threads=1) as detect:
        each = len(detect(group))
    with Runner(size=(320, 240), threads=1, batch=2, max_delay_ms=1000) as runner:
        result = measure_pipeline(runner, repeat(group), 2, 2, MeasureOptions(0.1, 0.0, 2))
    assert each > 0
    assert result.faces == each * result.measurement.count
