"""`Detector`: pictures in, `Detections` out."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.base import Placed
from trt_mogface.backends.options import Choices
from trt_mogface.backends.registry import Backend, Shared, open_backend
from trt_mogface.detections import Detections
from trt_mogface.errors import ModelError
from trt_mogface.kernels.arrays import stream_handle
from trt_mogface.models.cards import DEFAULT
from trt_mogface.spec import DetectorSpec, Thresholds


class Detector:
    """Finds faces.

    Args:
        model: A contract ONNX file, an engine, or the name of a model (``trt-mogface models`` lists them).
        weights: Trained weights for a named model that does not bring its own.
        min_face: Leave out the pyramid levels that only see faces smaller than this many pixels.
        size: Width and height of a fixed network input that pictures are scaled into, keeping their
            shape; None runs each picture at its own size.
        pad: At its own size, pad a picture to a multiple of 32 as MogFace's model card asks; False feeds
            the raw size as the published code does.
        conf, iou: Score and IoU thresholds, within 0..1; None takes the model's.
        top_k: Candidates that enter the suppression; None takes the model's.
        max_det: Most faces per picture; None takes the model's.
        threads: CPU threads; None lets ONNX Runtime choose.
        device: Number of the GPU that an engine runs on.
        provider: Which library provides CUDA: see `trt_mogface.cuda.open_cuda`.
        views: With an engine, whether faces are views of memory that the next call overwrites, not copies.

    Calls from several threads take turns; `clone` gives each thread a detector of its own.

    Raises:
        ModelError: An unknown name, or a file that is not of the contract.
        ImageError: An impossible size.
        MissingExtraError: The model has to be made first and the packages for that are missing.
        EngineError, KernelError, CudaError, OutOfMemoryError: An engine that cannot run here.

    Example:
        >>> import numpy as np
        >>> with Detector() as detect:
        ...     faces = detect(np.zeros((48, 64, 3), np.uint8))
        >>> len(faces), faces.image_size
        (0, (48, 64))
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
        device: int = 0,
        provider: str | None = None,
        views: bool = False,
    ) -> None:
        choices = Choices(size=size, pad=pad, conf=conf, iou=iou, top_k=top_k, max_det=max_det)
        backend = open_backend(
            model,
            choices,
            weights=weights,
            min_face=min_face,
            threads=threads,
            device=device,
            provider=provider,
        )
        self._open(Shared(backend), views)

    def _open(self, shared: Shared, views: bool) -> None:
        self._shared, self._views = shared, views
        self._backend = shared.backend
        self._lock = threading.Lock()
        try:
            self._slot = self._backend.slot(self._backend.most_pictures, views=views)
        except Exception:
            shared.release()
            raise
        self._closed = False

    def clone(self) -> Detector:
        """A detector of its own for another thread: the model is shared, stream, context and memory are not.

        Raises:
            ModelError: The detector is closed.
            OutOfMemoryError: There is no room for another one.
        """
        self._check_open()
        twin = object.__new__(Detector)
        twin._open(self._shared.retain(), self._views)
        return twin

    @property
    def spec(self) -> DetectorSpec:
        """The model's spec."""
        return self._backend.settings.spec

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds in force."""
        return self._backend.settings.thresholds

    @overload
    def __call__(self, images: NDArray[np.uint8], *, stream: object = None) -> Detections: ...

    @overload
    def __call__(self, images: Sequence[NDArray[np.uint8]], *, stream: object = None) -> list[Detections]: ...

    def __call__(
        self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], *, stream: object = None
    ) -> Detections | list[Detections]:
        """Find the faces of one picture, or of several.

        Args:
            images: uint8 [H, W, 3], BGR, or a sequence of such arrays of any sizes.  Pictures that share
                a network input size run as one batch; the others do not, because MogFace's group
                normalization sees the padding, and a picture's faces must not depend on its neighbors.
                With an engine, arrays of the device too (``__cuda_array_interface__``).
            stream: Whose work fills arrays of the device; see `trt_mogface.Runner.submit`.

        Returns:
            `Detections` in the picture's own pixels; a list of them, in order, for a sequence.

        Raises:
            ImageError: An array of another type or shape; nothing is run.
            ModelError: The network failed, or the detector is closed.
        """
        self._check_open()
        if isinstance(images, (list, tuple)):
            checked = [self._backend.check(each, f"image {i}") for i, each in enumerate(images)]
            return self._detect(checked, stream)
        return self._detect([self._backend.check(images)], stream)[0]

    def close(self) -> None:
        """Free what is its own, and the model with its last clone; closing twice is harmless."""
        with self._lock:  # not under a call that runs
            if not self._closed:
                self._closed = True
                self._slot.close()
                self._shared.release()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError("the detector is closed: make a new one")

    def _detect(self, images: list[Any], stream: object) -> list[Detections]:
        handle = None if stream is None else stream_handle(stream)
        placed = [Placed(each, self._backend.settings.place(*each.shape[:2]), handle) for each in images]
        batches: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, picture in enumerate(placed):
            batches[picture.placement.canvas].append(index)
        found: dict[int, Detections] = {}
        most = self._backend.most_pictures
        for members in batches.values():
            for part in (members[at : at + most] for at in range(0, len(members), most)):
                with self._lock:
                    self._check_open()  # it may have been closed while this waited
                    self._slot.begin([placed[index] for index in part])
                    found.update(zip(part, self._slot.end()))
        return [found[index] for index in range(len(images))]
