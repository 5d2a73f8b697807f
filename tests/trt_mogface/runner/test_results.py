"""What comes out: the same faces as from `Detector`, in the order of each source."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.fakes import (
    WAIT,
    Picture,
    in_thread,
    number_of,
    numbers_of,
    picture,
    pictures,
    result,
    stream,
)
from tests.trt_mogface.test_detector import assert_same
from trt_mogface import Detections, Detector
from trt_mogface.runner import Runner


@pytest.fixture(scope="module")
def photos(group: Picture, portrait: Picture) -> list[Picture]:
    """Crops of two photos, of a few sizes in turn, most with faces."""
    crops = []
    for number in range(12):
        image = cv2.resize((group, portrait)[number % 2], (400, 300)).astype(np.uint8)
        size = [(256, 320), (256, 320), (200, 310), (300, 200)][number % 4]
        crops.append(np.roll(image, 8 * number, axis=1)[: size[0], : size[1]])
    return crops


@pytest.fixture(scope="module")
def expected(photos: list[Picture]) -> list[Detections]:
    with Detector(threads=1) as detect:
        found = [detect(photo) for photo in photos]
    assert sum(map(len, found)) >= len(photos)
    return found


def assert_all_same(found: list[Detections], expected: list[Detections]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert_same(one, other)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch": 4, "max_delay_ms": 20},
        {"batch": 3, "slots": 1, "capacity": 1},
        {"batch": 2, "slots": 4, "capacity": 50, "measure": True},
    ],
    ids=str,
)
def test_faces_equal_the_detectors_in_order(
    photos: list[Picture], expected: list[Detections], options: dict[str, Any]
) -> None:
    with Runner(threads=1, **options) as runner:
        assert_all_same(list(runner.map(photos)), expected)
        futures = [runner.submit(photo) for photo in photos]
        assert_all_same([future.result(timeout=WAIT) for future in futures], expected)


@pytest.mark.parametrize(
    "options", [{"size": (320, 256)}, {"pad": False, "conf": 0.3, "max_det": 2}], ids=str
)
def test_options_mean_what_they_mean_to_a_detector(photos: list[Picture], options: dict[str, Any]) -> None:
    with Detector(threads=1, **options) as detect, Runner(threads=1, batch=4, **options) as runner:
        assert_all_same(list(runner.map(photos)), [detect(photo) for photo in photos])
        assert runner.info == detect.info


def test_several_sources_each_get_their_own_in_order(
    photos: list[Picture], expected: list[Detections]
) -> None:
    orders = [np.random.default_rng(seed).permutation(len(photos)) for seed in range(4)]
    with Runner(threads=1, batch=4, max_delay_ms=5) as runner:
        runs = [in_thread(list, runner.map([photos[index] for index in order])) for order in orders]
        for order, found in zip(orders, runs):
            assert_all_same(found.result(timeout=WAIT), [expected[index] for index in order])


def test_many_sources_of_many_pictures_each_get_their_own_in_order(echo: Path) -> None:
    sources = [range(start, start + 300) for start in range(0, 8000, 1000)]
    with Runner(echo, pad=False, threads=1, batch=8, max_delay_ms=1) as runner:
        runs = [in_thread(stream, runner, numbers) for numbers in sources]
        for numbers, found in zip(sources, runs):
            assert found.result(timeout=WAIT) == list(numbers)
        assert runner.stats().frames == sum(map(len, sources))


def test_mixed_sizes_of_many_sources_stay_in_order(echo: Path) -> None:
    sizes = [(8, 8), (16, 8), (8, 8), (24, 40)]

    def source(start: int) -> Iterator[Picture]:
        return (picture(start + n, *size) for n, size in zip(range(200), itertools.cycle(sizes)))

    with Runner(echo, pad=False, threads=1, batch=8) as runner:
        runs = [in_thread(list, runner.map(source(start))) for start in range(0, 4000, 1000)]
        for number, run in enumerate(runs):
            found = run.result(timeout=WAIT)
            assert numbers_of(found) == list(range(1000 * number, 1000 * number + 200))
            assert [faces.image_size for faces in found[:4]] == sizes


def test_futures_of_one_source_are_its_pictures(echo: Path) -> None:
    with Runner(echo, pad=False, threads=1, batch=8) as runner:
        futures = [runner.submit(picture(number)) for number in range(500)]
        assert [result(future) for future in futures] == list(range(500))


def test_an_array_of_pictures_is_a_source(echo: Path) -> None:
    with Runner(echo, pad=False, threads=1, batch=2) as runner:
        assert numbers_of(runner.map(np.stack(list(pictures(range(5)))))) == list(range(5))


def test_no_pictures_give_no_faces(echo: Path) -> None:
    with Runner(echo, threads=1) as runner:
        assert list(runner.map([])) == []


def test_the_event_loop_gets_the_same(photos: list[Picture], expected: list[Detections]) -> None:
    async def source() -> AsyncIterator[Picture]:
        for photo in photos:
            await asyncio.sleep(0)
            yield photo

    async def collect(runner: Runner) -> list[list[Detections]]:
        async def each(frames: Any) -> list[Detections]:
            return [faces async for faces in runner.map(frames)]

        return list(await asyncio.gather(each(source()), each(photos), each(iter(photos))))

    with Runner(threads=1, batch=4) as runner:
        for found in asyncio.run(asyncio.wait_for(collect(runner), WAIT)):
            assert_all_same(found, expected)


def test_the_pictures_are_the_callers(echo: Path) -> None:
    image = picture(7)
    image.flags.writeable = False
    with Runner(echo, pad=False, threads=1, batch=2) as runner:
        assert result(runner.submit(image)) == 7
        assert number_of(runner.submit(image[::-1, ::-1][::-1, ::-1]).result(timeout=WAIT)) == 7
    assert np.array_equal(image, picture(7))
