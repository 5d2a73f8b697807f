"""`Metrics`: counters and histograms of the service, in Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from trt_mogface.runner import Stats

if TYPE_CHECKING:
    from trt_mogface.serving.http.admission import Admission
    from trt_mogface.serving.http.pipeline import Found

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "trt_mogface_http_"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
FACES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
STAGES = ("body", "decode", "queue", "network", "total")
"""Stages of a request: until its body is there; decoding; waiting; the network; all of it."""


class Metrics:
    """Metrics of one service, in a registry of their own.

    Args:
        admission: Source of the images in the service and of its phase.
    """

    def __init__(self, admission: Admission) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            PREFIX + "requests", "Answered requests", ["route", "status"], registry=registry
        )
        self._refused = Counter(PREFIX + "refused", "Refused requests", ["reason"], registry=registry)
        seconds = Histogram(
            PREFIX + "stage_seconds",
            "Time of a stage of a detection",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.stages = {stage: seconds.labels(stage) for stage in STAGES}
        self._batch = Histogram(
            PREFIX + "batch_size",
            "Images by the size of the batch they ran in",
            buckets=BATCHES,
            registry=registry,
        )
        self._faces = Histogram(PREFIX + "faces", "Faces of an image", buckets=FACES, registry=registry)
        images = Gauge(PREFIX + "images", "Images in the service, waiting or running", registry=registry)
        images.set_function(lambda: admission.images)
        held = Gauge(PREFIX + "held_bytes", "Bytes of the bodies in the service", registry=registry)
        held.set_function(lambda: admission.bytes)
        ready = Gauge(PREFIX + "ready", "Whether the service accepts requests", registry=registry)
        ready.set_function(lambda: admission.phase == "ready")
        ProcessCollector(registry=registry)

    def answered(self, route: str, status: int) -> None:
        """Count an answer of a route, such as ``/v1/detect``."""
        self._requests.labels(route, status).inc()

    def refused(self, reason: str) -> None:
        """Count a refusal by its code, such as ``full``."""
        self._refused.labels(reason).inc()

    def found(self, found: Found) -> None:
        """Count the faces of an image, and its times."""
        self.stages["decode"].observe(found.decode_ms / 1e3)
        self.stages["queue"].observe(found.queue_ms / 1e3)
        self.stages["network"].observe(found.network_ms / 1e3)
        self._batch.observe(found.batch)
        self._faces.observe(len(found.faces))

    def text(self, stats: Stats) -> str:
        """Return all metrics, with the counts of the runner."""
        return generate_latest(self._registry).decode() + stats.prometheus()
