"""What fails, and what does not fail with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.fakes import (
    WAIT,
    FakeBackend,
    Gate,
    Hook,
    error_of,
    in_thread,
    numbers_of,
    picture,
    pictures,
    result,
)
from tests.support.specs import one_line
from trt_mogface.backends.base import Outputs
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.errors import (
    CudaError,
    EngineError,
    ImageError,
    KernelError,
    ModelError,
    OutOfMemoryError,
    RunnerError,
)
from trt_mogface.runner import Runner

STAGES = ["at_submit", "at_wait"]
HARMLESS: list[Callable[[], Exception]] = [
    lambda: ModelError("the network failed"),
    lambda: OutOfMemoryError("GPU memory", 2, 1),
    lambda: EngineError("outside the profile"),
    lambda: KernelError("launch refused"),
]
FATAL: list[Callable[[], Exception]] = [
    lambda: CudaError("an illegal memory access was encountered"),
    lambda: RuntimeError("what nobody thought of\nin two lines"),
    lambda: MemoryError(),
    lambda: AssertionError("a slot submitted twice"),
]


def fails_with(error: Exception, number: int) -> Hook:
    """Where batches with this number fail."""

    def hook(numbers: list[int]) -> None:
        if number in numbers:
            raise error

    return hook


UNUSABLE: list[Any] = [
    None,
    "photo.jpg",
    np.zeros((8, 8), np.uint8),
    np.zeros((8, 8, 4), np.uint8),
    np.zeros((0, 8, 3), np.uint8),
    np.zeros((8, 8, 3), np.float32),
]


def test_a_picture_that_cannot_be_used_fails_its_own_future_alone(echo: Path) -> None:
    with Runner(echo, pad=False, threads=1, batch=4, max_delay_ms=50) as runner:
        bad, good = [], []
        for number, thing in enumerate(UNUSABLE):
            bad.append(runner.submit(thing))
            good.append(runner.submit(picture(number)))
        assert [result(future) for future in good] == list(range(len(UNUSABLE)))
        for future in bad:
            error = error_of(future)
            assert isinstance(error, ImageError)
            one_line(error)
        stats = runner.stats()
    assert (stats.frames, stats.failed) == (len(UNUSABLE), len(UNUSABLE))


def test_a_picture_that_cannot_be_used_needs_no_room(backend: FakeBackend, gate: Gate) -> None:
    with Runner(slots=1, capacity=1) as runner:
        running = runner.submit(picture(0))
        assert backend.next_submitted() == [0]
        waiting = runner.submit(picture(1))
        assert isinstance(error_of(runner.submit(UNUSABLE[0], timeout=0)), ImageError)
        gate.open()
        assert [result(running), result(waiting)] == [0, 1]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("make", HARMLESS, ids=lambda make: type(make()).__name__)
def test_a_batch_that_fails_takes_its_own_pictures_along_and_no_others(
    backend: FakeBackend, stage: str, make: Callable[[], Exception]
) -> None:
    error = make()
    setattr(backend, stage, fails_with(error, 4))
    with Runner(batch=3, max_delay_ms=3.6e6, capacity=20) as runner:
        futures = [runner.submit(picture(number)) for number in range(9)]
        assert [error_of(future) for future in futures[3:6]] == [error] * 3
        assert [result(future) for future in futures[:3] + futures[6:]] == [0, 1, 2, 6, 7, 8]
        stats = runner.stats()
    assert (stats.frames, stats.failed) == (6, 3)


def test_a_slot_is_used_again_after_each_failure(backend: FakeBackend) -> None:
    backend.at_submit = fails_with(ModelError("begin"), 0)
    backend.at_wait = fails_with(ModelError("end"), 1)
    with Runner(slots=2) as runner:
        for _ in range(10):
            for number in (0, 1):
                assert isinstance(error_of(runner.submit(picture(number))), ModelError)
            assert result(runner.submit(picture(2))) == 2


def test_a_network_that_fails_for_one_batch_runs_the_next(
    echo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, runs = OnnxNetwork.run, []

    def run(self: OnnxNetwork, images: NDArray[np.uint8]) -> Outputs:
        runs.append(len(images))
        return plain(self, images if len(runs) != 2 else images.astype(np.float32))

    monkeypatch.setattr(OnnxNetwork, "run", run)
    options: dict[str, Any] = {"pad": False, "threads": 1, "slots": 1}  # one slot, and so in order
    with Runner(echo, batch=2, max_delay_ms=3.6e6, capacity=20, **options) as runner:
        futures = [runner.submit(picture(number)) for number in range(6)]
        for future in futures[2:4]:
            error = error_of(future)
            assert isinstance(error, ModelError)
            assert "the network failed" in one_line(error)
        assert [result(future) for future in futures[:2] + futures[4:]] == [0, 1, 4, 5]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("make", FATAL, ids=lambda make: type(make()).__name__)
def test_what_nothing_can_run_after_breaks_the_runner(
    backend: FakeBackend, stage: str, make: Callable[[], Exception]
) -> None:
    cause, gate = make(), Gate()

    def fail(numbers: list[int]) -> None:
        gate(numbers)
        raise cause

    setattr(backend, stage, fail)
    runner = Runner(slots=1, batch=2, capacity=4)
    failed = runner.submit(picture(0))
    assert backend.next_submitted() == [0]
    waiting = [runner.submit(picture(number)) for number in range(1, 5)]
    cancelled = waiting[1].cancel()
    blocked = [in_thread(runner.submit, picture(9)) for _ in range(3)]
    assert len(wait_for(blocked, timeout=0.05).not_done) == 3
    gate.open()
    assert error_of(failed) is cause
    assert cancelled
    told: list[Future[Any]] = [waiting[0], *waiting[2:], *blocked]
    for future in told:
        assert_broken(error_of(future), cause)
    for _ in range(2):
        with pytest.raises(RunnerError) as error:
            runner.submit(picture(5))
        assert_broken(error.value, cause)
        with pytest.raises(RunnerError) as error:
            list(runner.map(pictures(range(5))))
        assert_broken(error.value, cause)
    assert runner.stats().failed == 4
    runner.close()
    assert backend.closes == 1
    with pytest.raises(RunnerError, match="closed"):
        runner.submit(picture(5))


def assert_broken(error: BaseException, cause: Exception) -> None:
    assert isinstance(error, RunnerError)
    assert "open a new one" in one_line(error)
    assert error.__cause__ is cause


def test_a_break_in_a_with_block_ends_it(backend: FakeBackend) -> None:
    backend.at_wait = fails_with(CudaError("lost"), 30)

    def work() -> None:
        with Runner(batch=2) as runner:
            list(runner.map(pictures(range(1000))))

    assert isinstance(error_of(in_thread(work)), (CudaError, RunnerError))
    assert backend.closes == 1


def test_batches_on_their_way_when_it_breaks_are_not_lost(backend: FakeBackend) -> None:
    """Of two slots the first one fails while the second one runs."""
    gates = {0: Gate(), 1: Gate()}

    def end(numbers: list[int]) -> None:
        gates[numbers[0]](numbers)
        if numbers == [0]:
            raise CudaError("lost")

    backend.at_wait = end
    with Runner(slots=2) as runner:
        futures = [runner.submit(picture(number)) for number in (0, 1)]
        assert [backend.next_submitted(), backend.next_submitted()] == [[0], [1]]
        gates[0].open()
        assert isinstance(error_of(futures[0]), CudaError)
        gates[1].open()
        assert result(futures[1]) == 1


def test_the_first_cause_is_told(backend: FakeBackend) -> None:
    def end(numbers: list[int]) -> None:
        raise CudaError(f"of {numbers[0]}")

    gate = Gate()
    backend.at_submit, backend.at_wait = gate, end
    with Runner(slots=2) as runner:
        futures = [runner.submit(picture(number)) for number in (0, 1)]
        gate.open()
        errors = [str(error_of(future)) for future in futures]
        assert errors[0] == "of 0"
        with pytest.raises(RunnerError, match="of 0"):
            runner.submit(picture(2))


def test_the_real_backend_breaks_it_too(echo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cause = ZeroDivisionError("a mistake in this project")

    def run(*_: object) -> Outputs:
        raise cause

    monkeypatch.setattr(OnnxNetwork, "run", run)
    with Runner(echo, pad=False, threads=1) as runner:
        assert error_of(runner.submit(picture(0))) is cause
        with pytest.raises(RunnerError) as error:
            runner.submit(picture(0))
        assert_broken(error.value, cause)


def test_a_callback_that_fails_is_its_own_affair(backend: FakeBackend) -> None:
    called = threading.Event()

    def callback(_: object) -> None:
        called.set()
        raise ZeroDivisionError

    with Runner(slots=1) as runner:
        backend.at_wait = Gate()
        future = runner.submit(picture(0))
        future.add_done_callback(callback)
        backend.at_wait.open()
        assert result(future) == 0
        assert called.wait(timeout=WAIT)
        assert numbers_of(runner.map(pictures(range(9)))) == list(range(9))
