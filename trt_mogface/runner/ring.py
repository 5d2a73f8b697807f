"""Slots in turn: one thread fills them with batches, one empties them in the same order."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from trt_mogface.backends.base import Slot
from trt_mogface.errors import MogFaceError, RunnerError, first_line
from trt_mogface.runner.batching import Job, Line
from trt_mogface.runner.ranges import ranges
from trt_mogface.runner.stats import Counters


class Ring:
    """Takes jobs from a line through slots.

    A batch that fails fails its own jobs.  An error that is none of this project's, or that says that the
    device is lost (`MogFaceError.is_fatal`), breaks the ring: all jobs and all later ones fail because of it.

    Args:
        line: Where jobs wait.
        slots: Their number bounds the batches in flight.
        counters: Told of batches and times.
    """

    def __init__(self, line: Line, slots: Sequence[Slot], counters: Counters) -> None:
        self._line, self._counters = line, counters
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)
        self._begun: queue.SimpleQueue[tuple[Slot, list[Job], float] | None] = queue.SimpleQueue()
        self.failure: Exception | None = None
        self._range = ranges(counters.measures)
        self._threads = [
            threading.Thread(target=self._fill, name="trt-mogface-fill", daemon=True),
            threading.Thread(target=self._empty, name="trt-mogface-empty", daemon=True),
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:  # there are no more threads to be had; the first one ends
            line.close()
            raise

    def close(self) -> None:
        """Finish the jobs in the line, which takes no more.  The slots are the caller's."""
        self._line.close()
        for thread in self._threads:
            thread.join()

    def _fill(self) -> None:
        try:
            while True:
                slot = self._free.get()  # before the batch, which can grow until there is a slot for it
                jobs = self._line.take()
                if not jobs:
                    return
                started = time.monotonic()
                try:
                    with self._range("trt-mogface begin"):
                        slot.begin([job.picture for job in jobs])
                except Exception as error:  # noqa: BLE001 -- it is handed to those who wait
                    self._free.put(slot)
                    self._failed(jobs, error)
                else:
                    self._begun.put((slot, jobs, started))
        finally:
            self._begun.put(None)

    def _empty(self) -> None:
        while (begun := self._begun.get()) is not None:
            slot, jobs, started = begun
            try:
                with self._range("trt-mogface end"):
                    faces = slot.end()
            except Exception as error:  # noqa: BLE001 -- see above
                self._free.put(slot)
                self._failed(jobs, error)
                continue
            self._free.put(slot)
            self._counters.batch(jobs, started)
            for job, found in zip(jobs, faces):
                job.future.set_result(found)

    def _failed(self, jobs: Sequence[Job], error: Exception) -> None:
        self._counters.failed(len(jobs))
        if self.failure is None and _is_fatal(error):
            self.failure = error
            for job in self._line.clear():
                if job.future.set_running_or_notify_cancel():
                    self._counters.failed(1)
                    job.future.set_exception(self.broken())
        for job in jobs:
            job.future.set_exception(error)

    def broken(self) -> RunnerError:
        """What later jobs are told."""
        error = RunnerError(
            f"the runner is broken since an earlier failure ({first_line(self.failure or Exception())}): "
            "close it and make a new one"
        )
        error.__cause__ = self.failure
        return error


def _is_fatal(error: Exception) -> bool:
    return not isinstance(error, MogFaceError) or error.is_fatal
