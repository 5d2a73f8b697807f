"""A detector over a set of pictures: two at a time, so that reading and selecting hide behind the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from trt_mogface.accuracy.predictions import Predicted
from trt_mogface.accuracy.procedure import Procedure
from trt_mogface.detector import Detector
from trt_mogface.images import read_image

AT_A_TIME = 2


def detect_all(detector: Detector, procedure: Procedure, pictures: Sequence[Path]) -> Iterator[Predicted]:
    """The predictions of each picture, in order; a few are in flight, whatever their number.

    Args:
        detector: Opened as the procedure says; the others are its clones.
        procedure: How it is tested.
        pictures: Files.

    Raises:
        ImageError: A picture that cannot be read.
        MogFaceError: The network failed.
    """
    with ExitStack() as stack:
        idle: SimpleQueue[Detector] = SimpleQueue()
        idle.put(detector)
        for _ in range(AT_A_TIME - 1):
            idle.put(stack.enter_context(detector.clone()))
        pool = ThreadPoolExecutor(AT_A_TIME)
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
            if len(flying) > 2 * AT_A_TIME:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
