"""`Runner`: a model behind a queue and a ring of slots."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args, overload

from typing_extensions import Self, Unpack

from trt_mogface.backends.base import AdjustableSlot, Backend, ModelInfo
from trt_mogface.backends.options import DetectorOptions
from trt_mogface.backends.registry import open_backend
from trt_mogface.detections import Detections
from trt_mogface.errors import FORKED, ArgumentError, ImageError, MogFaceError, RunnerError
from trt_mogface.frame import Frame
from trt_mogface.models.cards import DEFAULT
from trt_mogface.runner.batching import BatchQueue, Job, Submitted
from trt_mogface.runner.results import Frames, OnError, Results
from trt_mogface.runner.ring import Ring
from trt_mogface.runner.stats import Counters, Stats
from trt_mogface.spec import Thresholds


class Runner:
    """A face detector for streams: many images, from many threads, in batches, with a bounded queue.

    Results come in the order of submission.  Images with the same network input size run as a batch.  All
    methods may be called from any thread.

    Args:
        model: See `trt_mogface.Detector`.
        device: Number of the GPU that runs an engine, or several that share the work; None for the first.
        batch: Largest batch of the network.
        slots: Batches in flight on each device: while the network runs one, the next is prepared.  On a CPU
            their networks run side by side and share the cores, unless ``threads`` is given.
        max_delay_ms: Milliseconds that the first image of a batch waits for others; 0 takes those present.
        capacity: Largest number of waiting images, for which `submit` waits; default ``batch * slots``.
        measure: Whether `stats` has times by stage.
        **options: Options such as ``size`` and ``conf``; see
            `trt_mogface.backends.options.DetectorOptions`.

    Attributes:
        adjustable: Whether `submit` takes thresholds of an image, as with contract files on ONNX Runtime.

    Raises:
        ArgumentError: If an argument is impossible.
        ModelError, MissingExtraError, EngineError, DeviceError: See `trt_mogface.Detector`.

    Examples:
        >>> import numpy as np
        >>> with Runner(batch=4) as runner:
        ...     first = runner.submit(np.zeros((48, 64, 3), np.uint8)).result()
        ...     others = list(runner.map(np.zeros((5, 48, 64, 3), np.uint8)))
        >>> len(first), len(others), others[0].image_size
        (0, 5, (48, 64))
    """

    def __init__(
        self,
        model: str | Path | Backend = DEFAULT,
        *,
        device: int | Sequence[int] | None = None,
        batch: int = 1,
        slots: int = 2,
        max_delay_ms: float = 0.0,
        capacity: int | None = None,
        measure: bool = False,
        **options: Unpack[DetectorOptions],
    ) -> None:
        _check_counts(batch=batch, slots=slots, capacity=capacity)
        _check_delay(max_delay_ms)
        self._window = batch * (slots + 1)
        capacity = batch * slots if capacity is None else capacity
        devices = tuple(device) if isinstance(device, Sequence) else (device,)
        if not devices:
            raise ArgumentError("device", "must name at least one GPU")
        self._counters = Counters(measure=measure)
        self._queue = BatchQueue(capacity, batch, max_delay_ms / 1e3)
        with ExitStack() as opening:
            keep, on_stage = opening.enter_context, self._counters.add if measure else None
            self._backends: list[Backend] = [
                keep(closing(open_backend(model, device=each, slots=slots, **options))) for each in devices
            ]
            opened = [keep(closing(each.slot(batch, on_stage))) for each in self._backends * slots]
            self.adjustable = all(isinstance(slot, AdjustableSlot) for slot in opened)
            self._ring = Ring(self._queue, opened, self._counters)
            self._open = opening.pop_all()
        self._process, self._closed, self._closing = os.getpid(), False, threading.Lock()
        # At exit of the interpreter, a thread that runs the network would crash the process.
        atexit.register(self.close, cancel=True)

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""
        return self._backends[0].info

    @property
    def thresholds(self) -> Thresholds:
        """Effective thresholds: the caller's, else the model's."""
        return self.info.thresholds

    def submit(
        self,
        image: Any,
        *,
        stream: object = None,
        timeout: float | None = None,
        thresholds: Thresholds | None = None,
    ) -> Submitted:
        """Queue an image.

        Args:
            image: uint8 [H, W, 3] array in BGR, or a `Frame`; with an engine also in device memory
                (``__cuda_array_interface__``), if all work is done on its GPU.  It must not change before its
                result is there: pageable memory is read while the batch is prepared, page-locked and device
                memory until its end.
            stream: CUDA stream whose work fills a device array; see `Frame`.
            timeout: Seconds to wait for space in the queue; None waits without limit.
            thresholds: Thresholds of this image, which runs only with others of the same; None for the
                model's.

        Returns:
            Future of the detections, or of an `ImageError` if the image cannot be used.  It can be cancelled
            while the image waits.  Its ``timing`` has the milliseconds and the size of its batch.

        Raises:
            RunnerError: If the runner is closed, broken, or of a process that this one was forked from; or if
                there was no space in time.
            ArgumentError: If `stream` is not a CUDA stream of the GPU, or is the per-thread default stream;
                or if the model is not `adjustable` and `thresholds` are given.
        """
        self._check_usable()
        if thresholds is not None and not self.adjustable:
            raise ArgumentError(
                "thresholds", f"{self.info.name} has those that it was opened with; omit them"
            )
        try:
            frame = Frame.of(image, stream=stream)
            for backend in self._backends:  # any of them may take it
                backend.check(frame)
        except ImageError as error:
            refused = Submitted()
            refused.set_exception(error)
            self._counters.failed(1)
            return refused
        job = Job(frame, self._backends[0].place(*frame.size).canvas, thresholds)
        if not self._queue.put(job, timeout):
            self._check_usable()
            raise RunnerError(f"the queue was full for {timeout:g} s; submit more slowly, or wait longer")
        return job.future

    @overload
    def map(self, images: Frames, *, on_error: Literal["raise"] = "raise") -> Results[Detections]: ...

    @overload
    def map(self, images: Frames, *, on_error: Literal["yield"]) -> Results[Detections | MogFaceError]: ...

    def map(self, images: Frames, *, on_error: OnError = "raise") -> Results[Any]:
        """Return the detections of images, in order, with few of them in flight.

        Args:
            images: Images as for `submit`, from an iterable or an async iterable.
            on_error: ``raise`` ends the iteration at an image that fails; ``yield`` yields its exception in
                place of detections, and goes on.

        Returns:
            Iterator for ``for`` or ``async for``.

        Raises:
            ArgumentError: If `on_error` is neither.
        """
        if on_error not in get_args(OnError):
            raise ArgumentError(
                "on_error", f"must be one of {', '.join(get_args(OnError))}", repr(on_error)[:40]
            )
        return Results(images, self.submit, self._window, on_error)

    def stats(self) -> Stats:
        """Return counts and times up to now."""
        return self._counters.stats()

    def close(self, *, cancel: bool = False) -> None:
        """Finish the waiting images, or cancel them, and free everything; closing twice is harmless.

        A runner that is not closed cancels its waiting images when Python exits.

        Args:
            cancel: Whether to cancel waiting images.
        """
        if os.getpid() != self._process:  # the threads belong to the other process
            return
        self._closed = True
        if cancel:
            for job in self._queue.clear():
                job.future.cancel()
                job.future.set_running_or_notify_cancel()  # wakes those who wait for it
        with self._closing:  # a second caller waits, or continues after an interrupted first one
            self._ring.close()
            self._open.close()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.close(cancel=kind is not None)

    def _check_usable(self) -> None:
        if os.getpid() != self._process:
            raise RunnerError(FORKED.format("runner"))
        if self._closed:
            raise RunnerError("the runner is closed; open a new one")
        if self._ring.failure is not None:
            raise self._ring.broken()


def _check_counts(**values: object) -> None:
    for name, value in values.items():
        if value is not None and (not isinstance(value, Integral) or value < 1):
            raise ArgumentError(name, "must be a positive whole number", repr(value)[:40])


def _check_delay(milliseconds: object) -> None:
    if not isinstance(milliseconds, (int, float)) or not 0 <= milliseconds < float("inf"):
        raise ArgumentError("max_delay_ms", "must be at least 0, and finite", repr(milliseconds)[:40])
