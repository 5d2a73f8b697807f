"""Which pictures run together."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.fakes import (
    WAIT,
    FakeBackend,
    Gate,
    echo_network,
    error_of,
    in_thread,
    picture,
    result,
)
from tests.support.specs import small_spec
from trt_mogface import Detections
from trt_mogface.backends.base import Outputs
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.backends.options import SlotOptions
from trt_mogface.errors import ArgumentError
from trt_mogface.runner import Runner

HOUR_MS = 3.6e6


def test_batches_are_full_where_pictures_wait(backend: FakeBackend, gate: Gate) -> None:
    with Runner(batch=4, slots=1, capacity=20) as runner:
        first = runner.submit(picture(0))
        assert backend.next_submitted() == [0]
        others = [runner.submit(picture(number)) for number in range(1, 11)]
        gate.open()
        assert [result(future) for future in [first, *others]] == list(range(11))
    assert backend.all_submitted() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_a_batch_waits_for_others_until_it_is_full(backend: FakeBackend) -> None:
    with Runner(batch=3, max_delay_ms=HOUR_MS) as runner:
        futures = [runner.submit(picture(number)) for number in range(6)]
        assert [result(future) for future in futures] == list(range(6))
    assert backend.all_submitted() == [[0, 1, 2], [3, 4, 5]]


def test_a_batch_that_does_not_fill_up_runs_after_the_delay(backend: FakeBackend) -> None:
    with Runner(batch=3, max_delay_ms=200) as runner:
        started = time.monotonic()
        futures = [runner.submit(picture(number)) for number in range(2)]
        assert [result(future) for future in futures] == [0, 1]
        assert time.monotonic() - started >= 0.2
    assert backend.all_submitted() == [[0, 1]]


def test_without_a_delay_nothing_waits_for_company(backend: FakeBackend) -> None:
    with Runner(batch=3) as runner:
        for number in range(4):
            assert result(runner.submit(picture(number))) == number
    assert backend.all_submitted() == [[0], [1], [2], [3]]


@pytest.mark.parametrize("capacity", [1, 3])
def test_a_line_too_short_for_a_batch_does_not_make_it_wait(backend: FakeBackend, capacity: int) -> None:
    with Runner(batch=4, max_delay_ms=HOUR_MS, capacity=capacity) as runner:
        futures = [runner.submit(picture(number)) for number in range(3 * capacity)]
        assert [result(future) for future in futures] == list(range(3 * capacity))
    assert {len(numbers) for numbers in backend.all_submitted()} == {capacity}


def test_sizes_are_not_mixed_and_the_next_size_sends_a_batch_off(backend: FakeBackend) -> None:
    with Runner(batch=4, max_delay_ms=HOUR_MS, capacity=20) as runner:
        sizes = [(8, 8), (8, 8), (8, 16), (16, 8), (16, 8), (16, 8), (8, 8)]
        futures = [runner.submit(picture(number, *size)) for number, size in enumerate(sizes)]
        assert [result(future) for future in futures[:6]] == list(range(6))
        assert not futures[6].done()
    assert result(futures[6]) == 6
    assert backend.all_submitted() == [[0, 1], [2], [3, 4, 5], [6]]


def test_pictures_of_one_network_input_size_run_together(backend: FakeBackend) -> None:
    """Sizes differ, but the padding makes them one."""
    backend.place = SlotOptions(spec := small_spec(), spec.thresholds).place
    with Runner(batch=3, max_delay_ms=HOUR_MS) as runner:
        futures = [runner.submit(picture(n, height, 30)) for n, height in enumerate([1, 20, 32])]
        found = [future.result(timeout=WAIT) for future in futures]
    assert backend.all_submitted() == [[0, 1, 2]]
    assert [faces.image_size for faces in found] == [(1, 30), (20, 30), (32, 30)]


def test_cancelled_pictures_are_left_out(backend: FakeBackend, gate: Gate) -> None:
    with Runner(batch=4, slots=1, capacity=20) as runner:
        running = runner.submit(picture(0))
        assert backend.next_submitted() == [0]
        waiting = [runner.submit(picture(number)) for number in range(1, 9)]
        assert not running.cancel(), "it is in its slot"
        assert all(waiting[at].cancel() for at in (0, 2, 4, 5, 6, 7))
        gate.open()
        assert [result(running), result(waiting[1]), result(waiting[3])] == [0, 2, 4]
        assert result(runner.submit(picture(9))) == 9
    assert backend.all_submitted() == [[2, 4], [9]]


def test_many_producers_share_batches(backend: FakeBackend, gate: Gate) -> None:
    barrier = threading.Barrier(12)

    def produce(number: int) -> Future[Detections]:
        barrier.wait(timeout=WAIT)
        return runner.submit(picture(number))

    with Runner(batch=6, slots=1, capacity=20, max_delay_ms=HOUR_MS) as runner:
        gate.open()
        futures = [in_thread(produce, number) for number in range(12)]
        assert [result(future.result(timeout=WAIT)) for future in futures] == list(range(12))
    submitted = backend.all_submitted()
    assert [len(numbers) for numbers in submitted] == [6, 6]
    assert sorted(submitted[0] + submitted[1]) == list(range(12))


def test_a_producer_that_dies_leaves_the_others_unharmed(backend: FakeBackend) -> None:
    met = threading.Barrier(3)

    def produce(start: int) -> Sequence[Future[Detections]]:
        futures = [runner.submit(picture(start))]
        met.wait(timeout=WAIT)
        if start == 0:
            raise ZeroDivisionError("a camera came off")
        return futures + [runner.submit(picture(start + more)) for more in range(1, 5)]

    with Runner(batch=8, max_delay_ms=100, capacity=50) as runner:
        producers = [in_thread(produce, start) for start in (0, 100, 200)]
        assert isinstance(error_of(producers[0]), ZeroDivisionError)
        for producer, start in zip(producers[1:], (100, 200)):
            futures = producer.result(timeout=WAIT)
            assert [result(future) for future in futures] == list(range(start, start + 5))
        assert runner.stats().frames == 11
    submitted = backend.all_submitted()
    assert any(0 in numbers for numbers in submitted)
    assert len(submitted[-1]) < 8, "the last batch is partial, and ran all the same"


def test_the_network_sees_the_batches(echo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def run(self: OnnxNetwork, images: NDArray[np.uint8]) -> Outputs:
        shapes.append(images.shape)
        return plain(self, images)

    plain = OnnxNetwork.run
    monkeypatch.setattr(OnnxNetwork, "run", run)
    options: dict[str, Any] = {"pad": False, "threads": 1, "slots": 1}  # one slot, and so in order
    with Runner(echo, batch=4, max_delay_ms=HOUR_MS, capacity=20, **options) as runner:
        sizes = [(8, 8)] * 4 + [(8, 16)] * 2 + [(8, 8)]
        futures = [runner.submit(picture(number, *size)) for number, size in enumerate(sizes)]
    assert [result(future) for future in futures] == list(range(7))
    assert shapes == [(4, 8, 8, 3), (2, 8, 16, 3), (1, 8, 8, 3)]


def test_images_with_other_thresholds_run_in_other_batches(tmp_path: Path) -> None:
    with Runner(echo_network(tmp_path / "echo.onnx"), batch=8, max_delay_ms=200) as runner:
        assert runner.adjustable
        higher = dataclasses.replace(runner.thresholds, score_threshold=0.9)
        wanted = [None, None, higher, higher, higher]
        futures = [runner.submit(picture(5), thresholds=each) for each in wanted]
        assert [len(future.result(WAIT)) for future in futures] == [1, 1, 0, 0, 0]
        timings = [future.timing for future in futures]
        assert [timing and timing.batch for timing in timings] == [2, 2, 3, 3, 3]
        assert all(timing and timing.queue_ms >= 0 and timing.run_ms > 0 for timing in timings)
        assert len(runner.submit(picture(5)).result(WAIT)) == 1  # the model's own again


def test_a_backend_without_adjustable_slots_refuses_thresholds() -> None:
    with Runner(FakeBackend()) as runner:
        assert not runner.adjustable
        with pytest.raises(ArgumentError, match="thresholds"):
            runner.submit(picture(1), thresholds=runner.thresholds)
