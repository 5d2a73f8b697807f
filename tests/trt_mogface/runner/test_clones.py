"""One `Detector` of several threads, and its clones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.fakes import (
    WAIT,
    FakeBackend,
    Picture,
    error_of,
    in_thread,
    number_of,
    numbers_of,
    picture,
    pictures,
)
from tests.trt_mogface.test_detector import assert_same
from trt_mogface import Detections, Detector
from trt_mogface import detector as detector_module
from trt_mogface.errors import EngineError, ModelError, RunnerError


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """What every detector of the test runs on."""
    fake = FakeBackend()
    monkeypatch.setattr(detector_module, "open_backend", lambda *_, **__: fake)
    return fake


@pytest.fixture(scope="module")
def detect() -> Iterator[Detector]:
    with Detector(threads=1) as detector:
        detector(np.zeros((32, 32, 3), np.uint8))  # starts its thread
        yield detector


def test_clones_have_slots_of_their_own_and_one_model(shared: FakeBackend) -> None:
    with Detector() as detector, detector.clone() as one, one.clone() as other:
        assert len(shared.slots) == 3
        for number, each in enumerate((detector, one, other)):
            assert number_of(each(picture(number))) == number
        assert one.info == detector.info
    assert shared.closes == 1
    assert [slot.closes for slot in shared.slots] == [1, 1, 1]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_closing_one_leaves_the_others_usable_and_the_last_closes_the_model(
    shared: FakeBackend, order: tuple[int, ...]
) -> None:
    first = Detector()
    detectors = [first, first.clone(), first.clone()]
    for position, index in enumerate(order):
        detectors[index].close()
        detectors[index].close()
        assert shared.closes == (position == 2)
        for left in order[position + 1 :]:
            assert number_of(detectors[left](picture(left))) == left
        with pytest.raises(RunnerError, match="closed"):
            detectors[index](picture(0))
        with pytest.raises(RunnerError, match="closed"):
            detectors[index].clone()


def test_a_clone_without_room_leaves_the_detector_as_it_is(
    shared: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise EngineError("queue was full")

    with Detector() as detector:
        with monkeypatch.context() as patch:
            patch.setattr(shared, "slot", no_room)
            with pytest.raises(EngineError):
                detector.clone()
        assert number_of(detector(picture(5))) == 5
        assert shared.closes == 0
    assert shared.closes == 1


def test_a_detector_without_room_closes_its_model(
    shared: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise EngineError("queue was full")

    monkeypatch.setattr(shared, "slot", no_room)
    with pytest.raises(EngineError):
        Detector()
    assert shared.closes == 1


def test_a_clone_outlives_the_detector_it_was_made_of(echo: Path) -> None:
    detector = Detector(echo, pad=False, threads=1)
    twin = detector.clone()
    detector.close()
    assert number_of(twin(picture(4))) == 4
    twin.close()


@pytest.mark.usefixtures("shared")
def test_calls_from_several_threads_take_turns() -> None:
    """The slot fails where a batch begins before the last one's end."""
    barrier = threading.Barrier(6)

    def call(start: int) -> list[int]:
        barrier.wait(timeout=WAIT)
        return [number_of(detector(picture(start + number))) for number in range(100)]

    with Detector() as detector:
        calls = [in_thread(call, start) for start in range(0, 600, 100)]
        for start, numbers in zip(range(0, 600, 100), calls):
            assert numbers.result(timeout=WAIT) == list(range(start, start + 100))


def test_lists_from_several_threads_are_not_mixed_up(echo: Path) -> None:
    def call(start: int) -> bool:
        sizes = [(8, 8), (16, 8), (8, 8), (8, 24)] * 3
        images = [picture(start + number, *size) for number, size in enumerate(sizes)]
        return all(numbers_of(detector(images)) == list(range(start, start + 12)) for _ in range(20))

    with Detector(echo, pad=False, threads=1) as detector:
        calls = [in_thread(call, start) for start in range(0, 600, 100)]
        assert all(done.result(timeout=WAIT) for done in calls)


def test_a_call_that_fails_lets_the_next_one_in(shared: FakeBackend) -> None:
    def fail(numbers: list[int]) -> None:
        if numbers == [7]:
            raise ModelError("the network failed")

    def call(number: int) -> int:
        return number_of(detector(picture(number)))

    shared.at_wait = fail
    with Detector() as detector:
        calls = [in_thread(call, number) for number in (7, 8, 7, 9)]
        assert isinstance(error_of(calls[0]), ModelError)
        assert isinstance(error_of(calls[2]), ModelError)
        assert [calls[1].result(timeout=WAIT), calls[3].result(timeout=WAIT)] == [8, 9]


@pytest.fixture(scope="module")
def crops(group: Picture) -> list[Picture]:
    return [np.roll(group, 40 * number, axis=1)[200:456, 300:620] for number in range(6)]


def test_clones_in_several_threads_find_the_same_faces(detect: Detector, crops: list[Picture]) -> None:
    def find() -> list[Detections]:
        with detect.clone() as twin:
            return [twin(crop) for crop in crops]

    expected = [detect(crop) for crop in crops]
    assert sum(map(len, expected)) > 0
    for found in [in_thread(find) for _ in range(4)]:
        for one, other in zip(found.result(timeout=WAIT), expected):
            assert_same(one, other, tolerance=0)


def test_one_detector_in_several_threads_finds_the_same_faces(detect: Detector, crops: list[Picture]) -> None:
    expected = [detect(crop) for crop in crops]
    for found in [in_thread(detect, crops) for _ in range(4)]:
        for one, other in zip(found.result(timeout=WAIT), expected):
            assert_same(one, other)


@pytest.mark.usefixtures("shared")
def test_a_clone_takes_a_sequence_too() -> None:
    with Detector() as detector, detector.clone() as twin:
        assert numbers_of(twin(list(pictures(range(5))))) == list(range(5))
        assert twin([]) == []
