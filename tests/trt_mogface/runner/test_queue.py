"""The queue: which jobs are handed out together, and when."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support.fakes import WAIT, in_thread
from trt_mogface.frame import Frame
from trt_mogface.runner.batching import BatchQueue, Job

HOUR = 3600.0


def job(side: int = 8, *, age: float = 0.0) -> Job:
    """A job of a network input of this size, which has waited for some seconds."""
    frame = Frame((np.zeros((side, side, 3), np.uint8),))
    return Job(frame, (side, side), arrived=time.monotonic() - age)


def side_of(one: Job) -> int:
    return one.canvas[0]


def filled(jobs: list[Job], *, capacity: int = 100, batch: int = 4, delay: float = HOUR) -> BatchQueue:
    queue = BatchQueue(capacity, batch, delay)
    assert all(queue.put(each, timeout=0) for each in jobs)
    return queue


def taken(queue: BatchQueue) -> list[Job]:
    """What is handed out, and not only after an hour."""
    return in_thread(queue.take).result(timeout=WAIT)


def assert_waits(future: Future[list[Job]], seconds: float = 0.05) -> None:
    assert wait_for([future], timeout=seconds).not_done


def test_a_full_batch_waits_for_nobody() -> None:
    jobs = [job() for _ in range(9)]
    queue = filled(jobs)
    assert [taken(queue), taken(queue)] == [jobs[:4], jobs[4:8]]


def test_a_batch_that_is_not_full_waits_for_others() -> None:
    first, second = job(), job()
    queue = filled([first], batch=2)
    batch = in_thread(queue.take)
    assert_waits(batch)
    queue.put(second)
    assert batch.result(timeout=WAIT) == [first, second]


def test_a_batch_waits_no_longer_than_the_delay() -> None:
    one = job()
    queue = filled([one], delay=0.2)
    assert taken(queue) == [one]
    assert time.monotonic() - one.arrived >= 0.2


def test_the_delay_counts_from_the_first_ones_arrival() -> None:
    first, second = job(age=HOUR), job()
    assert taken(filled([first, second])) == [first, second]


def test_without_a_delay_those_that_are_there_are_taken() -> None:
    jobs = [job(), job()]
    assert taken(filled(jobs, delay=0)) == jobs


def test_another_size_ends_a_batch_which_cannot_grow_any_more() -> None:
    jobs = [job(8), job(8), job(16), job(8)]
    queue = filled(jobs)
    assert [taken(queue), taken(queue)] == [jobs[:2], jobs[2:3]]
    assert_waits(last := in_thread(queue.take))
    queue.close()
    assert last.result(timeout=WAIT) == jobs[3:]


def test_a_full_queue_ends_a_batch_which_cannot_grow_any_more() -> None:
    jobs = [job(), job()]
    assert taken(filled(jobs, capacity=2, batch=4)) == jobs


def test_a_closed_queue_ends_a_batch_and_then_hands_out_nothing() -> None:
    jobs = [job(), job()]
    queue = filled(jobs)
    batch = in_thread(queue.take)
    assert_waits(batch)
    queue.close()
    assert batch.result(timeout=WAIT) == jobs
    assert taken(queue) == taken(queue) == []


def test_closing_ends_the_wait_for_a_first_job() -> None:
    queue = filled([])
    batch = in_thread(queue.take)
    assert_waits(batch)
    queue.close()
    assert batch.result(timeout=WAIT) == []


def test_a_full_queue_lets_nobody_in_in_time() -> None:
    queue = filled([job(), job()], capacity=2)
    started = time.monotonic()
    assert not queue.put(job(), timeout=0.1)
    assert time.monotonic() - started >= 0.1
    assert not queue.put(job(), timeout=0)
    assert not queue.put(job(), timeout=-1)


def test_room_lets_one_in_who_waits_for_it() -> None:
    jobs = [job(), job(), job()]
    queue = filled(jobs[:2], capacity=2)
    entry = in_thread(queue.put, jobs[2])
    assert wait_for([entry], timeout=0.05).not_done
    assert taken(queue) == jobs[:2]
    assert entry.result(timeout=WAIT)
    queue.close()
    assert taken(queue) == jobs[2:]


@pytest.mark.parametrize("end", ["close", "clear"])
def test_a_queue_that_ends_sends_those_away_who_wait_for_room(end: str) -> None:
    queue = filled([job()], capacity=1)
    entries = [in_thread(queue.put, job()) for _ in range(3)]
    assert len(wait_for(entries, timeout=0.05).not_done) == 3
    getattr(queue, end)()
    assert [entry.result(timeout=WAIT) for entry in entries] == [False] * 3
    assert not queue.put(job())


def test_clearing_gives_back_what_was_not_handed_out() -> None:
    jobs = [job() for _ in range(6)]
    queue = filled(jobs)
    assert taken(queue) == jobs[:4]
    assert queue.clear() == jobs[4:]
    assert queue.clear() == taken(queue) == []


def test_cancelled_jobs_are_left_out() -> None:
    jobs = [job() for _ in range(4)]
    assert jobs[0].future.cancel()
    assert jobs[2].future.cancel()
    assert taken(filled(jobs)) == [jobs[1], jobs[3]]
    assert all(each.future.running() for each in (jobs[1], jobs[3]))


def test_those_who_wait_for_cancelled_jobs_are_told() -> None:
    jobs = [job(), job()]
    queue = filled(jobs, batch=2)
    jobs[0].future.cancel()
    taken(queue)
    assert wait_for([jobs[0].future], timeout=WAIT).done
    with pytest.raises(CancelledError):
        jobs[0].future.result()


def test_a_batch_of_cancelled_jobs_alone_is_not_handed_out() -> None:
    jobs = [job() for _ in range(3)]
    queue = filled(jobs[:2], batch=2)
    for each in jobs[:2]:
        each.future.cancel()
    batch = in_thread(queue.take)
    assert_waits(batch)
    queue.put(jobs[2])
    queue.close()
    assert batch.result(timeout=WAIT) == jobs[2:]


class QueueMachine(RuleBasedStateMachine):
    """A queue beside a plain list; what is handed out is what the list says, job for job."""

    @initialize(capacity=st.integers(1, 6), batch=st.integers(1, 4), delay=st.sampled_from([0.0, HOUR]))
    def make(self, capacity: int, batch: int, delay: float) -> None:
        self.capacity, self.batch, self.delay = capacity, batch, delay
        self.queue = BatchQueue(capacity, batch, delay)
        self.waiting: list[Job] = []
        self.closed = False

    def next_group(self, waiting: list[Job]) -> list[Job]:
        """The jobs at the front that leave together; none if they do not leave yet."""
        group: list[Job] = []
        for each in waiting:
            if len(group) == self.batch or side_of(each) != side_of(waiting[0]):
                break
            group.append(each)
        grows = len(group) == len(waiting) < self.capacity and len(group) < self.batch and not self.closed
        return [] if grows and self.delay else group

    def next_taken(self) -> tuple[list[Job], int]:
        """Of the next batch its jobs, and how many leave with them or before them; none: it waits."""
        left = 0
        while group := self.next_group(self.waiting[left:]):
            left += len(group)
            if running := [each for each in group if not each.future.cancelled()]:
                return running, left
        return [], left

    def would_wait(self) -> bool:
        running, left = self.next_taken()
        return not running and not (self.closed and left == len(self.waiting))

    @rule(side=st.sampled_from([8, 16]))
    def put(self, side: int) -> None:
        one = job(side)
        has_room = len(self.waiting) < self.capacity and not self.closed
        assert self.queue.put(one, timeout=0) == has_room
        if has_room:
            self.waiting.append(one)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        assert data.draw(st.sampled_from(self.waiting)).future.cancel()

    @precondition(lambda self: not self.would_wait())
    @rule()
    def take(self) -> None:
        running, left = self.next_taken()
        assert taken(self.queue) == running
        assert all(each.future.running() for each in running)
        del self.waiting[:left]

    @rule()
    def close(self) -> None:
        self.queue.close()
        self.closed = True

    @rule()
    def clear(self) -> None:
        assert self.queue.clear() == self.waiting
        self.waiting, self.closed = [], True

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.close()
            while self.waiting:
                self.take()
            assert taken(self.queue) == []


QueueMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
test_a_queue_is_a_list_with_rules = QueueMachine.TestCase


SIDES = st.lists(st.sampled_from([8, 8, 8, 16]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    sources=st.lists(SIDES, min_size=1, max_size=4),
    capacity=st.integers(1, 5),
    batch=st.integers(1, 4),
    delay=st.sampled_from([0.0, 0.001, HOUR]),
    cancelled=st.integers(0, 4),
    early=st.booleans(),
)
def test_of_many_threads_nothing_is_lost_or_doubled_or_overtaken(
    sources: list[list[int]], capacity: int, batch: int, delay: float, cancelled: int, early: bool
) -> None:
    queue = BatchQueue(capacity, batch, delay)

    def produce(sides: list[int]) -> list[Job]:
        jobs = []
        for position, side in enumerate(sides):
            one = job(side)
            if not queue.put(one, timeout=WAIT):
                break
            jobs.append(one)
            if cancelled and position % cancelled == 0:
                one.future.cancel()  # unless it has left already
        return jobs

    def consume() -> list[list[Job]]:
        batches = []
        while found := queue.take():
            batches.append(found)
        return batches

    def start(sides: list[int]) -> Future[list[Job]]:
        return in_thread(produce, sides)

    consumer, producers = in_thread(consume), [start(sides) for sides in sources]
    if not early:
        produced = [producer.result(timeout=WAIT) for producer in producers]
        assert list(map(len, produced)) == list(map(len, sources))
    queue.close()
    produced = [producer.result(timeout=WAIT) for producer in producers]
    batches = consumer.result(timeout=WAIT)
    out = [one for found in batches for one in found]
    assert len(set(map(id, out))) == len(out)
    for jobs in produced:
        assert [one for one in out if one in jobs] == [one for one in jobs if not one.future.cancelled()]
    assert len(out) == sum(not one.future.cancelled() for jobs in produced for one in jobs)
    assert all(len(found) <= batch and len(set(map(side_of, found))) == 1 for found in batches)
