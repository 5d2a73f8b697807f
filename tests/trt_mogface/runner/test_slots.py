"""Slots of a runner do not wait for each other."""

from __future__ import annotations

from tests.support.fakes import FakeBackend, Gate, picture, result
from trt_mogface.runner import Runner


def test_a_slow_batch_in_one_slot_does_not_hold_up_the_other(backend: FakeBackend) -> None:
    """And its results still come first."""
    slow, order = Gate(), list[int]()

    def at_wait(numbers: list[int]) -> None:
        if numbers == [0]:
            slow(numbers)

    backend.at_wait = at_wait
    with Runner(slots=2, capacity=10) as runner:
        futures = [runner.submit(picture(number)) for number in range(6)]
        for future in futures:
            future.add_done_callback(lambda done: order.append(result(done)))
        assert [backend.next_submitted() for _ in futures] == [[number] for number in range(6)]
        assert order == []
        slow.open()
        assert [result(future) for future in futures] == list(range(6))
    assert order == list(range(6))
