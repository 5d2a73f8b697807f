"""Prometheus: counters and gauges of each source, on a port of this machine."""

from __future__ import annotations

from typing import Any

from trt_mogface._optional import require
from trt_mogface.errors import OutputError
from trt_mogface.video.items import FrameFaces, Item

LOOPBACK = "127.0.0.1"

PREFIX = "trt_mogface_video_"

RUNNING = {"opened": 1, "reopened": 1, "lost": 0, "ended": 0, "failed": 0}
"""Whether a source delivers frames after an event."""


class PrometheusSink:
    """An endpoint ``http://127.0.0.1:PORT/metrics``, reachable from this machine only.

    Args:
        name: Specification of the sink, for messages.
        target: Port; 0 chooses a free one.

    Attributes:
        port: Port that is listened on.

    Raises:
        OutputError: If the target is not a port, or the port is in use.
        MissingExtraError: If prometheus-client is not installed.
    """

    needs_pictures = False

    def __init__(self, name: str, target: str) -> None:
        client = require("prometheus_client", extra="metrics")
        if not (target.isascii() and target.isdecimal() and int(target) < 1 << 16):
            raise OutputError(f"{name}: not a port; name one within 1..65535")
        self.name, registry = name, client.CollectorRegistry()

        def metric(kind: str, key: str, text: str, *labels: str) -> Any:
            return getattr(client, kind)(PREFIX + key, text, ["source", *labels], registry=registry)

        self._frames = metric("Counter", "frames", "Analyzed frames")
        self._faces = metric("Counter", "faces", "Faces in analyzed frames")
        self._tracks = metric("Counter", "tracks", "Tracks that are over")
        self._events = metric("Counter", "events", "Events of a source", "event")
        self._dropped = metric("Counter", "dropped_frames", "Frames that were dropped")
        self._visible = metric("Gauge", "visible_faces", "Faces in the latest analyzed frame")
        self._latest = metric("Gauge", "latest_capture_timestamp_seconds", "Capture time of the latest frame")
        self._lag = metric("Gauge", "lag_seconds", "Time from the capture of the latest frame to its faces")
        self._running = metric("Gauge", "running", "1 while a source is open, else 0")
        try:
            self._server, self._thread = client.start_http_server(int(target), LOOPBACK, registry)
        except OSError as error:
            raise OutputError(f"{name}: cannot listen ({error.strerror}); choose another port") from error
        self.port: int = self._server.server_port

    def write(self, item: Item) -> None:
        """Count an item."""
        source = item.source
        self._tracks.labels(source).inc(len(item.ended))
        if isinstance(item, FrameFaces):
            self._frames.labels(source).inc()
            self._faces.labels(source).inc(len(item.faces))
            self._visible.labels(source).set(len(item.faces))
            self._latest.labels(source).set(item.captured)
            if item.lag is not None:
                self._lag.labels(source).set(item.lag)
            return
        self._events.labels(source, item.event).inc()
        if item.event == "dropped":
            self._dropped.labels(source).inc(item.count)
        if item.event in RUNNING:
            self._running.labels(source).set(RUNNING[item.event])

    def flush(self) -> None:
        """Do nothing: nothing is kept."""

    def pending(self) -> dict[str, int]:
        """Return nothing."""
        return {}

    def position(self) -> Any:
        """Return nothing."""

    def cut(self, position: Any) -> None:
        """Do nothing: counters begin at 0 in every process."""

    def close(self) -> None:
        """Stop listening; closing twice is harmless."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
