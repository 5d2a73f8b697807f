"""Python model of Triton: a `Runner` behind Triton's queue.

``model.py`` of a repository that `engine_build.triton` writes imports `TritonPythonModel` from here.  The
module ``triton_python_backend_utils`` exists in Triton's Python process only.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.triton import served
from trt_mogface.detections import Detections
from trt_mogface.errors import ArgumentError, ImageError, MogFaceError, first_line
from trt_mogface.runner import Runner

SLOTS = 2
"""Batches in flight: while the network runs one, the next is prepared."""

GATHER_MS = 0.5
"""Milliseconds in which the images of a batch of requests reach the runner, which makes them one batch."""


class TritonPythonModel:
    """A model that finds the faces of images, for Triton's Python backend.

    Requests are answered when they are done, not when `execute` returns: the network is never idle while
    requests wait.  `execute` waits while `SLOTS` batches are in flight, so that further requests wait in
    Triton's queue, which is bounded, and become large batches.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model of a version.

        Args:
            args: ``model_config`` as JSON, ``model_repository``, ``model_version``, and kind and device of
                the instance.
        """
        import triton_python_backend_utils as triton

        self._triton = triton
        config = json.loads(args["model_config"])
        values = {name: value["string_value"] for name, value in config["parameters"].items()}
        model = Path(args["model_repository"]) / args["model_version"] / values[served.FILE]
        on_gpu = args["model_instance_kind"] == "GPU"
        self._runner = Runner(
            model,
            device=int(args["model_instance_device_id"]) if on_gpu else None,
            batch=config["max_batch_size"],
            slots=SLOTS,
            max_delay_ms=GATHER_MS,
            **json.loads(values[served.OPTIONS]),
        )
        self._free = threading.Semaphore(SLOTS)
        self._outputs = [each["name"] for each in config["output"]]

    def execute(self, requests: Sequence[Any]) -> None:
        """Queue the images of requests; each request is answered through its sender."""
        self._free.acquire()
        batch = _Countdown(len(requests), self._free.release)
        for request in requests:
            futures = [self._submitted(image) for image in self._images(request)]
            answer = _Countdown(len(futures), partial(self._answer, request, futures, batch))
            for future in futures:
                future.add_done_callback(answer)

    def finalize(self) -> None:
        """Answer what waits, and free the model."""
        self._runner.close()

    def _images(self, request: Any) -> NDArray[np.uint8]:
        tensor = self._triton.get_input_tensor_by_name(request, served.IMAGES)
        # `as_numpy` gives zeros under NumPy 2 (triton-inference-server/server#7647).
        return np.asarray(np.from_dlpack(tensor), np.uint8)

    def _submitted(self, image: NDArray[np.uint8]) -> Future[Detections]:
        try:
            return self._runner.submit(image)
        except MogFaceError as error:
            failed: Future[Detections] = Future()
            failed.set_exception(error)
            return failed

    def _answer(self, request: Any, futures: Sequence[Future[Detections]], batch: _Countdown) -> None:
        """Answer a request, whose memory the images are, and count it in its batch."""
        triton = self._triton
        try:
            arrays = arrays_of([future.result() for future in futures])
            response = triton.InferenceResponse(
                [_tensor(triton, name, arrays[name]) for name in self._outputs]
            )
        except Exception as error:  # noqa: BLE001 -- every request must be answered
            is_callers = isinstance(error, (ImageError, ArgumentError))
            code = triton.TritonError.INVALID_ARG if is_callers else triton.TritonError.INTERNAL
            response = triton.InferenceResponse(error=triton.TritonError(first_line(error), code))
        request.get_response_sender().send(response, flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        batch()


class _Countdown:
    """Calls a function once it was called a number of times."""

    def __init__(self, count: int, last: Callable[[], object]) -> None:
        self._count, self._last, self._lock = count, last, threading.Lock()

    def __call__(self, *_: object) -> None:
        with self._lock:
            self._count -= 1
            is_last = self._count == 0
        if is_last:
            self._last()


def arrays_of(found: Sequence[Detections]) -> dict[str, NDArray[Any]]:
    """Return the faces of N images as arrays with a row for each image, padded with zeros.

    Returns:
        ``num_detections``, ``dropped`` and ``truncated`` int32 [N, 1]; ``boxes`` float32 [N, M, 4],
        ``scores`` float32 [N, M] and ``landmarks`` float32 [N, M, points, 2] with M at least 1 and the
        largest number of faces of an image.  Without landmarks there are 0 points.
    """
    most = max(1, *map(len, found))  # Triton takes no array without elements by DLPack
    points = 0 if found[0].landmarks is None else found[0].landmarks.shape[1]
    boxes = np.zeros((len(found), most, 4), np.float32)
    scores = np.zeros((len(found), most), np.float32)
    landmarks = np.zeros((len(found), most, points, 2), np.float32)
    for row, faces in enumerate(found):
        boxes[row, : len(faces)], scores[row, : len(faces)] = faces.xyxy, faces.confidence
        if faces.landmarks is not None:
            landmarks[row, : len(faces)] = faces.landmarks
    counts = {
        served.COUNTS: [len(faces) for faces in found],
        served.DROPPED: [faces.dropped for faces in found],
        served.TRUNCATED: [faces.truncated for faces in found],
    }
    arrays = {served.BOXES: boxes, served.SCORES: scores, served.LANDMARKS: landmarks}
    return arrays | {name: np.array(values, np.int32)[:, None] for name, values in counts.items()}


def _tensor(triton: Any, name: str, values: NDArray[Any]) -> Any:
    # `Tensor(name, values)` goes out empty under NumPy 2 (triton-inference-server/server#8404).
    capsule = values.__dlpack__()
    # Triton gives a capsule that it takes a name that NumPy's destructor does not know, which then logs an
    # error for each tensor.  Triton frees the array itself.
    ctypes.pythonapi.PyCapsule_SetDestructor(ctypes.py_object(capsule), None)
    return triton.Tensor.from_dlpack(name, capsule)
