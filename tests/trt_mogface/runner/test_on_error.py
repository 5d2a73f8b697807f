"""`Runner.map(..., on_error="yield")`: a failure takes the place of its image, and the loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.fakes import WAIT, FakeBackend, number_of, picture
from tests.support.specs import one_line
from trt_mogface import Detections
from trt_mogface.errors import ArgumentError, CudaError, ImageError, ModelError, RunnerError
from trt_mogface.runner import Runner

BAD = np.zeros((8, 8, 3), np.float32)
"""An image of a type that no network takes."""


@pytest.fixture
def failing(backend: FakeBackend) -> FakeBackend:
    """A network that fails for the image of number 3."""

    def at_wait(numbers: list[int]) -> None:
        if 3 in numbers:
            raise ModelError("fake.onnx: the network failed")

    backend.at_wait = at_wait
    return backend


def shown(found: Any) -> list[object]:
    """Numbers of images, and types of failures."""
    return [number_of(each) if isinstance(each, Detections) else type(each) for each in found]


IMAGES: list[Any] = [picture(0), BAD, picture(3), picture(5), "photo.jpg", picture(6)]
EXPECTED = [0, ImageError, ModelError, 5, ImageError, 6]


@pytest.mark.usefixtures("failing")
def test_failures_are_yielded_in_their_places() -> None:
    with Runner(batch=1) as runner:
        assert shown(runner.map(IMAGES, on_error="yield")) == EXPECTED
        stats = runner.stats()
    assert (stats.frames, stats.failed) == (3, 3)


@pytest.mark.usefixtures("failing")
def test_the_same_in_an_event_loop() -> None:
    async def images() -> AsyncIterator[Any]:
        for image in IMAGES:
            yield image

    async def collect() -> list[Any]:
        with Runner(batch=1) as runner:
            return [each async for each in runner.map(images(), on_error="yield")]

    assert shown(asyncio.run(asyncio.wait_for(collect(), WAIT))) == EXPECTED


@pytest.mark.usefixtures("failing")
def test_by_default_the_first_failure_ends_the_loop() -> None:
    with Runner(batch=1) as runner:
        found = iter(runner.map([picture(0), picture(3), picture(1)]))
        assert number_of(next(found)) == 0
        with pytest.raises(ModelError):
            next(found)
        assert number_of(runner.submit(picture(1)).result(WAIT)) == 1  # the runner goes on


@pytest.mark.usefixtures("backend")
def test_a_source_that_fails_is_raised_after_the_images_before() -> None:
    def images() -> Iterator[Any]:
        yield picture(0)
        yield BAD
        raise OSError("the camera is gone")

    with Runner(batch=1) as runner:
        found = iter(runner.map(images(), on_error="yield"))
        assert shown([next(found), next(found)]) == [0, ImageError]
        with pytest.raises(OSError, match="the camera is gone"):
            next(found)


@pytest.mark.parametrize("error", [CudaError("the GPU is lost"), ZeroDivisionError("a bug")])
def test_what_breaks_the_runner_is_raised(backend: FakeBackend, error: Exception) -> None:
    def at_wait(_: object) -> None:
        raise error

    backend.at_wait = at_wait
    with Runner(batch=1) as runner, pytest.raises((type(error), RunnerError)):
        list(runner.map([picture(0), picture(1), picture(2)], on_error="yield"))


@pytest.mark.usefixtures("backend")
def test_a_closed_runner_is_raised() -> None:
    runner = Runner(batch=1)
    runner.close()
    with pytest.raises(RunnerError):
        list(runner.map([picture(0)], on_error="yield"))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("value", ["skip", "", None, True])
def test_other_ways_are_refused_at_once(value: Any) -> None:
    with Runner(batch=1) as runner, pytest.raises(ArgumentError) as error:
        runner.map([picture(0)], on_error=value)
    assert "on_error" in one_line(error.value)
