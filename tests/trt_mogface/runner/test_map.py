"""`Runner.map`: it takes few images ahead, stops when it is left, and raises failures in their place."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np
import pytest

from tests.support.fakes import (
    WAIT,
    FakeBackend,
    Gate,
    Picture,
    error_of,
    in_thread,
    number_of,
    numbers_of,
    picture,
    pictures,
    result,
    stream,
)
from trt_mogface import Detections
from trt_mogface.errors import ImageError
from trt_mogface.runner import Runner

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("backend")


def complete(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, WAIT))


async def until(condition: Callable[[], bool], task: asyncio.Task[Any]) -> None:
    """The event loop turns until something has happened, for which the task must still be there."""
    while not condition():
        assert not task.done(), task
        await asyncio.sleep(0)


class Source:
    """Pictures without an end that counts what was taken of it.

    Args:
        count: How many there are; None: no end.
    """

    def __init__(self, count: int | None = None) -> None:
        self.taken, self.delivered, self.most_ahead = 0, 0, 0
        self.reached: dict[int, threading.Event] = {}
        self._count = count

    def _next(self) -> Picture:
        image = picture(self.taken)
        self.taken += 1
        self.most_ahead = max(self.most_ahead, self.taken - self.delivered)
        if self.taken in self.reached:
            self.reached[self.taken].set()
        return image

    def __iter__(self) -> Iterator[Picture]:
        while self._count is None or self.taken < self._count:
            yield self._next()


class AsyncSource(Source):
    """The same for an event loop."""

    async def __aiter__(self) -> AsyncIterator[Picture]:
        for image in super().__iter__():
            await asyncio.sleep(0)
            yield image

    __iter__ = None  # type: ignore[assignment]


def consume(runner: Runner, source: Source) -> list[int]:
    numbers = []
    for faces in runner.map(source):
        source.delivered += 1
        numbers.append(number_of(faces))
    return numbers


async def consume_async(runner: Runner, source: Source) -> list[int]:
    numbers = []
    async for faces in runner.map(source):
        source.delivered += 1
        numbers.append(number_of(faces))
    return numbers


@pytest.mark.parametrize(("batch", "slots"), [(1, 1), (1, 2), (4, 2), (3, 3)])
def test_the_source_is_never_more_than_the_window_ahead(gate: Gate, batch: int, slots: int) -> None:
    window = batch * (slots + 1)
    source = Source(200)
    source.reached[window] = threading.Event()
    with Runner(batch=batch, slots=slots, capacity=1000) as runner:
        numbers = in_thread(consume, runner, source)
        assert source.reached[window].wait(timeout=WAIT), "a slow network is kept busy"
        gate.open()
        assert numbers.result(timeout=WAIT) == list(range(200))
    assert source.most_ahead == window


@pytest.mark.parametrize("kind", [Source, AsyncSource])
def test_with_an_event_loop_it_is_not_either(gate: Gate, kind: type[Source]) -> None:
    async def both(runner: Runner) -> list[int]:
        consumer = asyncio.create_task(consume_async(runner, source))
        await until(lambda: source.taken == 6, consumer)
        gate.open()
        return await consumer

    source = kind(200)
    with Runner(batch=2, slots=2, capacity=1000) as runner:
        assert complete(both(runner)) == list(range(200))
    assert source.most_ahead == 6


def test_a_slow_consumer_holds_the_source_back() -> None:
    source = Source()
    with Runner(batch=2, slots=2) as runner:
        results = iter(runner.map(source))
        for number in range(50):
            assert number_of(next(results)) == number
            source.delivered += 1
        results.close()  # type: ignore[attr-defined]
    assert source.most_ahead <= 6


def test_the_event_loop_turns_while_the_line_is_full(gate: Gate) -> None:
    """One picture in the slot and one in the line: the third waits for room."""

    async def both(runner: Runner) -> list[int]:
        consumer = asyncio.create_task(consume_async(runner, source))
        await until(lambda: source.taken == 3, consumer)
        for _ in range(20):
            await asyncio.sleep(0)
        gate.open()
        return await consumer

    source = AsyncSource(9)
    with Runner(batch=4, slots=1, capacity=1) as runner:
        assert complete(both(runner)) == list(range(9))


def test_the_event_loop_turns_while_the_network_runs(backend: FakeBackend, gate: Gate) -> None:
    async def both(runner: Runner) -> list[int]:
        consumer = asyncio.create_task(consume_async(runner, source))
        await until(lambda: backend.submitted.qsize() > 0, consumer)
        gate.open()
        return await consumer

    source = AsyncSource(1)
    with Runner() as runner:
        assert complete(both(runner)) == [0]


def test_the_event_loop_turns_while_a_plain_source_waits_for_its_camera() -> None:
    exposed = threading.Event()

    def camera() -> Iterator[Picture]:
        for number in range(3):
            assert exposed.wait(timeout=WAIT / 3), "the event loop stood still"
            yield picture(number)

    async def both(runner: Runner) -> list[int]:
        consumer = asyncio.create_task(numbers(runner))
        for _ in range(20):
            await asyncio.sleep(0)
        exposed.set()
        return await consumer

    async def numbers(runner: Runner) -> list[int]:
        return [number_of(faces) async for faces in runner.map(camera())]

    with Runner() as runner:
        assert complete(both(runner)) == [0, 1, 2]


def test_several_tasks_of_one_event_loop_each_get_their_own() -> None:
    async def each(runner: Runner, start: int) -> list[int]:
        return [number_of(faces) async for faces in runner.map(pictures(range(start, start + 50)))]

    async def together(runner: Runner) -> list[list[int]]:
        return await asyncio.gather(*(each(runner, start) for start in range(0, 800, 100)))

    with Runner(batch=4) as runner:
        found = complete(together(runner))
    assert found == [list(range(start, start + 50)) for start in range(0, 800, 100)]


def failing(count: int) -> Iterator[Picture]:
    yield from pictures(range(count))
    raise OSError("the cable came off")


async def failing_async(count: int) -> AsyncIterator[Picture]:
    for image in pictures(range(count)):
        yield image
    raise OSError("the cable came off")


@pytest.mark.parametrize("count", [0, 1, 20])
def test_where_a_source_fails_the_faces_before_come_first(count: int) -> None:
    with Runner(batch=4, max_delay_ms=1) as runner:
        numbers = []
        with pytest.raises(OSError, match="cable"):  # noqa: PT012
            for faces in runner.map(failing(count)):
                numbers.append(number_of(faces))  # noqa: PERF401 -- what came before the error
        assert numbers == list(range(count))
        assert numbers_of(runner.map(pictures([5]))) == [5]


@pytest.mark.parametrize("source", [failing, failing_async])
def test_where_a_source_fails_in_an_event_loop_they_do_too(source: Callable[[int], Any]) -> None:
    async def collect(runner: Runner) -> list[int]:
        numbers = []
        with pytest.raises(OSError, match="cable"):  # noqa: PT012
            async for faces in runner.map(source(20)):
                numbers.append(number_of(faces))  # noqa: PERF401
        return numbers

    with Runner(batch=4) as runner:
        assert complete(collect(runner)) == list(range(20))


def spoilt(bad_at: int) -> list[Picture]:
    images = list(pictures(range(20)))
    images[bad_at] = images[bad_at][..., 0]
    return images


def test_a_picture_that_cannot_be_used_raises_where_its_faces_would_come() -> None:
    with Runner(batch=4) as runner:
        results = iter(runner.map(spoilt(7)))
        assert [number_of(next(results)) for _ in range(7)] == list(range(7))
        with pytest.raises(ImageError, match="grayscale"):
            next(results)
        assert list(results) == []
        assert numbers_of(runner.map(pictures(range(9)))) == list(range(9))


def test_in_an_event_loop_it_does_too() -> None:
    async def collect(runner: Runner) -> list[int]:
        numbers = []
        with pytest.raises(ImageError, match="grayscale"):  # noqa: PT012
            async for faces in runner.map(spoilt(7)):
                numbers.append(number_of(faces))  # noqa: PERF401
        return numbers

    with Runner(batch=4) as runner:
        assert complete(collect(runner)) == list(range(7))


def test_other_sources_do_not_notice_a_bad_picture() -> None:
    with Runner(batch=4, max_delay_ms=1) as runner:
        others = [in_thread(stream, runner, range(200)) for _ in range(3)]
        bad = [in_thread(list, runner.map(spoilt(at))) for at in range(0, 20, 3)]
        assert all(isinstance(error_of(future), ImageError) for future in bad)
        assert [other.result(timeout=WAIT) for other in others] == [list(range(200))] * 3


class Early:
    """A source of which one batch is through, one is in the slot and three pictures are in the line."""

    def __init__(self, backend: FakeBackend, gate: Gate) -> None:
        self._backend, self._gate = backend, gate
        self.runner = Runner(batch=4, slots=1, capacity=16)

    def __iter__(self) -> Iterator[Picture]:
        yield picture(0)
        assert self._backend.next_submitted() == [0]
        yield from pictures(range(1, 7))
        self._gate.let_one_through()
        yield from map(picture, itertools.count(7))

    def until_stopped(self) -> None:
        """After the first faces were delivered."""
        assert self._backend.next_submitted() == [1, 2, 3, 4]

    def check(self) -> None:
        """What waited was cancelled, and the runner goes on."""
        self._gate.open()
        with self.runner:
            assert result(self.runner.submit(picture(99))) == 99
        assert self._backend.all_submitted() == [[99]]


@pytest.fixture
def early(backend: FakeBackend, gate: Gate) -> Iterator[Early]:
    early = Early(backend, gate)
    yield early
    gate.open()
    early.runner.close(cancel=True)


def test_a_loop_that_is_left_cancels_what_waits(early: Early) -> None:
    for faces in early.runner.map(early):
        assert number_of(faces) == 0
        early.until_stopped()
        break
    early.check()


@pytest.mark.parametrize("way", ["close", "throw", "forget"])
def test_results_that_are_given_up_cancel_what_waits(early: Early, way: str) -> None:
    results: Any = iter(early.runner.map(early))
    assert number_of(next(results)) == 0
    early.until_stopped()
    if way == "throw":
        with pytest.raises(ZeroDivisionError):
            results.throw(ZeroDivisionError())
    elif way == "close":
        results.close()
    del results
    early.check()


@pytest.mark.parametrize("way", ["break", "aclose", "cancel"])
def test_an_event_loop_that_gives_up_cancels_what_waits(early: Early, way: str) -> None:
    async def stop() -> None:
        results: Any = aiter(early.runner.map(early))
        assert number_of(await results.__anext__()) == 0
        early.until_stopped()
        if way == "aclose":
            await results.aclose()
        elif way == "cancel":
            waiting = asyncio.ensure_future(results.__anext__())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            del results
            gc.collect()
            await asyncio.sleep(0)

    complete(stop())
    early.check()


def test_a_task_cancelled_while_its_picture_waits_for_room_takes_it_along(
    backend: FakeBackend, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = threading.Event()

    def submit(image: Picture) -> Future[Detections]:
        entered.set()
        return Runner.submit(runner, image)

    async def stop() -> None:
        consumer = asyncio.create_task(consume_async(runner, AsyncSource()))
        await until(entered.is_set, consumer)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        gate.open()

    with Runner(batch=4, slots=1, capacity=1) as runner:
        running = runner.submit(picture(100))
        assert backend.next_submitted() == [100]
        waiting = runner.submit(picture(101))
        monkeypatch.setattr(runner, "submit", submit)
        complete(stop())
        assert (result(running), result(waiting)) == (100, 101)
    assert backend.all_submitted() == [[101]]


def test_an_async_source_wants_an_async_loop() -> None:
    with Runner() as runner, pytest.raises(TypeError, match="async for"):
        list(runner.map(AsyncSource(3)))


def test_a_source_that_knows_both_is_iterated_either_way() -> None:
    async def collect(runner: Runner) -> list[Detections]:
        return [faces async for faces in runner.map(np.stack(list(pictures(range(3)))))]

    with Runner() as runner:
        assert numbers_of(complete(collect(runner))) == numbers_of(runner.map(pictures(range(3))))
