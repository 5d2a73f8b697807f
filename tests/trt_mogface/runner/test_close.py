"""Opening and closing: everything is delivered or cancelled, and nothing is left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, as_completed
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import (
    WAIT,
    FakeBackend,
    FakeSlot,
    Gate,
    error_of,
    in_thread,
    numbers_of,
    picture,
    pictures,
    result,
    stream,
)
from tests.support.specs import one_line
from trt_mogface import Detections, MogFaceError
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.errors import EngineError, RunnerError
from trt_mogface.runner import Runner


def thread_names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("trt-mogface")]


class Waiting:
    """A runner with one picture in its slot and some in the line."""

    def __init__(self, backend: FakeBackend) -> None:
        self.runner = Runner(batch=2, slots=1, capacity=20)
        self.running = self.runner.submit(picture(0))
        assert backend.next_submitted() == [0]
        self.futures = [self.runner.submit(image) for image in pictures(range(1, 8))]


@pytest.fixture
def waiting(backend: FakeBackend, gate: Gate) -> Waiting:  # noqa: ARG001 -- its batches wait
    return Waiting(backend)


def test_a_runner_has_threads_and_slots_while_it_is_open(backend: FakeBackend) -> None:
    runner = Runner(slots=3)
    assert len(thread_names()) == 1 + 3 + 1
    assert [slot.closes for slot in backend.slots] == [0, 0, 0]
    runner.close()
    assert thread_names() == []
    assert [slot.closes for slot in backend.slots] == [1, 1, 1]
    assert backend.closes == 1


def test_closing_delivers_what_waits(waiting: Waiting, gate: Gate, backend: FakeBackend) -> None:
    closing = in_thread(waiting.runner.close)
    assert wait_for([closing], timeout=0.05).not_done
    assert backend.closes == 0
    gate.open()
    closing.result(timeout=WAIT)
    assert waiting.running.done()
    assert [future.result(timeout=0) for future in waiting.futures]
    assert [result(future) for future in waiting.futures] == list(range(1, 8))


def test_closing_can_cancel_what_waits(waiting: Waiting, gate: Gate, backend: FakeBackend) -> None:
    closing = in_thread(waiting.runner.close, cancel=True)
    assert wait_for(waiting.futures, timeout=WAIT).done == set(waiting.futures)
    assert all(future.cancelled() for future in waiting.futures)
    assert set(as_completed(waiting.futures, timeout=WAIT)) == set(waiting.futures)
    assert not closing.done(), "what runs is waited for"
    gate.open()
    closing.result(timeout=WAIT)
    assert waiting.running.done()
    assert result(waiting.running) == 0
    assert backend.all_submitted() == []
    assert backend.closes == 1


def test_the_end_of_a_with_block_delivers(backend: FakeBackend) -> None:
    with Runner(batch=4, max_delay_ms=3.6e6) as runner:
        futures = [runner.submit(image) for image in pictures(range(6))]
    assert [future.done() for future in futures] == [True] * 6
    assert [result(future) for future in futures] == list(range(6))
    assert backend.closes == 1


def test_a_with_block_left_by_an_error_cancels(waiting: Waiting, gate: Gate) -> None:
    def work() -> None:
        with waiting.runner:
            raise ZeroDivisionError

    left = in_thread(work)
    assert wait_for(waiting.futures, timeout=WAIT).done == set(waiting.futures)
    gate.open()
    assert isinstance(error_of(left), ZeroDivisionError)
    assert all(future.cancelled() for future in waiting.futures)
    assert result(waiting.running) == 0


@pytest.mark.parametrize("cancel", [False, True])
def test_closing_twice_is_harmless(backend: FakeBackend, cancel: bool) -> None:
    with Runner(slots=2) as runner:
        assert result(runner.submit(picture(1))) == 1
        runner.close(cancel=cancel)
        runner.close(cancel=not cancel)
    assert backend.closes == 1
    assert [slot.closes for slot in backend.slots] == [1, 1]


def test_closing_from_several_threads_closes_once_and_all_wait(
    waiting: Waiting, gate: Gate, backend: FakeBackend
) -> None:
    closing = [in_thread(waiting.runner.close) for _ in range(8)]
    assert len(wait_for(closing, timeout=0.05).not_done) == 8
    gate.open()
    for each in closing:
        each.result(timeout=WAIT)
    assert backend.closes == 1
    assert [slot.closes for slot in backend.slots] == [1]
    assert [result(future) for future in waiting.futures] == list(range(1, 8))


def test_whoever_closes_second_waits_for_the_first(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, release, plain = threading.Event(), threading.Event(), FakeSlot.close

    def slow(slot: FakeSlot) -> None:
        entered.set()
        assert release.wait(timeout=WAIT)
        plain(slot)

    monkeypatch.setattr(FakeSlot, "close", slow)
    runner = Runner(slots=1)
    first = in_thread(runner.close)
    assert entered.wait(timeout=WAIT)
    second = in_thread(runner.close)
    assert len(wait_for([first, second], timeout=0.1).not_done) == 2
    assert backend.closes == 0
    release.set()
    assert [first.result(timeout=WAIT), second.result(timeout=WAIT)] == [None, None]
    assert backend.closes == 1


def test_cancelling_hurries_a_close_that_is_under_way(waiting: Waiting, gate: Gate) -> None:
    delivering = in_thread(waiting.runner.close)
    assert wait_for([delivering], timeout=0.05).not_done
    cancelling = in_thread(waiting.runner.close, cancel=True)
    assert wait_for(waiting.futures, timeout=WAIT).done == set(waiting.futures)
    gate.open()
    for each in (delivering, cancelling):
        each.result(timeout=WAIT)
    assert all(future.cancelled() for future in waiting.futures)


def test_a_close_that_was_interrupted_can_be_repeated(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    runner = Runner()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.close()
    assert backend.closes == 0
    runner.close()
    assert backend.closes == 1


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("cancel", [False, True])
def test_a_closed_runner_takes_nothing_and_says_so(cancel: bool) -> None:
    runner = Runner()
    runner.close(cancel=cancel)
    with pytest.raises(RunnerError, match="closed") as error:
        runner.submit(picture(0))
    one_line(error.value)
    with pytest.raises(RunnerError, match="closed"):
        list(runner.map(pictures(range(3))))
    assert runner.stats().frames == 0


@pytest.mark.parametrize("cancel", [False, True])
def test_closing_sends_those_away_who_wait_for_room(backend: FakeBackend, gate: Gate, cancel: bool) -> None:
    runner = Runner(slots=1, capacity=1)
    runner.submit(picture(0))
    assert backend.next_submitted() == [0]
    runner.submit(picture(1))
    blocked = [in_thread(runner.submit, picture(2)) for _ in range(4)]
    assert len(wait_for(blocked, timeout=0.05).not_done) == 4
    closing = in_thread(runner.close, cancel=cancel)
    for each in blocked:
        error = error_of(each)
        assert isinstance(error, RunnerError)
        assert "closed" in one_line(error)
    gate.open()
    closing.result(timeout=WAIT)


@pytest.mark.parametrize("cancel", [False, True])
def test_closing_in_the_middle_of_a_stream_ends_it(backend: FakeBackend, cancel: bool) -> None:
    """A stream gets its faces in order up to some picture, then learns of the end."""
    enough = threading.Event()

    def consume(runner: Runner) -> list[int]:
        numbers: list[int] = []
        try:
            for faces in runner.map(map(picture, range(100_000))):
                numbers += numbers_of([faces])
                if len(numbers) == 50:
                    enough.set()
        except (RunnerError, CancelledError):
            return numbers
        raise AssertionError("the whole stream came through")

    with Runner(batch=2) as runner:
        streams = [in_thread(consume, runner) for _ in range(3)]
        assert enough.wait(timeout=WAIT)
        runner.close(cancel=cancel)
        for each in streams:
            numbers = each.result(timeout=WAIT)
            assert numbers == list(range(len(numbers)))
    assert backend.closes == 1


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("cancel", [False, True] * 5)
def test_no_future_is_forgotten_where_producers_and_the_end_meet(cancel: bool) -> None:
    """Whatever `submit` returned is done when `close` is."""
    started = threading.Event()

    def produce() -> Sequence[Future[Detections]]:
        futures = []
        try:
            while True:
                futures.append(runner.submit(picture(0)))
                started.set()
        except RunnerError:
            return futures

    with Runner(batch=3) as runner:
        producers = [in_thread(produce) for _ in range(4)]
        assert started.wait(timeout=WAIT)
        runner.close(cancel=cancel)
        futures = [future for producer in producers for future in producer.result(timeout=WAIT)]
    assert all(future.done() for future in futures)
    assert cancel or not any(future.cancelled() for future in futures)
    assert sum(not future.cancelled() for future in futures) == runner.stats().frames


@pytest.mark.parametrize(
    "options",
    [
        {"batch": 0},
        {"slots": 0},
        {"capacity": 0},
        {"batch": -3},
        {"max_delay_ms": -1},
        {"max_delay_ms": float("nan")},
        {"max_delay_ms": float("inf")},
        {"device": []},
        {"model": "yolo"},
        {"model": "missing.onnx"},
        {"weights": "some.pt"},
        {"conf": 7},
        {"top_k": 0},
        {"size": (0, 640)},
    ],
    ids=str,
)
def test_impossible_options_are_one_line_and_leave_nothing(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[OnnxNetwork] = []
    monkeypatch.setattr(CpuBackend, "close", lambda backend: opened.remove(backend.network))
    plain = OnnxNetwork.__init__

    def init(executor: OnnxNetwork, *arguments: Any, **named: Any) -> None:
        plain(executor, *arguments, **named)
        opened.append(executor)

    monkeypatch.setattr(OnnxNetwork, "__init__", init)
    with pytest.raises(MogFaceError) as error:
        Runner(**options)
    one_line(error.value)
    assert thread_names() == []


def test_slots_that_cannot_be_had_close_the_others_and_the_model(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = backend.slot

    def slot(*arguments: Any, **options: Any) -> Any:
        if len(backend.slots) == 2:
            raise EngineError("no room for a third")
        return plain(*arguments, **options)

    monkeypatch.setattr(backend, "slot", slot)
    with pytest.raises(EngineError):
        Runner(slots=3)
    assert [slot.closes for slot in backend.slots] == [1, 1]
    assert backend.closes == 1
    assert thread_names() == []


def test_a_second_thread_that_cannot_be_had_ends_the_first(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "trt-mogface-deliver":
            raise RuntimeError("can't start new thread")
        plain(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="new thread"):
        Runner()
    assert backend.closes == 1
    for thread in threading.enumerate():
        if thread.name.startswith("trt-mogface"):
            thread.join(timeout=WAIT)
    assert thread_names() == []


def test_many_runners_come_and_go(echo: Path) -> None:
    before = threading.active_count()
    for number in range(20):
        with Runner(echo, pad=False, threads=1, batch=2) as runner:
            assert result(runner.submit(picture(number))) == number
    assert threading.active_count() == before


def test_several_runners_at_once_do_not_meet(echo: Path) -> None:
    with (
        Runner(echo, pad=False, threads=1) as one,
        Runner(echo, pad=False, threads=1, batch=4) as other,
    ):
        streams = [in_thread(stream, runner, range(200)) for runner in (one, other)]
        assert [each.result(timeout=WAIT) for each in streams] == [list(range(200))] * 2
        one.close()
        assert result(other.submit(picture(3))) == 3


def loop(runner: Runner) -> list[Detections]:
    return list(runner.map(pictures(range(4))))


def async_loop(runner: Runner) -> list[Detections]:
    async def gather() -> list[Detections]:
        return [faces async for faces in runner.map(pictures(range(4)))]

    return asyncio.run(gather())


@pytest.mark.parametrize("work", [loop, async_loop])
def test_a_loop_over_pictures_is_told_that_the_runner_was_closed_elsewhere(
    backend: FakeBackend, gate: Gate, work: Callable[[Runner], list[Detections]]
) -> None:
    """Not that it was itself cancelled, which an event loop would take for its own end."""
    runner = Runner(batch=1, slots=1, capacity=8)
    looping = in_thread(work, runner)
    assert backend.next_submitted() == [0]
    last = runner.submit(picture(9))
    closing = in_thread(runner.close, cancel=True)
    assert wait_for([last], timeout=WAIT).done == {last}
    gate.open()
    error = error_of(looping)
    assert isinstance(error, RunnerError)
    assert "closed" in one_line(error)
    closing.result(timeout=WAIT)
