"""Pictures to faces through `trt_mogface.runner.Runner`, as many in flight as keep it busy."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from trt_mogface.bench.measurement import Measurement, Settings, check_fits
from trt_mogface.bench.sources import Source
from trt_mogface.detections import Detections
from trt_mogface.runner import Runner, Stage


@dataclass(frozen=True)
class Passage:
    """What went through.

    Attributes:
        measurement: Its latency is a picture's, from being asked of its source (decoding included) to its
            faces being there.
        stages: Mean milliseconds of each stage, see `trt_mogface.runner.Stats`.
        faces: Found in all.
    """

    measurement: Measurement
    stages: dict[str, float]
    faces: int


class _Done(NamedTuple):
    milliseconds: list[float]
    faces: int
    seconds: float


def drive(runner: Runner, source: Source, batch: int, slots: int, settings: Settings) -> Passage:
    """Keep all slots busy with full batches, and one more waiting, for so long.

    The clock runs until the last picture's faces are there; the source is read in this thread.

    Args:
        runner: Made with ``measure=True``, or there are no stages.
        source: Pictures.
        batch, slots: The runner's.
        settings: How long; its iterations are batches.

    Raises:
        UsageError: One batch takes longer than the measurement.
        MogFaceError: Of the source or the network.
    """
    in_flight = batch * (slots + 1)
    warm = _pump(runner, source, in_flight, settings.warm_up, batch, batch)
    check_fits(warm.seconds * batch / len(warm.milliseconds), settings)
    before = runner.stats().stages
    done = _pump(runner, source, in_flight, settings.duration, settings.iterations * batch, batch)
    count = len(done.milliseconds)
    measurement = Measurement.of(done.milliseconds, done.seconds, count)
    return Passage(measurement, _means(before, runner.stats().stages), done.faces)


def _pump(runner: Runner, source: Source, in_flight: int, seconds: float, least: int, batch: int) -> _Done:
    """At least so many pictures, and no batch that is not full, which would wait for the rest of it."""
    pending: deque[Future[Detections]] = deque()
    milliseconds: list[float] = []
    faces = given = 0
    begun = time.perf_counter()
    try:
        while given < least or given % batch or time.perf_counter() < begun + seconds:
            asked = time.perf_counter()
            future = runner.submit(next(source))
            # Taken when the faces are there: this thread may be decoding then.
            future.add_done_callback(lambda _, at=asked: milliseconds.append(_since(at)))  # type: ignore[misc]
            pending.append(future)
            given += 1
            while len(pending) >= in_flight:
                faces += len(pending.popleft().result())
        while pending:
            faces += len(pending.popleft().result())
    finally:
        for future in pending:
            future.cancel()
    # Callbacks run after whoever waits for the result is woken; the last of them may still be to come.
    while len(milliseconds) < given:
        time.sleep(1e-4)
    return _Done(milliseconds, faces, time.perf_counter() - begun)


def _since(moment: float) -> float:
    return (time.perf_counter() - moment) * 1e3


def _means(before: Mapping[str, Stage], after: Mapping[str, Stage]) -> dict[str, float]:
    """Of what came between the two, so that the warm-up does not count."""
    means = {}
    for name, stage in after.items():
        count, total = (before[name].count, before[name].sum) if name in before else (0, 0.0)
        if stage.count > count:
            means[name] = (stage.sum - total) / (stage.count - count)
    return means
