"""`Ring`: slots in turn, filled with batches by one thread and emptied in the same order by another."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

from trt_mogface.backends.base import Slot
from trt_mogface.errors import MogFaceError, RunnerError, first_line
from trt_mogface.runner.batching import BatchQueue, Job
from trt_mogface.runner.stats import Counters


class Ring:
    """Slots that run the jobs of a queue.

    A batch that fails fails its own jobs.  An exception that is not a `MogFaceError`, or that is fatal
    (`MogFaceError.is_fatal`), breaks the ring: all jobs and all later ones fail because of it.  The number of
    slots bounds the batches in flight.
    """

    def __init__(self, jobs: BatchQueue, slots: Sequence[Slot], counters: Counters) -> None:
        self._jobs, self._counters = jobs, counters
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)
        self._running: queue.SimpleQueue[tuple[Slot, list[Job], float] | None] = queue.SimpleQueue()
        self.failure: Exception | None = None
        self._range = _ranges(counters.measures)
        work = {"fill": self._fill, "empty": self._empty}
        self._threads = [
            threading.Thread(target=run, name=f"trt-mogface-{name}", daemon=True)
            for name, run in work.items()
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:  # no more threads can be started; the first one ends
            jobs.close()
            raise

    def close(self) -> None:
        """Finish the jobs in the queue, which accepts no more.  The slots are the caller's."""
        self._jobs.close()
        for thread in self._threads:
            thread.join()

    def broken(self) -> RunnerError:
        """Return the error that later jobs get."""
        reason = first_line(self.failure or Exception())
        error = RunnerError(
            f"the runner is broken by an earlier failure ({reason}); close it and open a new one"
        )
        error.__cause__ = self.failure
        return error

    def _fill(self) -> None:
        try:
            while True:
                slot = self._free.get()  # before the batch, which can grow until there is a slot for it
                jobs = self._jobs.take()
                if not jobs:
                    return
                started = time.monotonic()
                try:
                    with self._range("trt-mogface submit"):
                        slot.submit([job.frame for job in jobs])
                except Exception as error:  # noqa: BLE001 -- it goes to the futures
                    self._free.put(slot)
                    self._failed(jobs, error)
                else:
                    self._running.put((slot, jobs, started))
        finally:
            self._running.put(None)

    def _empty(self) -> None:
        while (running := self._running.get()) is not None:
            slot, jobs, started = running
            try:
                with self._range("trt-mogface wait"):
                    found = slot.wait()
            except Exception as error:  # noqa: BLE001 -- it goes to the futures
                self._free.put(slot)
                self._failed(jobs, error)
                continue
            self._free.put(slot)
            self._counters.batch(jobs, started)
            for job, faces in zip(jobs, found):
                job.future.set_result(faces)

    def _failed(self, jobs: Sequence[Job], error: Exception) -> None:
        self._counters.failed(len(jobs))
        is_fatal = not isinstance(error, MogFaceError) or error.is_fatal
        if self.failure is None and is_fatal:
            self.failure = error
            for job in self._jobs.clear():
                if job.future.set_running_or_notify_cancel():
                    self._counters.failed(1)
                    job.future.set_exception(self.broken())
        for job in jobs:
            job.future.set_exception(error)


def _ranges(wanted: bool) -> Callable[[str], AbstractContextManager[object]]:
    """Return a function that opens a range by name in NVIDIA's profilers; without nvtx it does nothing."""
    if wanted:
        with suppress(ImportError):
            import nvtx

            return lambda name: nvtx.annotate(name, domain="trt-mogface")
    return nullcontext
