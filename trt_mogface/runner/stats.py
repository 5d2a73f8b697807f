"""`Stats` of a runner: counts, and times by stage."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trt_mogface._optional import require

if TYPE_CHECKING:
    from trt_mogface.runner.batching import Job

KEPT = 4096
"""Number of latest times of a stage that quantiles are computed from."""

QUEUE, RUN, TOTAL = "queue", "run", "total"
"""Stages of an image: from submission to its slot; in the slot; both."""


@dataclass(frozen=True)
class Stage:
    """Times of one stage in milliseconds.

    Attributes:
        count: Number of measurements.
        sum: Sum of all measurements.
        median, p99: Quantiles of the latest `KEPT` measurements.
    """

    count: int
    sum: float
    median: float
    p99: float


@dataclass(frozen=True)
class Stats:
    """Counts of a runner since it was opened.

    Attributes:
        frames: Images whose detections were delivered.
        failed: Images that failed.
        batches: Runs of the network.
        stages: Times by stage; empty unless the runner measures.
    """

    frames: int
    failed: int
    batches: int
    stages: dict[str, Stage] = field(default_factory=dict)

    def prometheus(self) -> str:
        """Return the counts in Prometheus' text format.

        Raises:
            MissingExtraError: If prometheus-client is not installed.
        """
        core = require("prometheus_client.core", extra="metrics")
        exposition = require("prometheus_client.exposition", extra="metrics")
        registry = require("prometheus_client.registry", extra="metrics").CollectorRegistry()
        prefix = "trt_mogface_"
        counter = core.CounterMetricFamily
        families = [
            counter(prefix + "frames", "Images whose detections were delivered", value=self.frames),
            counter(prefix + "failed", "Images that failed", value=self.failed),
            counter(prefix + "batches", "Runs of the network", value=self.batches),
        ]
        text = "Time of a stage of the pipeline"
        times = core.SummaryMetricFamily(prefix + "stage_seconds", text, labels=["stage"])
        for name, stage in self.stages.items():
            times.add_metric([name], stage.count, stage.sum / 1e3)

        class Collector:
            def collect(self) -> list[object]:
                return [*families, times]

        registry.register(Collector())
        exposed: bytes = exposition.generate_latest(registry)
        return exposed.decode()


class Counters:
    """Counters behind `Stats`, for several threads; times of images are kept only to `measure`."""

    def __init__(self, *, measure: bool) -> None:
        self.measures = measure
        self._lock = threading.Lock()
        self._frames = self._failures = self._batches = 0
        self._times: dict[str, deque[float]] = {}
        self._totals: dict[str, tuple[int, float]] = {}

    def batch(self, jobs: Sequence[Job], started: float, finished: float) -> None:
        """Count a delivered batch that had its slot from `started` to `finished`, in monotonic seconds."""
        with self._lock:
            self._frames += len(jobs)
            self._batches += 1
        if self.measures:
            self.add(RUN, (finished - started) * 1e3)
            for job in jobs:
                self.add(QUEUE, (started - job.arrived) * 1e3)
                self.add(TOTAL, (finished - job.arrived) * 1e3)

    def failed(self, count: int) -> None:
        """Count images that failed."""
        with self._lock:
            self._failures += count

    def add(self, stage: str, milliseconds: float) -> None:
        """Add the time of a stage."""
        with self._lock:
            self._times.setdefault(stage, deque(maxlen=KEPT)).append(milliseconds)
            count, total = self._totals.get(stage, (0, 0.0))
            self._totals[stage] = count + 1, total + milliseconds

    def stats(self) -> Stats:
        """Return all counts and times up to now."""
        with self._lock:
            stages = {
                name: Stage(*self._totals[name], *map(float, np.percentile(list(times), [50, 99])))
                for name, times in self._times.items()
            }
            return Stats(self._frames, self._failures, self._batches, stages)
