"""The open loop against queueing theory: one server of constant service time, in simulated time."""

from __future__ import annotations

from concurrent.futures import Future
from itertools import pairwise

import pytest

from tests.support.clocks import Server
from tests.support.fakes import FakeBackend, Gate, picture
from tests.support.specs import one_line
from trt_mogface.bench.load import Load, RealClock, open_loop
from trt_mogface.errors import ArgumentError
from trt_mogface.runner import Runner

PLENTY = 10**9


def test_below_its_rate_a_server_answers_each_in_its_service_time() -> None:
    """D/D/1 with rho < 1: nobody waits."""
    server = Server(0.010)
    result = open_loop(server.submit, Load(80.0, 5.0, PLENTY), server)
    assert (result.count, result.rejected, result.failed) == (400, 0, 0)
    assert result.latency is not None
    assert (result.latency.min, result.latency.max) == pytest.approx((10.0, 10.0))
    assert (result.offered, result.achieved) == pytest.approx((80.0, 80.0), rel=0.01)
    assert result.lag == pytest.approx(0.0, abs=1e-6)


def test_beyond_its_rate_each_waits_longer_than_the_one_before() -> None:
    """D/D/1 with rho = 2: the n-th of 100 waits n times the service time less the distance of arrivals."""
    server = Server(0.010)
    result = open_loop(server.submit, Load(200.0, 0.5, PLENTY), server)
    assert result.latency is not None
    assert result.latency.max == pytest.approx(10.0 + 99 * 5.0)
    assert result.latency.mean == pytest.approx(10.0 + 49.5 * 5.0)
    assert result.achieved == pytest.approx(100.0)  # what it can


def test_a_full_queue_rejects_and_bounds_the_latency() -> None:
    """D/D/1/K: all places taken, the server goes on at its own rate, and a latency is K services at most."""
    server = Server(0.010)
    result = open_loop(server.submit, Load(200.0, 20.0, 5), server)
    assert result.count + result.rejected == 4000
    assert result.rejected / 4000 == pytest.approx(0.5, abs=0.01)
    assert result.latency is not None
    assert result.latency.max <= 50.0 + 1e-6
    assert result.latency.median > 40.0 - 1e-6
    assert result.achieved == pytest.approx(100.0, rel=0.01)


@pytest.mark.parametrize("utilization", [0.3, 0.7])
def test_random_arrivals_wait_as_pollaczek_and_khinchine_say(utilization: float) -> None:
    """M/D/1: the mean wait is rho / (2 (1 - rho)) services."""
    server = Server(0.010)
    result = open_loop(server.submit, Load(utilization / 0.010, 600.0, PLENTY, seed=1), server)
    assert result.latency is not None
    expected = 10.0 * (1 + utilization / (2 * (1 - utilization)))
    assert result.latency.mean == pytest.approx(expected, rel=0.03)


def test_a_generator_that_was_held_up_cannot_hide_it() -> None:
    """Ten arrivals fall into the second that it lost: they count from when they should have come."""
    server = Server(0.001)
    server.generator_stops_for = 1.0
    result = open_loop(server.submit, Load(10.0, 2.0, PLENTY), server)
    assert result.latency is not None
    assert result.lag == pytest.approx(1000.0)
    assert result.latency.max == pytest.approx(1001.0)
    assert result.latency.mean > 250.0  # counted from the submission it would be 1 ms


def test_failures_are_counted_and_have_no_latency() -> None:
    server = Server(0.010, fails_at=frozenset({0, 7}))
    result = open_loop(server.submit, Load(50.0, 1.0, PLENTY), server)
    assert (result.count, result.failed) == (48, 2)


def test_nothing_done_has_no_latency_and_not_a_zero() -> None:
    server = Server(0.010, fails_at=frozenset(range(100)))
    result = open_loop(server.submit, Load(50.0, 1.0, PLENTY), server)
    assert (result.count, result.failed, result.latency) == (0, 50, None)


def test_a_seed_gives_the_same_arrivals_again_and_about_the_requested_number() -> None:
    load = Load(100.0, 100.0, 1, seed=5)
    arrivals = list(load.arrivals())
    assert arrivals == list(load.arrivals())
    assert arrivals != list(Load(100.0, 100.0, 1, seed=6).arrivals())
    assert all(a < b for a, b in pairwise(arrivals))
    assert len(arrivals) == pytest.approx(10_000, abs=400)  # four standard deviations


def test_even_arrivals_do_not_drift() -> None:
    assert len(list(Load(1000 / 3, 300.0, 1).arrivals())) == 100_000


@pytest.mark.parametrize(
    ("rate", "duration", "queue", "named"),
    [
        (0.0, 1.0, 1, "rate"),
        (-5.0, 1.0, 1, "rate"),
        (float("nan"), 1.0, 1, "rate"),
        (float("inf"), 1.0, 1, "rate"),
        (5.0, 0.0, 1, "duration"),
        (5.0, 1.0, 0, "queue"),
    ],
)
def test_impossible_loads_are_refused(rate: float, duration: float, queue: int, named: str) -> None:
    with pytest.raises(ArgumentError) as refusal:
        Load(rate, duration, queue)
    assert refusal.value.argument == named
    assert one_line(refusal.value)


def test_a_rate_without_an_arrival_is_refused() -> None:
    server = Server(0.01)
    with pytest.raises(ArgumentError, match="no image arrives"):
        open_loop(server.submit, Load(1e-3, 1.0, 1, seed=0), server)


def test_images_that_never_finish_are_not_waited_for_forever() -> None:
    clock = Server(0.01)
    with pytest.raises(ArgumentError, match="3 images were not done"):
        open_loop(Future[int], Load(3.0, 1.0, PLENTY), clock, patience=5.0)


class Opening(RealClock):
    """The machine's clock, which opens a gate at the last of the arrivals."""

    def __init__(self, gate: Gate, arrivals: int) -> None:
        self._gate, self._left = gate, arrivals

    def wait_until(self, moment: float) -> None:
        super().wait_until(moment)
        self._left -= 1
        if self._left == 0:
            self._gate.open()


def test_a_runner_with_room_for_the_load_never_makes_its_generator_wait() -> None:
    """In real time: nothing comes out before the last has come, so that `submit` would wait if it could."""
    backend, gate = FakeBackend(), Gate()
    backend.at_wait = gate
    with Runner(backend, capacity=10, slots=1) as runner:
        load = Load(2000.0, 0.2, 10)
        result = open_loop(lambda: runner.submit(picture(1)), load, Opening(gate, 400))
    assert result.count in (10, 11)  # the last one comes as the gate opens
    assert result.count + result.rejected == 400
    assert result.failed == 0
    assert result.latency is not None
    assert result.latency.max >= 190.0  # the first one waited for all that time
