"""`BatchQueue`: a bounded queue in front of the slots, which hands out batches in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import NamedTuple

from trt_mogface.detections import Detections
from trt_mogface.frame import Frame
from trt_mogface.spec import Thresholds


class Timing(NamedTuple):
    """Course of one image through a runner.

    Attributes:
        queue_ms: Milliseconds from submission to the start of its batch.
        run_ms: Milliseconds of the batch.
        batch: Number of images of the batch.
    """

    queue_ms: float
    run_ms: float
    batch: int


class Submitted(Future[Detections]):
    """Future of the detections of a submitted image.

    Attributes:
        timing: Set before the result; None until then, and if the image failed.
    """

    timing: Timing | None = None


@dataclass(eq=False)
class Job:
    """A frame in the queue, and the future of its detections.

    Attributes:
        canvas: Height and width of the network input.
        thresholds: Thresholds that differ from the model's; None for those.
        arrived: Time of its arrival in monotonic seconds.
    """

    frame: Frame
    canvas: tuple[int, int]
    thresholds: Thresholds | None = None
    future: Submitted = field(default_factory=Submitted)
    arrived: float = field(default_factory=time.monotonic)


class BatchQueue:
    """Jobs from many threads, taken in batches by one thread.

    Args:
        capacity: Largest number of waiting jobs; `put` waits for space.
        batch: Largest number of jobs of a batch.
        max_delay: Seconds that the first job of a batch waits for others.
    """

    def __init__(self, capacity: int, batch: int, max_delay: float) -> None:
        self._capacity, self._batch, self._max_delay = capacity, batch, max_delay
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, job: Job, timeout: float | None = None) -> bool:
        """Add a job; return False if there was no space within `timeout` seconds, or the queue is closed."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._has_space(), timeout) or self._closed:
                return False
            self._jobs.append(job)
            self._changed.notify_all()
            return True

    def take(self) -> list[Job]:
        """Wait for the next batch and return it; return an empty list once the queue is closed and empty.

        The jobs share a network input size and thresholds.  Jobs whose future was cancelled are left out.
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
        """Accept no more jobs; waiting ones are still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> list[Job]:
        """Close the queue, and return the jobs that were not handed out."""
        with self._changed:
            self.close()
            left = list(self._jobs)
            self._jobs.clear()
        return left

    def _has_space(self) -> bool:
        return len(self._jobs) < self._capacity

    def _ready(self) -> int:
        """Return the number of jobs at the front that can run together."""
        front, first = islice(self._jobs, self._batch), self._jobs[0]
        shared = (job.canvas == first.canvas and job.thresholds == first.thresholds for job in front)
        return sum(takewhile(bool, shared))

    def _is_ready(self) -> bool:
        """Return whether waiting longer cannot make the batch at the front larger."""
        ready = self._ready()
        return self._closed or not self._has_space() or ready == self._batch or ready < len(self._jobs)
