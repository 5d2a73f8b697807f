"""The waiting line before the slots: bounded, in order, handed out in batches."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from trt_mogface.backends.base import Placed
from trt_mogface.detections import Detections


@dataclass(eq=False)
class Job:
    """A picture on its way, and the future of its faces.

    Attributes:
        picture: With its place in the network's input.
        future: Of its faces.
        arrived: Monotonic seconds.
    """

    picture: Placed
    future: Future[Detections] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


class Line:
    """Jobs from many threads, taken by one.

    Args:
        capacity: Jobs that may wait; a further one waits to get in.
        batch: Most jobs handed out together.
        max_delay: Seconds that the first job of a batch waits for others at most.
    """

    def __init__(self, capacity: int, batch: int, max_delay: float) -> None:
        self._capacity, self._batch, self._max_delay = capacity, batch, max_delay
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, job: Job, timeout: float | None = None) -> bool:
        """Add a job; False if it did not get in: after ``timeout`` seconds, or because the line is closed."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._has_room(), timeout):
                return False
            if self._closed:
                return False
            self._jobs.append(job)
            self._changed.notify_all()
            return True

    def take(self) -> list[Job]:
        """The next batch: of one network input size, full, or its first job's time over; empty after the end.

        Jobs whose future was cancelled while they waited are left out.
        """
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return []
                deadline = self._jobs[0].arrived + self._max_delay
                self._changed.wait_for(self._is_ready, max(0.0, deadline - time.monotonic()))
                taken = [self._jobs.popleft() for _ in range(self._ready())]
                self._changed.notify_all()
                running = [job for job in taken if job.future.set_running_or_notify_cancel()]
                if running:
                    return running

    def close(self) -> None:
        """Let nobody in; jobs inside are still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> list[Job]:
        """Close, and give back the jobs that were not handed out."""
        with self._changed:
            self._closed = True
            left = list(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        return left

    def _has_room(self) -> bool:
        return len(self._jobs) < self._capacity

    def _ready(self) -> int:
        """Jobs at the front that can run together."""
        count = 0
        for job in self._jobs:
            if count == self._batch or job.picture.placement.canvas != self._jobs[0].picture.placement.canvas:
                break
            count += 1
        return count

    def _is_ready(self) -> bool:
        """Whether waiting longer cannot make the batch at the front larger."""
        ready = self._ready()
        return self._closed or not self._has_room() or ready == self._batch or ready < len(self._jobs)
