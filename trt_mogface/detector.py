"""`Detector`: images in, `Detections` out."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

from typing_extensions import Self, Unpack

from trt_mogface.backends.base import Backend, ModelInfo, Shared
from trt_mogface.backends.options import DetectorOptions
from trt_mogface.backends.registry import open_backend
from trt_mogface.detections import Detections
from trt_mogface.errors import FORKED, ImageError, RunnerError
from trt_mogface.frame import Frame, ImageOrFrame
from trt_mogface.models.cards import DEFAULT
from trt_mogface.spec import Thresholds


class Detector:
    """A face detector.  Calls from several threads take turns; `clone` gives a thread its own detector.

    A forked process must open its own.  A detector of a name or file can be pickled: another process opens
    the model again.

    Args:
        model: Name of a model (``trt-mogface models`` lists them), contract ONNX file, TensorRT engine, or
            opened backend.
        device: Number of the GPU that runs an engine, or an ONNX file with a provider that has GPUs; None for
            the first.
        views: Whether detections of an engine are views of memory that the next call overwrites.
        **options: Options such as ``size`` and ``conf``; see
            `trt_mogface.backends.options.DetectorOptions`.

    Raises:
        ArgumentError: If an option is unknown, impossible, or not one of this kind of model.
        ModelError: If the model is unknown or unreadable.
        MissingExtraError: If a package is not installed that the model needs.
        EngineError, KernelError, CudaError, OutOfMemoryError: If an engine cannot run here.

    Examples:
        >>> import numpy as np
        >>> with Detector(size=(64, 64), conf=0.5) as detect:
        ...     faces = detect(np.zeros((48, 64, 3), np.uint8))
        >>> len(faces), faces.image_size, detect.info.landmarks
        (0, (48, 64), 5)
    """

    def __init__(
        self,
        model: str | Path | Backend = DEFAULT,
        *,
        device: int | None = None,
        views: bool = False,
        **options: Unpack[DetectorOptions],
    ) -> None:
        self._arguments: dict[str, Any] = {"model": model, "device": device, "views": views, **options}
        self._open(Shared(open_backend(model, device=device, **options)))

    def _open(self, shared: Shared[Backend]) -> None:
        self._shared, self._backend, self._process = shared, shared.value, os.getpid()
        views = self._arguments["views"]
        self._lock, self._closed = threading.Lock(), False
        try:
            self._slot = self._backend.slot(self._backend.max_batch, views=views)
        except Exception:
            shared.release()
            raise

    def clone(self) -> Detector:
        """Return a detector for another thread: it shares the model, not streams, contexts and memory.

        Raises:
            RunnerError: If the detector is closed.
            OutOfMemoryError: If memory does not suffice for another one.
        """
        self._check_open()
        twin = object.__new__(Detector)
        twin._arguments = self._arguments
        twin._open(self._shared.retain())
        return twin

    def __reduce__(self) -> tuple[Callable[[], Detector], tuple[()]]:
        """Pickle the model and the options, with which another process opens the model again.

        Raises:
            RunnerError: If the detector is of an opened backend.
        """
        if not isinstance(self._arguments["model"], (str, os.PathLike)):
            raise RunnerError("a detector of an opened backend cannot be pickled; open it by name or file")
        return partial(Detector, **self._arguments), ()

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""
        return self._backend.info

    @property
    def thresholds(self) -> Thresholds:
        """Effective thresholds: the caller's, else the model's."""
        return self._backend.info.thresholds

    @overload
    def __call__(self, images: ImageOrFrame, *, stream: object = None) -> Detections: ...

    @overload
    def __call__(self, images: Sequence[ImageOrFrame], *, stream: object = None) -> list[Detections]: ...

    def __call__(
        self, images: ImageOrFrame | Sequence[ImageOrFrame], *, stream: object = None
    ) -> Detections | list[Detections]:
        """Find the faces of one image, or of several.

        Args:
            images: Image, or list or tuple of images of any sizes; each a uint8 [H, W, 3] array in BGR or a
                `Frame`.  Images with the same network input size run as one batch; others do not, because
                the padding would change the faces that are found.  An engine also takes arrays in device
                memory (``__cuda_array_interface__``).
            stream: CUDA stream whose work fills device arrays; see `Frame`.

        Returns:
            `Detections` in the pixels of the image; a list of them, in order, for several images.

        Raises:
            ImageError: If an image has an unsupported type, shape or dtype; nothing is run.
            ModelError, EngineError, CudaError: If the network fails.
            RunnerError: If the detector is closed.
        """
        self._check_open()
        if not isinstance(images, (list, tuple)):
            return self._detect([self._frame(images, stream)])[0]
        return self._detect([self._frame(image, stream, f" {i}") for i, image in enumerate(images)])

    def close(self) -> None:
        """Free the detector, and the model with its last clone; closing twice is harmless."""
        if os.getpid() != self._process:  # threads and GPU memory belong to the other process
            return
        with self._lock:  # not during a call
            if not self._closed:
                self._closed = True
                self._slot.close()
                self._shared.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if os.getpid() != self._process:
            raise RunnerError(FORKED.format("detector"))
        if self._closed:
            raise RunnerError("the detector is closed; open a new one")

    def _frame(self, image: Any, stream: object, number: str = "") -> Frame:
        try:
            frame = Frame.of(image, stream=stream)
            self._backend.check(frame)
        except ImageError as error:
            raise ImageError(f"image{number}{str(error).removeprefix('image')}") from error
        return frame

    def _detect(self, frames: Sequence[Frame]) -> list[Detections]:
        batches: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, frame in enumerate(frames):
            batches[self._backend.place(*frame.size).canvas].append(index)
        found: dict[int, Detections] = {}
        most = self._backend.max_batch
        for members in batches.values():
            for part in (members[at : at + most] for at in range(0, len(members), most)):
                with self._lock:
                    self._check_open()  # it may have been closed while this call waited
                    self._slot.submit([frames[index] for index in part])
                    found.update(zip(part, self._slot.wait()))
        return [found[index] for index in range(len(frames))]
