"""`Runner`: a model behind a line and a ring of slots."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from trt_mogface.backends.base import Placed
from trt_mogface.backends.options import Choices
from trt_mogface.backends.registry import Backend, open_backend
from trt_mogface.detections import Detections
from trt_mogface.errors import ImageError, RunnerError
from trt_mogface.kernels.arrays import stream_handle
from trt_mogface.models.cards import DEFAULT
from trt_mogface.runner.batching import Job, Line
from trt_mogface.runner.results import Frames, Results
from trt_mogface.runner.ring import Ring
from trt_mogface.runner.stats import Counters, Stats
from trt_mogface.spec import DetectorSpec, Thresholds


class Runner:
    """Finds faces in many pictures, from many threads, as fast as the network allows.

    Pictures are taken in the order of their submission and delivered in it.  Those that share a network input
    size run as a batch.  All methods may be called from any thread.

    Args:
        model, weights, min_face, size, pad, conf, iou, top_k, max_det, threads, provider: See
            `trt_mogface.Detector`.
        device: Number of the GPU that an engine runs on; several share the work, each with slots of its own.
        batch: Most pictures of one run of the network.
        slots: Batches in flight: while one is in the network, the next is prepared.
        max_delay_ms: How long the first picture of a batch waits for others; 0 takes those that are there.
        capacity: Pictures that may wait; `submit` waits for room.  None: as many as fill the slots once more.
        measure: Keep times by stage, for `stats`.

    Raises:
        ModelError, ImageError, MissingExtraError: See `trt_mogface.Detector`.
        RunnerError: Batch, slots, delay or capacity that are not positive.

    Example:
        >>> import numpy as np
        >>> with Runner(batch=4) as runner:
        ...     faces = list(runner.map(np.zeros((5, 48, 64, 3), np.uint8)))
        >>> len(faces), faces[0].image_size
        (5, (48, 64))
    """

    def __init__(
        self,
        model: str | Path | Backend = DEFAULT,
        *,
        weights: str | Path | None = None,
        min_face: float | None = None,
        size: tuple[int, int] | None = None,
        pad: bool = True,
        conf: float | None = None,
        iou: float | None = None,
        top_k: int | None = None,
        max_det: int | None = None,
        threads: int | None = None,
        device: int | Sequence[int] = 0,
        provider: str | None = None,
        batch: int = 1,
        slots: int = 2,
        max_delay_ms: float = 0.0,
        capacity: int | None = None,
        measure: bool = False,
    ) -> None:
        self._window = batch * (slots + 1)
        capacity = batch * slots if capacity is None else capacity
        for name, value in (("batch", batch), ("slots", slots), ("capacity", capacity)):
            if value < 1:
                raise RunnerError(f"{name} {value}: must be positive")
        if not 0 <= max_delay_ms < float("inf"):
            raise RunnerError(f"max_delay_ms {max_delay_ms:g}: must be at least 0, and finite")
        devices = (device,) if isinstance(device, int) else tuple(device)
        if not devices:
            raise RunnerError("no device: name at least one")
        choices = Choices(size=size, pad=pad, conf=conf, iou=iou, top_k=top_k, max_det=max_det)
        self._counters = Counters(measure=measure)
        self._line = Line(capacity, batch, max_delay_ms / 1e3)
        with ExitStack() as opening:
            self._backends: list[Backend] = []
            for each in devices:
                backend = open_backend(
                    model,
                    choices,
                    weights=weights,
                    min_face=min_face,
                    threads=threads,
                    device=each,
                    provider=provider,
                )
                opening.callback(backend.close)
                self._backends.append(backend)
            rooms = []
            for backend in self._backends * slots:
                rooms.append(backend.slot(batch, self._counters.add if measure else None))
                opening.callback(rooms[-1].close)
            self._ring = Ring(self._line, rooms, self._counters)
            self._open = opening.pop_all()
        self._process, self._closed, self._closing = os.getpid(), False, threading.Lock()
        # While Python ends, a thread in the network would take the process down.
        atexit.register(self.close, cancel=True)

    @property
    def spec(self) -> DetectorSpec:
        """The model's spec."""
        return self._backends[0].settings.spec

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds in force."""
        return self._backends[0].settings.thresholds

    def submit(
        self, image: Any, *, stream: object = None, timeout: float | None = None
    ) -> Future[Detections]:
        """Put a picture in the line.

        Args:
            image: uint8 [H, W, 3], BGR: of numpy or, with an engine, of the device
                (``__cuda_array_interface__``).  It must stay as it is until its faces are there.
            stream: Whose work fills an array of the device: a handle, or a stream of cuda-core, torch, CuPy
                or PyCUDA.  None: it is filled already.
            timeout: Seconds to wait for room at most; None waits as long as it takes.

        Returns:
            The future of its faces; of an `ImageError` where the picture cannot be used.  It can be cancelled
            as long as the picture waits.

        Raises:
            RunnerError: The runner is closed, broken, or of a process that this one was forked from; or there
                was no room in time.
            KernelError: A stream that is none.
        """
        self._check_usable()
        try:
            checked: Any = self._backends[0].check(image)
        except ImageError as error:
            refused: Future[Detections] = Future()
            refused.set_exception(error)
            self._counters.failed(1)
            return refused
        placement = self._backends[0].settings.place(*checked.shape[:2])
        job = Job(Placed(checked, placement, None if stream is None else stream_handle(stream)))
        if not self._line.put(job, timeout):
            self._check_usable()
            raise RunnerError(f"no room in the line for {timeout:g} s: submit slower, or wait longer")
        return job.future

    def map(self, images: Frames) -> Results:
        """The faces of pictures, in their order, with few of them in flight.

        Args:
            images: Pictures as for `submit`, from an iterable or an async iterable.

        Returns:
            To be iterated with ``for`` or ``async for``; a picture that cannot be used raises where its faces
            would come.
        """
        return Results(images, self.submit, self._window)

    def stats(self) -> Stats:
        """What it has done so far."""
        return self._counters.stats()

    def close(self, *, cancel: bool = False) -> None:
        """Deliver what is in the line, or cancel it, and free everything; closing twice is harmless.

        A runner that nobody closes cancels what waits when Python ends.

        Args:
            cancel: Whether pictures that wait are cancelled.
        """
        if os.getpid() != self._process:  # the threads are the other process's
            return
        self._closed = True
        if cancel:
            for job in self._line.clear():
                job.future.cancel()
                job.future.set_running_or_notify_cancel()  # tells those who wait for it
        with self._closing:  # whoever comes second waits, or goes on where the first was interrupted
            self._ring.close()
            self._open.close()
        atexit.unregister(self.close)

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(cancel=kind is not None)

    def _check_usable(self) -> None:
        if os.getpid() != self._process:
            raise RunnerError(
                "this process was forked from the one that made the runner, and has none of its threads: "
                "make the runner after the fork, or use the start method spawn"
            )
        if self._closed:
            raise RunnerError("the runner is closed: make a new one")
        if self._ring.failure is not None:
            raise self._ring.broken()
