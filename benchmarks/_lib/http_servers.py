"""Processes of `benchmarks.serve`: a service with recorded outputs or a real network, LitServe, no service.

python -m benchmarks._lib.http_servers KIND JSON
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.base import Backend, Network, Outputs
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.backends.registry import open_backend
from trt_mogface.images import decode_image
from trt_mogface.runner import Runner
from trt_mogface.serving.http import Service, ServiceOptions, bind, serve

SLOTS = 2


class RecordedNetwork:
    """A network that runs once for each input size, and then gives the same outputs again.

    Args:
        network: The real one.
        base, each: Seconds that a batch takes, and more for each image; it sleeps, as one waits for a GPU.
    """

    def __init__(self, network: Network, base: float, each: float) -> None:
        self._network, self._base, self._each = network, base, each
        self._recorded: dict[tuple[int, ...], Outputs] = {}
        self.spec, self.max_shapes, self.check_shape = network.spec, network.max_shapes, network.check_shape

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        if images.shape[1:] not in self._recorded:
            self._recorded[images.shape[1:]] = self._network.run(images[:1])
        if self._base:
            time.sleep(self._base + self._each * len(images))
        scores, deltas, points = self._recorded[images.shape[1:]]
        count = len(images)
        repeated = None if points is None else np.repeat(points, count, 0)
        return Outputs(np.repeat(scores, count, 0), np.repeat(deltas, count, 0), repeated)

    def clone(self) -> RecordedNetwork:
        return self

    def close(self) -> None:
        self._network.close()


def recorded(options: dict[str, Any]) -> Backend:
    """Return the default model on the CPU, with recorded outputs."""
    backend = open_backend("retinaface-mnet025", size=tuple(options["size"]), slots=SLOTS)
    assert isinstance(backend, CpuBackend)
    backend.network = RecordedNetwork(  # type: ignore[assignment]
        backend.network, options.get("base", 0.0), options.get("each", 0.0)
    )
    return backend


def service(options: dict[str, Any]) -> None:
    """Serve until SIGTERM; print the port, and at the end the number of requests without an answer."""
    slots, size = options.get("slots", SLOTS), tuple(options["size"])
    is_real = options.get("real", False)
    backend = open_backend("retinaface-mnet025", size=size, slots=slots) if is_real else recorded(options)
    runner = Runner(backend, batch=options["batch"], slots=slots)
    limits = ServiceOptions(threads=2, per_client=100_000, **options.get("limits", {}))
    made, listening = Service(runner, limits, at_once=2 * slots * options["batch"]), bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    unanswered = serve(made, listening, lambda _: print(port, flush=True))
    with suppress(BrokenPipeError):  # nobody asks
        print(unanswered, flush=True)
    runner.close(cancel=True)
    made.close()


def direct(options: dict[str, Any]) -> None:
    """Decode and detect in this process, with as many images under way as there would be clients.

    For each line of stdin, print the CPU seconds of so that many images.
    """
    data = Path(options["file"]).read_bytes()
    with (
        Runner(recorded(options), batch=options["batch"], slots=SLOTS) as runner,
        ThreadPoolExecutor(2) as pool,
    ):

        def one() -> bytes:
            faces = runner.submit(decode_image(data)).result()
            return faces.to_json().encode()

        def start() -> Any:
            return pool.submit(lambda: runner.submit(decode_image(data)))

        def run(count: int) -> None:
            waiting = [start() for _ in range(options["clients"])]
            for number in range(count):
                waiting.pop(0).result().result().to_json()
                if number < count - options["clients"]:
                    waiting.append(start())

        run(options["clients"])
        print("ready", flush=True)
        for line in sys.stdin:
            before = time.process_time()
            run(int(line))
            print(time.process_time() - before, flush=True)


def litserve(options: dict[str, Any]) -> None:
    """Serve the same detector and batch with LitServe."""
    from benchmarks._lib.litserve_faces import server

    server(tuple(options["size"]), options["batch"]).run(
        host="127.0.0.1", port=options["port"], generate_client_file=False, log_level="error"
    )


KINDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "service": service,
    "direct": direct,
    "litserve": litserve,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](json.loads(sys.argv[2]))
