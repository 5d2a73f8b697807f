"""Run a detector over a set of images, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from trt_mogface.detector import Detector
from trt_mogface.errors import FAILURES_OF_AN_IMAGE, reason_of
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.procedure import Procedure
from trt_mogface.images import read_image
from trt_mogface.machine.cpu import available_cores
from trt_mogface.models.manifest import is_engine

ON_GPU = 2
"""Images at a time of an engine: while one is on the GPU, the next is read."""


@dataclass(frozen=True)
class Failed:
    """An image that could not be used, and why."""

    reason: str


def at_a_time(model: str | Path, threads: int | None) -> int:
    """Return how many images to process at a time.

    On the CPU: as many as there are networks of ``threads`` threads (None: all) on its cores.  ONNX Runtime's
    threads wait for each other at every layer, so reading the next image beside them delays all (by a third
    on 2 cores).
    """
    if is_engine(model):
        return ON_GPU
    return 1 if threads is None else max(1, available_cores() // threads)


def detect_all(
    detector: Detector, procedure: Procedure, images: Sequence[Path], together: int = 1
) -> Iterator[Predicted | Failed]:
    """Yield the predictions of each image, in order; the number of images in memory is bounded.

    Args:
        detector: Detector opened with `Procedure.options`; it is cloned for more than one image at a time.
        procedure: Test procedure.
        images: Files.
        together: Number of images at a time; see `at_a_time`.
    """
    with ExitStack() as stack:
        idle: SimpleQueue[Detector] = SimpleQueue()
        idle.put(detector)
        for _ in range(together - 1):
            idle.put(stack.enter_context(detector.clone()))
        pool = ThreadPoolExecutor(together)
        stack.callback(pool.shutdown, cancel_futures=True)

        def run(path: Path) -> Predicted | Failed:
            detect = None
            try:
                image = read_image(path)
                detect = idle.get()
                return procedure.predict(detect, image)
            except FAILURES_OF_AN_IMAGE as error:
                return Failed(reason_of(error, path))
            finally:
                if detect is not None:
                    idle.put(detect)

        pending: deque[Future[Predicted | Failed]] = deque()
        for path in images:
            pending.append(pool.submit(run, path))
            if len(pending) > 2 * together:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
