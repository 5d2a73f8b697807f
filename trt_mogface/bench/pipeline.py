"""Closed loop through `trt_mogface.runner.Runner`: images to detections, with all slots busy."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from trt_mogface.bench.measurement import Measurement, MeasureOptions, check_fits
from trt_mogface.bench.sources import Source
from trt_mogface.detections import Detections
from trt_mogface.runner import Runner, Stage


@dataclass(frozen=True)
class PipelineResult:
    """Result of a closed loop through a runner.

    Attributes:
        measurement: Throughput, and the latency of an image from the request to its source (decoding
            included) to its detections.
        stages: Mean milliseconds of each stage, see `trt_mogface.runner.Stats`.
        faces: Number of faces found in all images.
        dropped: Number of candidates that were not finite; above 0 the model is broken.
    """

    measurement: Measurement
    stages: dict[str, float]
    faces: int
    dropped: int


class _Pass(NamedTuple):
    milliseconds: list[float]
    faces: int
    dropped: int
    seconds: float


def measure_pipeline(
    runner: Runner, source: Source, batch: int, slots: int, options: MeasureOptions
) -> PipelineResult:
    """Keep all slots busy with full batches, and one more batch waiting.

    The clock runs until the last image's detections arrive; the source is read in this thread.

    Args:
        runner: Runner, opened with ``measure=True`` to get `PipelineResult.stages`.
        source: Images.
        batch, slots: Options of the runner.
        options: Length of the measurement; iterations are batches.
    """
    in_flight = batch * (slots + 1)
    warm = _pump(runner, source, in_flight, options.warm_up, batch, batch)
    check_fits(warm.seconds * batch / len(warm.milliseconds), options)
    before = runner.stats().stages
    done = _pump(runner, source, in_flight, options.duration, options.iterations * batch, batch)
    measurement = Measurement.of(done.milliseconds, done.seconds, len(done.milliseconds))
    return PipelineResult(measurement, _means(before, runner.stats().stages), done.faces, done.dropped)


def _pump(runner: Runner, source: Source, in_flight: int, seconds: float, least: int, batch: int) -> _Pass:
    """Submit at least `least` images, in full batches: others would wait until they time out."""
    pending: deque[Future[Detections]] = deque()
    milliseconds: list[float] = []
    faces = dropped = submitted = 0
    begun = time.perf_counter()
    try:
        while submitted < least or submitted % batch or time.perf_counter() < begun + seconds:
            requested = time.perf_counter()
            future = runner.submit(next(source))
            # Timed in the callback: this thread may be decoding when the detections arrive.
            future.add_done_callback(lambda _, at=requested: milliseconds.append(_since(at)))  # type: ignore[misc]
            pending.append(future)
            submitted += 1
            while len(pending) >= in_flight:
                found = pending.popleft().result()
                faces, dropped = faces + len(found), dropped + found.dropped
        while pending:
            found = pending.popleft().result()
            faces, dropped = faces + len(found), dropped + found.dropped
    finally:
        for unfinished in pending:
            unfinished.cancel()
    # Callbacks run after the waiting thread is woken, so the last of them may be outstanding.
    while len(milliseconds) < submitted:
        time.sleep(1e-4)
    return _Pass(milliseconds, faces, dropped, time.perf_counter() - begun)


def _since(moment: float) -> float:
    return (time.perf_counter() - moment) * 1e3


def _means(before: Mapping[str, Stage], after: Mapping[str, Stage]) -> dict[str, float]:
    """Return the mean of each stage between two states, so that the warm-up does not count."""
    means = {}
    for name, stage in after.items():
        count, total = (before[name].count, before[name].sum) if name in before else (0, 0.0)
        if stage.count > count:
            means[name] = (stage.sum - total) / (stage.count - count)
    return means
