"""The closed loop, in simulated time, and its figures against the standard library's."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from tests.support.clocks import SimulatedTime
from tests.support.specs import one_line
from trt_mogface.bench import measurement
from trt_mogface.bench.measurement import Latency, MeasureOptions, closed_loop, repeat
from trt_mogface.errors import ArgumentError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimulatedTime:
    simulated = SimulatedTime()
    monkeypatch.setattr(measurement, "time", simulated)
    return simulated


def test_percentiles_are_those_of_the_standard_library() -> None:
    times = list(np.random.default_rng(3).gamma(2.0, 5.0, 257))
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    latency = Latency.of(times)
    assert (latency.min, latency.max) == (min(times), max(times))
    expected = (statistics.fmean(times), statistics.median(times), cuts[89], cuts[94], cuts[98])
    found = (latency.mean, latency.median, latency.p90, latency.p95, latency.p99)
    assert found == pytest.approx(expected, rel=1e-12)


def test_one_time_is_all_of_its_figures() -> None:
    assert set(vars(Latency.of([4.0])).values()) == {4.0}


def test_quarter_second_runs_are_counted_for_three_seconds_after_the_warm_up(
    clock: SimulatedTime,
) -> None:
    runs: list[float] = []

    def run() -> None:
        clock.passes(1.0 if not runs else 0.25)  # the first one is slow, as first ones are
        runs.append(clock.now)

    measured = closed_loop(run, 8, MeasureOptions(3.0, warm_up=1.5, iterations=1))
    assert len(runs) == 3 + 12  # 1.0 + 2 x 0.25 s warm up
    assert measured.count == 12
    assert measured.seconds == pytest.approx(3.0)
    assert measured.images_per_s == pytest.approx(8 / 0.25)
    assert measured.latency.max == pytest.approx(250.0)


def test_slow_runs_are_made_as_often_as_requested(clock: SimulatedTime) -> None:
    measured = closed_loop(lambda: clock.passes(2.0), 1, MeasureOptions(3.0, iterations=10))
    assert measured.count == 10
    assert measured.seconds == pytest.approx(20.0)


def test_a_run_that_starts_in_time_is_counted_whole(clock: SimulatedTime) -> None:
    assert repeat(lambda: clock.passes(0.75), 1.0, 1) == pytest.approx([750.0, 750.0])


def test_a_duration_shorter_than_one_run_is_refused_with_the_time_of_a_run(
    clock: SimulatedTime,
) -> None:
    with pytest.raises(ArgumentError) as refusal:
        closed_loop(lambda: clock.passes(1.5), 1, MeasureOptions(1.0))
    assert "1.50 s" in one_line(refusal.value)


def test_a_slow_first_run_is_no_reason_to_refuse(clock: SimulatedTime) -> None:
    slow = iter([5.0])
    measured = closed_loop(lambda: clock.passes(next(slow, 0.1)), 1, MeasureOptions(1.0, warm_up=5.05))
    assert measured.latency.max == pytest.approx(100.0)


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_durations_are_refused(duration: float) -> None:
    with pytest.raises(ArgumentError, match="duration"):
        MeasureOptions(duration)


def test_what_the_measured_thing_raises_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        closed_loop(lambda: 1 // 0, 1, MeasureOptions(1.0))
