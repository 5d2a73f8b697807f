"""A network that is slower than its sources makes them wait, and nothing grows."""

from __future__ import annotations

import threading
import time
import tracemalloc
import weakref
from collections.abc import Iterator
from concurrent.futures import wait as wait_for
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.fakes import (
    WAIT,
    FakeBackend,
    Gate,
    Picture,
    in_thread,
    number_of,
    picture,
    pictures,
    result,
)
from tests.support.specs import one_line
from trt_mogface.backends.base import Outputs
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.errors import RunnerError
from trt_mogface.runner import Runner


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Where ONNX Runtime waits before it runs a network."""
    gate = Gate()
    plain = OnnxNetwork.run

    def run(self: OnnxNetwork, images: NDArray[np.uint8]) -> Outputs:
        gate([len(images)])
        return plain(self, images)

    monkeypatch.setattr(OnnxNetwork, "run", run)
    yield gate
    gate.open()


def test_submit_waits_for_room(backend: FakeBackend, gate: Gate) -> None:
    with Runner(slots=1, capacity=2) as runner:
        futures = [runner.submit(picture(0))]
        assert backend.next_submitted() == [0]
        futures += [runner.submit(picture(number)) for number in (1, 2)]
        late = in_thread(runner.submit, picture(3))
        assert wait_for([late], timeout=0.05).not_done
        gate.let_one_through()
        assert result(futures[0]) == 0
        futures.append(late.result(timeout=WAIT))
        gate.open()
        assert [result(future) for future in futures] == [0, 1, 2, 3]


@pytest.mark.parametrize("timeout", [0, 0.1, -1])
def test_submit_says_when_there_was_no_room_in_time(backend: FakeBackend, gate: Gate, timeout: float) -> None:
    with Runner(slots=1, capacity=1) as runner:
        first = runner.submit(picture(0))
        assert backend.next_submitted() == [0]
        second = runner.submit(picture(1), timeout=timeout)  # there is room
        started = time.monotonic()
        with pytest.raises(RunnerError, match="queue was full") as error:
            runner.submit(picture(2), timeout=timeout)
        assert timeout <= time.monotonic() - started < WAIT / 3
        one_line(error.value)
        gate.open()
        assert [result(first), result(second)] == [0, 1]
        assert result(runner.submit(picture(3))) == 3
        assert runner.stats().failed == 0
    assert backend.all_submitted() == [[1], [3]]


def test_room_in_time_is_taken(backend: FakeBackend, gate: Gate) -> None:
    with Runner(slots=1, capacity=1) as runner:
        first = runner.submit(picture(0))
        assert backend.next_submitted() == [0]
        second = runner.submit(picture(1))
        late = in_thread(runner.submit, picture(2), timeout=WAIT)
        gate.open()
        assert [result(first), result(second), result(late.result(timeout=WAIT))] == [0, 1, 2]


@pytest.mark.parametrize(("batch", "slots"), [(1, 1), (4, 2)])
def test_by_default_as_many_wait_as_fill_the_slots_once_more(
    backend: FakeBackend, gate: Gate, batch: int, slots: int
) -> None:
    with Runner(batch=batch, slots=slots) as runner:
        futures = []
        for first in range(0, batch * slots, batch):
            futures.append(runner.submit(picture(first)))
            assert backend.next_submitted() == [first]
        futures += [runner.submit(picture(100 + number), timeout=0) for number in range(batch * slots)]
        with pytest.raises(RunnerError, match="queue was full"):
            runner.submit(picture(200), timeout=0)
        gate.open()
        assert len([result(future) for future in futures]) == slots + batch * slots


def test_the_real_network_makes_submit_wait_as_well(echo: Path, slow: Gate) -> None:
    with Runner(echo, pad=False, threads=1, batch=2, slots=1, capacity=2) as runner:
        futures = []
        with pytest.raises(RunnerError, match="queue was full"):  # noqa: PT012
            for number in range(100):
                futures.append(runner.submit(picture(number), timeout=0.2))  # noqa: PERF401
        assert 3 <= len(futures) <= 4, "a batch of one or two in its slot, and two waiting"
        late = in_thread(runner.submit, picture(100))
        slow.open()
        assert [result(future) for future in futures] == list(range(len(futures)))
        assert result(late.result(timeout=WAIT)) == 100


def test_memory_does_not_grow_while_producers_wait(echo: Path, slow: Gate) -> None:
    """Four producers, each with no end of pictures of 3 MB: as many exist as the runner has room for."""
    lock, alive, most = threading.RLock(), 0, 0

    def count(change: int) -> None:
        nonlocal alive, most
        with lock:
            alive += change
            most = max(most, alive)

    def produce() -> int:
        for number in range(25):
            image = picture(number, 1024, 1024)
            count(1)
            weakref.finalize(image, count, -1)
            future = runner.submit(image)
            del image
        return number_of(future.result(timeout=WAIT))

    with Runner(echo, size=(8, 8), threads=1, batch=2, slots=2) as runner:
        tracemalloc.start()
        try:
            producers = [in_thread(produce) for _ in range(4)]
            for _ in range(10):
                slow.let_one_through()
            assert wait_for(producers, timeout=0.3).not_done
            slow.open()
            assert [producer.result(timeout=WAIT) for producer in producers] == [24] * 4
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    bound = 4 + 4 + 4 + 2 + 2  # in slots, in the line, with producers, with the thread that fills and empties
    assert most <= bound
    assert peak < (bound + 4) * 3 * 1024 * 1024


def test_pictures_are_let_go_with_their_results(echo: Path) -> None:
    with Runner(echo, pad=False, threads=1) as runner:
        images = [picture(number) for number in range(20)]
        references = [weakref.ref(image) for image in images]
        futures = [runner.submit(image) for image in images]
        del images
        assert [result(future) for future in futures] == list(range(20))
        assert result(runner.submit(picture(0))) == result(runner.submit(picture(0))) == 0
        assert [reference() for reference in references] == [None] * 20


def test_a_stream_of_large_pictures_stays_small(echo: Path) -> None:
    def source() -> Iterator[Picture]:
        for number in range(60):
            yield picture(number, 1024, 1024)

    with Runner(echo, size=(8, 8), threads=1, batch=2, slots=2) as runner:
        tracemalloc.start()
        try:
            assert sum(1 for _ in runner.map(source())) == 60
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < (6 + 2 + 4) * 3 * 1024 * 1024  # the window, the next one, those that threads still hold


def test_what_waits_can_be_cancelled_and_the_rest_goes_on(echo: Path, slow: Gate) -> None:
    with Runner(echo, pad=False, threads=1, slots=1, capacity=50) as runner:
        futures = [runner.submit(image) for image in pictures(range(20))]
        kept = [number for number, future in enumerate(futures) if not future.cancel()]
        assert kept in ([], [0])  # the first one may be in its slot
        slow.open()
        assert [result(futures[number]) for number in kept] == kept
        assert result(runner.submit(picture(77))) == 77
        assert runner.stats().frames == len(kept) + 1
