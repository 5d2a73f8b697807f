"""What a runner says it has done."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.fakes import (
    FakeBackend,
    Gate,
    error_of,
    numbers_of,
    picture,
    pictures,
    result,
)
from trt_mogface.errors import CudaError, ModelError, RunnerError
from trt_mogface.runner import Runner, Stage, Stats
from trt_mogface.runner.stats import KEPT, Counters

HOUR_MS = 3.6e6


def parsed(stats: Stats) -> dict[str, tuple[str, dict[tuple[str, str | None], float]]]:
    """The type of each family that Prometheus reads, and its samples by name and stage."""
    parser = pytest.importorskip("prometheus_client.parser", reason="pip install prometheus-client")
    return {
        family.name: (
            family.type,
            {(sample.name, sample.labels.get("stage")): sample.value for sample in family.samples},
        )
        for family in parser.text_string_to_metric_families(stats.prometheus())
    }


@pytest.mark.usefixtures("backend")
def test_a_new_runner_has_done_nothing() -> None:
    with Runner() as runner:
        assert runner.stats() == Stats(0, 0, 0, {})


@pytest.mark.usefixtures("backend")
def test_pictures_and_batches_are_counted() -> None:
    with Runner(batch=3, max_delay_ms=HOUR_MS) as runner:
        futures = [runner.submit(image) for image in pictures(range(6))]
        assert [result(future) for future in futures] == list(range(6))
        assert runner.stats() == Stats(frames=6, failed=0, batches=2)
    assert runner.stats().frames == 6, "it can be asked after the end"


@pytest.mark.usefixtures("backend")
def test_a_picture_is_counted_before_its_faces_are_there() -> None:
    with Runner() as runner:
        for number in range(200):
            result(runner.submit(picture(number)))
            assert runner.stats().frames == number + 1


def test_what_fails_is_counted_apart(backend: FakeBackend) -> None:
    def fail(numbers: list[int]) -> None:
        if 4 in numbers:
            raise ModelError("the network failed")

    backend.at_wait = fail
    bad: Any = None
    with Runner(batch=3, max_delay_ms=HOUR_MS, capacity=20) as runner:
        futures = [runner.submit(image) for image in pictures(range(9))]
        error_of(runner.submit(bad))
        assert isinstance(error_of(futures[4]), ModelError)
        assert result(futures[8]) == 8
        assert runner.stats() == Stats(frames=6, failed=4, batches=2)


def test_what_is_cancelled_is_not_counted(backend: FakeBackend, gate: Gate) -> None:
    with Runner(batch=2, slots=1, capacity=20) as runner:
        running = runner.submit(picture(0))
        assert backend.next_submitted() == [0]
        waiting = [runner.submit(image) for image in pictures(range(1, 9))]
        assert all(future.cancel() for future in waiting[:5])
        gate.open()
        assert [result(future) for future in [running, *waiting[5:]]] == [0, 6, 7, 8]
    stats = runner.stats()
    assert (stats.frames, stats.failed) == (4, 0)
    assert stats.batches == 1 + len(backend.all_submitted())


def test_what_fails_with_a_broken_runner_is_counted_too(backend: FakeBackend) -> None:
    gate = Gate()

    def fail(numbers: list[int]) -> None:
        gate(numbers)
        raise CudaError("lost")

    backend.at_wait = fail
    with Runner(batch=2, slots=1, capacity=20) as runner:
        futures = [runner.submit(picture(0))]
        assert backend.next_submitted() == [0]
        futures += [runner.submit(image) for image in pictures(range(1, 6))]
        assert futures.pop().cancel()
        gate.open()
        assert [type(error_of(future)) for future in futures] == [CudaError] + [RunnerError] * 4
        assert runner.stats() == Stats(frames=0, failed=5, batches=0)


def test_times_are_not_kept_unless_asked_for(echo: Path) -> None:
    with Runner(echo, pad=False, threads=1) as runner:
        assert numbers_of(runner.map(pictures(range(20)))) == list(range(20))
        assert runner.stats() == Stats(20, 0, 20, {})


def test_times_of_the_stages_are_those_of_the_network(backend: FakeBackend) -> None:
    """Each batch takes 20 ms; those behind the first one wait for it."""
    backend.at_wait = lambda _: time.sleep(0.02)
    with Runner(batch=2, slots=1, max_delay_ms=HOUR_MS, capacity=20, measure=True) as runner:
        started = time.monotonic()
        futures = [runner.submit(image) for image in pictures(range(10))]
        assert [result(future) for future in futures] == list(range(10))
        wall = (time.monotonic() - started) * 1e3
        stages = runner.stats().stages
    assert {name: stage.count for name, stage in stages.items() if name != "slot"} == {
        "queue": 10,
        "run": 5,
        "total": 10,
    }
    run, queue, total = stages["run"], stages["queue"], stages["total"]
    assert 20 <= run.median <= run.p99 <= wall
    assert 5 * 20 <= run.sum <= wall * 1.001
    assert queue.p99 >= 3 * 20, "the last ones wait for four batches"
    assert 20 <= total.median <= total.p99 <= wall * 1.001
    assert total.sum == pytest.approx(queue.sum + 2 * run.sum, rel=1e-6), "two pictures share each run"


@pytest.mark.usefixtures("backend")
def test_slots_tell_their_own_stages_where_times_are_kept() -> None:
    with Runner(slots=2, measure=True) as runner:
        assert runner.stats().stages == {"slot": Stage(count=2, sum=0.5, median=0.25, p99=0.25)}


@pytest.mark.usefixtures("backend")
def test_slots_tell_nothing_where_times_are_not_kept() -> None:
    with Runner(slots=2) as runner:
        assert runner.stats().stages == {}


def test_sums_are_of_all_and_quantiles_of_the_latest() -> None:
    counters = Counters(measure=True)
    for value in [1000.0] * 10 + [float(number) for number in range(KEPT)]:
        counters.add("run", value)
    stage = counters.stats().stages["run"]
    assert (stage.count, stage.sum) == (KEPT + 10, 10_000 + KEPT * (KEPT - 1) / 2)
    assert stage.median == (KEPT - 1) / 2
    assert stage.p99 == pytest.approx(float(np.percentile(range(KEPT), 99)))


@pytest.mark.usefixtures("backend")
def test_prometheus_reads_the_same_numbers() -> None:
    bad: Any = None
    with Runner(batch=2, measure=True) as runner:
        assert numbers_of(runner.map(pictures(range(7)))) == list(range(7))
        error_of(runner.submit(bad))
        stats = runner.stats()
    families = parsed(stats)
    for name in ("frames", "failed", "batches"):
        kind, samples = families[f"trt_mogface_{name}"]
        assert kind == "counter"
        assert samples == {(f"trt_mogface_{name}_total", None): getattr(stats, name)}
    kind, samples = families["trt_mogface_stage_seconds"]
    assert kind == "summary"
    expected: dict[tuple[str, str], Any] = {}
    for name, stage in stats.stages.items():
        expected["trt_mogface_stage_seconds_count", name] = stage.count
        expected["trt_mogface_stage_seconds_sum", name] = pytest.approx(stage.sum / 1e3)
    assert set(stats.stages) == {"slot", "queue", "run", "total"}
    assert samples == expected


@pytest.mark.usefixtures("backend")
def test_prometheus_reads_a_runner_that_keeps_no_times() -> None:
    with Runner() as runner:
        families = parsed(runner.stats())
    assert families["trt_mogface_stage_seconds"] == ("summary", {})
    assert families["trt_mogface_frames"][1] == {("trt_mogface_frames_total", None): 0}
