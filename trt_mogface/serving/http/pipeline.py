"""`Pipeline`: image files to faces, decoded in threads and run in the batches of one `Runner`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from trt_mogface.detections import Detections
from trt_mogface.errors import RunnerError
from trt_mogface.frame import Image
from trt_mogface.images import decode_image
from trt_mogface.runner import Runner, Submitted, Timing
from trt_mogface.serving.http.admission import Pace
from trt_mogface.serving.http.bodies import Upload
from trt_mogface.spec import Thresholds


@dataclass(frozen=True)
class Found:
    """Faces of an image, with the course of the image through the service.

    Attributes:
        image: uint8 [H, W, 3], BGR; None unless it was requested.
        decode_ms: Milliseconds of decoding.
        queue_ms: Milliseconds of waiting, for a thread and for a batch.
        network_ms: Milliseconds of the batch.
        batch: Number of images of the batch.
    """

    name: str | None
    faces: Detections
    image: Image | None
    decode_ms: float
    queue_ms: float
    network_ms: float
    batch: int


@dataclass(eq=False)
class _Work:
    """An image on its way.

    Attributes:
        upload: The file; None once it is decoded, or nobody waits for it.
        answer: Future of the event loop, which is cancelled when nobody waits any more.
        submitted: Future of the runner, once the image is there.
    """

    upload: Upload | None
    thresholds: Thresholds | None
    keep_image: bool
    answer: asyncio.Future[Found]
    submitted: Submitted | None = None
    arrived: float = field(default_factory=time.monotonic)


class Pipeline:
    """Threads that decode images, in front of a runner.

    A thread waits while the queue of the runner is full, so few decoded images are in memory, however many
    files wait for a thread.

    Args:
        runner: The runner, which stays the caller's.
        threads: Number of threads.
        max_pixels: Largest number of pixels of an image.
        pace: Receives the beginning and the end of each image.
    """

    def __init__(self, runner: Runner, threads: int, max_pixels: int, pace: Pace) -> None:
        self._runner, self._max_pixels, self._pace = runner, max_pixels, pace
        self._pool = ThreadPoolExecutor(threads, "trt-mogface-decode")

    def start(
        self, uploads: Sequence[Upload], thresholds: Thresholds | None, *, keep_images: bool = False
    ) -> list[asyncio.Future[Found]]:
        """Start on images, from the event loop's thread.

        Args:
            uploads: The files.
            thresholds: See `Runner.submit`.
            keep_images: Whether the answers have the decoded images.

        Returns:
            Futures of the answers.  One that is cancelled takes its image out of the queues, unless it runs.
            Exceptions are those of `decode_image` and `Runner.submit`.
        """
        return [self._start(upload, thresholds, keep_images) for upload in uploads]

    async def run_in_thread(self, function: partial[bytes]) -> bytes:
        """Run a function in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """Cancel what waits, and end the threads; the runner must be closed first if they wait for it."""
        self._pool.shutdown(cancel_futures=True)

    def _start(self, upload: Upload, thresholds: Thresholds | None, keep: bool) -> asyncio.Future[Found]:
        work = _Work(upload, thresholds, keep, asyncio.get_running_loop().create_future())
        self._pace.begin()
        work.answer.add_done_callback(partial(self._end, work))
        self._pool.submit(self._decode, work)
        return work.answer

    def _end(self, work: _Work, answer: asyncio.Future[Found]) -> None:
        self._pace.end(answered=not answer.cancelled())
        work.upload = None
        if answer.cancelled() and work.submitted is not None:
            work.submitted.cancel()

    def _decode(self, work: _Work) -> None:
        upload, started = work.upload, time.monotonic()
        if upload is None:
            return
        try:
            image = decode_image(upload.data, upload.title, self._max_pixels)
            decoded = time.monotonic()
            submitted = self._runner.submit(image, thresholds=work.thresholds)
        except Exception as error:  # noqa: BLE001 -- it goes to the future
            _in_loop(work, partial(_fail, work.answer, error))
            return
        work.upload, work.submitted = None, submitted
        if work.answer.cancelled():  # before it was submitted
            submitted.cancel()
        waited = (started - work.arrived) * 1e3
        make = partial(
            _found, upload.name, image if work.keep_image else None, (decoded - started) * 1e3, waited
        )
        submitted.add_done_callback(partial(_deliver, work, make))


def _deliver(work: _Work, make: partial[Found], submitted: Future[Detections]) -> None:
    """Hand the result of the runner to the event loop."""
    if submitted.cancelled():
        closed = RunnerError("the runner was closed; open a new one")
        _in_loop(work, partial(_fail, work.answer, closed))
        return
    error = submitted.exception()
    if error is not None:
        _in_loop(work, partial(_fail, work.answer, error))
        return
    timing = submitted.timing if isinstance(submitted, Submitted) else None
    _in_loop(work, partial(_succeed, work.answer, make(submitted.result(), timing)))


def _found(
    name: str | None,
    image: Image | None,
    decode_ms: float,
    waited_ms: float,
    faces: Detections,
    timing: Timing | None,
) -> Found:
    queue_ms, run_ms, batch = timing or (0.0, 0.0, 1)
    return Found(name, faces, image, decode_ms, waited_ms + queue_ms, run_ms, batch)


def _in_loop(work: _Work, callback: partial[None]) -> None:
    with suppress(RuntimeError):  # the loop has been closed
        work.answer.get_loop().call_soon_threadsafe(callback)


def _succeed(answer: asyncio.Future[Found], found: Found) -> None:
    if not answer.done():
        answer.set_result(found)


def _fail(answer: asyncio.Future[Found], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
