"""A detector over a set of pictures, as many at a time as the machine has room for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from trt_mogface.backends.registry import is_engine
from trt_mogface.detector import Detector
from trt_mogface.evaluation.predictions import Predicted
from trt_mogface.evaluation.procedure import Procedure
from trt_mogface.images import read_image

ON_A_GPU = 2
"""Pictures at a time of an engine: while one is on the GPU, the next is read."""


def at_a_time(model: Path, threads: int | None) -> int:
    """How many pictures to have in hand.

    On the CPU as many as networks of so many threads fill its cores: ONNX Runtime's threads wait for each
    other at every layer, and reading the next picture beside them holds all up (a third more on 2 cores).

    Args:
        model: A contract file or an engine.
        threads: Of the network; None for all cores.
    """
    if is_engine(model):
        return ON_A_GPU
    return 1 if threads is None else max(1, len(os.sched_getaffinity(0)) // threads)


def detect_all(
    detector: Detector, procedure: Procedure, pictures: Sequence[Path], together: int = 1
) -> Iterator[Predicted]:
    """The predictions of each picture, in order; a few are in flight, whatever their number.

    Args:
        detector: Opened as the procedure says; the others are its clones.
        procedure: How it is tested.
        pictures: Files.
        together: Pictures at a time; see `at_a_time`.

    Raises:
        ImageError: A picture that cannot be read.
        MogFaceError: The network failed.
    """
    with ExitStack() as stack:
        idle: SimpleQueue[Detector] = SimpleQueue()
        idle.put(detector)
        for _ in range(together - 1):
            idle.put(stack.enter_context(detector.clone()))
        pool = ThreadPoolExecutor(together)
        stack.callback(pool.shutdown, cancel_futures=True)

        def run(path: Path) -> Predicted:
            image = read_image(path)
            detect = idle.get()
            try:
                return procedure.predict(detect, image)
            finally:
                idle.put(detect)

        flying: deque[Future[Predicted]] = deque()
        for path in pictures:
            flying.append(pool.submit(run, path))
            if len(flying) > 2 * together:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
