"""`Admission`: which requests enter the service, by the images and bytes that are in it already."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from trt_mogface.serving.http.options import ServiceOptions
from trt_mogface.serving.http.refusal import Refusal

Phase = Literal["starting", "ready", "draining", "broken"]

PHASES: dict[Phase, str] = {
    "starting": "the service is starting; try again soon",
    "draining": "the service is ending; send the request to another one",
    "broken": "the service is broken by an earlier failure; it must be started again",
}
"""Reasons for refusing a request in phases other than ``ready``."""

PATIENCE = 0.5
"""Share of the timeout that a new image may have to wait by the estimate."""

SMOOTHING = 1 / 16
"""Weight of the latest image in the estimate."""


class Pace:
    """Estimate of the seconds that the service takes for an image, from the answers while it is busy.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running, self._since = 0, 0.0
        self.seconds = 0.0

    def begin(self) -> None:
        """Count an image that the service begins to work on."""
        if not self._running:
            self._since = self._clock()
        self._running += 1

    def end(self, *, answered: bool) -> None:
        """Count an image as done; one that was cancelled says nothing about the pace."""
        self._running -= 1
        if answered:
            now = self._clock()
            self.seconds += (now - self._since - self.seconds) * SMOOTHING
            self._since = now


class Visit:
    """A request in the service.

    Attributes:
        client: Name of the client.
        images: Number of its images.
        bytes: Number of bytes of its body.
    """

    def __init__(self, admission: Admission, client: str) -> None:
        self._admission, self.client = admission, client
        self.images = self.bytes = 0

    def add_images(self, count: int) -> None:
        """Count further images.

        Raises:
            Refusal: If they are too many.
        """
        self._admission.add_images(self, count)

    def add_bytes(self, count: int) -> None:
        """Count further bytes of the body.

        Raises:
            Refusal: If all bodies together are too large.
        """
        self._admission.add_bytes(self, count)


class Admission:
    """Doorkeeper of the service; all methods are called from the event loop's thread.

    A request is refused at the door rather than late: when the service is full, when its client has too much
    in it, and when by the pace of the last images it could not be answered in time.  Otherwise an overloaded
    service would spend its time on images whose clients no longer wait.

    Args:
        options: Limits.
        at_once: Number of images that the network and its queue hold; up to them no estimate refuses.
        pace: Estimate of the seconds for an image.

    Attributes:
        phase: Phase of the service, which the service sets.
        images, bytes, requests: Numbers of what is in the service.
        idle: Set while no request is in the service.
    """

    def __init__(self, options: ServiceOptions, at_once: int, pace: Pace) -> None:
        self._options, self._at_once, self._pace = options, at_once, pace
        self._clients: Counter[str] = Counter()
        self.phase: Phase = "starting"
        self.idle = asyncio.Event()
        self.idle.set()
        self.images = self.bytes = self.requests = 0

    @contextmanager
    def visit(self, client: str) -> Iterator[Visit]:
        """Return a context in which a request of one image is in the service.

        Raises:
            Refusal: If it may not enter.
        """
        self.check_ready()
        visit = Visit(self, client)
        self.add_images(visit, 1)
        self.requests += 1
        self.idle.clear()
        try:
            yield visit
        finally:
            self.requests -= 1
            if not self.requests:
                self.idle.set()
            self.images -= visit.images
            self.bytes -= visit.bytes
            self._clients[client] -= visit.images
            if not self._clients[client]:
                del self._clients[client]

    def check_ready(self) -> None:
        """Refuse a request in all phases but ``ready``.

        Raises:
            Refusal: If the phase is another one.
        """
        if self.phase != "ready":
            raise Refusal(503, self.phase, PHASES[self.phase], retry_after=1)

    def add_images(self, visit: Visit, count: int) -> None:
        """Count further images of a visit; see `Visit`."""
        options, total = self._options, self.images + count
        if self._clients[visit.client] + count > options.per_client:
            if not self._clients[visit.client]:
                del self._clients[visit.client]
            problem = f"too many images from this client; it may have {options.per_client} in the service"
            raise Refusal(429, "too_many", problem, retry_after=self._wait(options.per_client))
        late = total > self._at_once and total * self._pace.seconds > PATIENCE * options.timeout
        if total > options.queue or late:
            raise self._full()
        self.images = total
        self._clients[visit.client] += count
        visit.images += count

    def add_bytes(self, visit: Visit, count: int) -> None:
        """Count further bytes of a visit; see `Visit`."""
        if self.bytes + count > self._options.held_bytes:
            raise self._full()
        self.bytes += count
        visit.bytes += count

    def _full(self) -> Refusal:
        reason = f"the service is full ({self.images} images in it); try again later"
        return Refusal(503, "full", reason, retry_after=self._wait(self.images))

    def _wait(self, images: int) -> int:
        """Return the seconds after which some of these images should be done, at least 1."""
        return max(1, math.ceil(images * self._pace.seconds / 2))
