"""`Ring`: one thread fills slots with batches, one for each slot waits for it, and one delivers in order."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field

from trt_mogface.backends.base import AdjustableSlot, Slot
from trt_mogface.detections import Detections
from trt_mogface.errors import MogFaceError, RunnerError, first_line
from trt_mogface.runner.batching import BatchQueue, Job, Timing
from trt_mogface.runner.stats import Counters


@dataclass(eq=False)
class Batch:
    """Jobs that run in a slot.

    Attributes:
        started, finished: Times between which they have the slot, in monotonic seconds.
        found: Future of their detections.
    """

    slot: Slot
    jobs: list[Job]
    started: float
    finished: float = 0.0
    found: Future[list[Detections]] = field(default_factory=Future)


class Ring:
    """Slots that run the jobs of a queue.

    A slot is free for the next batch as soon as its own has run, however long earlier batches take in other
    slots.  Detections are delivered in the order of the batches.

    A batch that fails fails its own jobs.  An exception that is not a `MogFaceError`, or that is fatal
    (`MogFaceError.is_fatal`), breaks the ring: all jobs and all later ones fail because of it.  The number of
    slots bounds the batches in flight.
    """

    def __init__(self, jobs: BatchQueue, slots: Sequence[Slot], counters: Counters) -> None:
        self._jobs, self._counters = jobs, counters
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)
        self._running: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._ordered: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self.failure: Exception | None = None
        self._breaking = threading.Lock()
        self._range = _ranges(counters.measures)
        work = [("fill", self._fill), *[("wait", self._wait) for _ in slots], ("deliver", self._deliver)]
        self._threads = [
            threading.Thread(target=run, name=f"trt-mogface-{name}", daemon=True) for name, run in work
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:  # no more threads can be started; those that were end
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
                        if isinstance(slot, AdjustableSlot):
                            slot.adjust(jobs[0].thresholds)
                        slot.submit([job.frame for job in jobs])
                except Exception as error:  # noqa: BLE001 -- it goes to the futures
                    self._break_if_fatal(error)
                    self._free.put(slot)
                    self._fail(jobs, error)
                else:
                    batch = Batch(slot, jobs, started)
                    self._ordered.put(batch)
                    self._running.put(batch)
        finally:
            self._running.put(None)
            self._ordered.put(None)

    def _wait(self) -> None:
        while (batch := self._running.get()) is not None:
            self._collect(batch)
            del batch  # or its images would be kept until the next one
        self._running.put(None)  # for the next of these threads

    def _collect(self, batch: Batch) -> None:
        try:
            with self._range("trt-mogface wait"):
                found = batch.slot.wait()
        except Exception as error:  # noqa: BLE001 -- it goes to the futures
            self._break_if_fatal(error)  # before the slot can get the next batch
            self._free.put(batch.slot)
            batch.found.set_exception(error)
        else:
            batch.finished = time.monotonic()
            self._free.put(batch.slot)
            batch.found.set_result(found)

    def _deliver(self) -> None:
        while (batch := self._ordered.get()) is not None:
            error = batch.found.exception()
            if error is None:
                self._answer(batch)
            else:
                self._fail(batch.jobs, error)
            del batch, error  # see above

    def _answer(self, batch: Batch) -> None:
        self._counters.batch(batch.jobs, batch.started, batch.finished)
        run_ms = (batch.finished - batch.started) * 1e3
        for job, faces in zip(batch.jobs, batch.found.result()):
            job.future.timing = Timing((batch.started - job.arrived) * 1e3, run_ms, len(batch.jobs))
            job.future.set_result(faces)

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        self._counters.failed(len(jobs))
        for job in jobs:
            job.future.set_exception(error)

    def _break_if_fatal(self, error: Exception) -> None:
        with self._breaking:
            if self.failure is not None or (isinstance(error, MogFaceError) and not error.is_fatal):
                return
            self.failure = error
        waiting = [job for job in self._jobs.clear() if job.future.set_running_or_notify_cancel()]
        for job in waiting:
            self._fail([job], self.broken())


def _ranges(wanted: bool) -> Callable[[str], AbstractContextManager[object]]:
    """Return a function that opens a range by name in NVIDIA's profilers; without nvtx it does nothing."""
    if wanted:
        with suppress(ImportError):
            import nvtx

            return lambda name: nvtx.annotate(name, domain="trt-mogface")
    return nullcontext
