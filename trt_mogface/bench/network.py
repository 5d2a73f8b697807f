"""The network only, as trtexec measures it: without preprocessing and selection of faces."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.bench.measurement import Measurement, MeasureOptions, check_fits, closed_loop
from trt_mogface.models.manifest import Shape
from trt_mogface.spec import DetectorSpec

if TYPE_CHECKING:
    from trt_mogface.backends.gpu.network import DeviceNetwork
    from trt_mogface.cuda import Cuda, DeviceMemory

IN_FLIGHT = 2
"""Runs enqueued and not yet waited for, so that the GPU does not wait for the host; as in trtexec."""


def on_cpu(model: Path, shape: Shape, threads: int | None, options: MeasureOptions) -> Measurement:
    """Measure a contract ONNX file in ONNX Runtime, on noise; no `threads` lets ONNX Runtime choose."""
    images = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    with OnnxNetwork(model, threads=threads) as network:
        return closed_loop(lambda: network.run(images), shape[0], options)


def on_gpu(engine: Path, shape: Shape, device: int, options: MeasureOptions) -> Measurement:
    """Measure an engine with its manifest beside it by ``enqueueV3`` (`EngineTimer`).  Untested on a GPU."""
    with open_timer(engine, shape, device) as timer:
        return timer.measure(options)


def open_timer(engine: Path, shape: Shape, device: int) -> EngineTimer:
    """Open a timer of an engine that must run here and accept the shape."""
    from trt_mogface.backends.gpu.engine import TensorRTNetwork, check_runs_here
    from trt_mogface.cuda import open_cuda

    manifest, flavor = check_runs_here(engine, device)
    manifest.check_shape(shape, engine)
    cuda = open_cuda(device)
    return EngineTimer(cuda, TensorRTNetwork(engine, manifest, flavor, cuda), manifest.spec, shape)


class EngineTimer(ExitStack):
    """Timer of a network on a GPU, with memory for one shape.

    The input is noise: multiplying zeros needs less power, so that the clocks would be higher than in use.

    The time of a run is that between two events around it on the device, without transfers.  Closing the
    timer frees the network and all memory.

    Raises:
        OutOfMemoryError: If memory does not suffice; nothing is kept.
    """

    def __init__(self, cuda: Cuda, network: DeviceNetwork, spec: DetectorSpec, shape: Shape) -> None:
        super().__init__()
        self._cuda, self._network, self._shape = cuda, network, shape
        with ExitStack() as made:

            def keep(resource: Any) -> Any:
                made.callback(resource.close)
                return resource

            made.enter_context(cuda.current())
            keep(network)
            self._stream = keep(cuda.stream())
            events = [keep(cuda.event(timed=True)) for _ in range(2 * IN_FLIGHT)]
            self._events = list(zip(events[::2], events[1::2]))
            self._images = keep(cuda.allocate(math.prod(shape) * 3))
            self._fill(self._images)
            sizes = {name: 4 * math.prod(sides) for name, sides in spec.output_shapes(*shape).items()}
            self._outputs = {name: keep(cuda.allocate(size)).handle for name, size in sizes.items()}
            self._scratch = keep(cuda.allocate(max(1, network.scratch_bytes)))
            self.push(made.pop_all())

    def _fill(self, images: DeviceMemory) -> None:
        with closing(self._cuda.pin(images.nbytes)) as noise:
            noise.array[:] = np.random.default_rng(0).integers(0, 256, images.nbytes, np.uint8)
            self._cuda.copy_in(images, noise, images.nbytes, self._stream)
            self._cuda.synchronize(self._stream)

    def run(self) -> float:
        """Run once, wait, and return the milliseconds."""
        self._enqueue(0)
        return self._wait(0)

    def repeat(self, seconds: float, iterations: int) -> tuple[list[float], float]:
        """Return the milliseconds of each run, and the seconds of all together.

        It runs for at least `seconds` and `iterations` runs, with `IN_FLIGHT` runs enqueued at a time.
        """
        times: list[float] = []
        begun, enqueued = time.perf_counter(), 0
        while enqueued < iterations or time.perf_counter() < begun + seconds:
            if enqueued >= IN_FLIGHT:
                times.append(self._wait(enqueued % IN_FLIGHT))
            self._enqueue(enqueued % IN_FLIGHT)
            enqueued += 1
        times += [self._wait(each % IN_FLIGHT) for each in range(len(times), enqueued)]
        return times, time.perf_counter() - begun

    def measure(self, options: MeasureOptions) -> Measurement:
        """Warm up, then measure."""
        self.run()
        warm, _ = self.repeat(options.warm_up, 1)
        check_fits(warm[-1] / 1e3, options)
        times, seconds = self.repeat(options.duration, options.iterations)
        return Measurement.of(times, seconds, len(times) * self._shape[0])

    def _enqueue(self, turn: int) -> None:
        begin, end = self._events[turn]
        self._cuda.record(begin, self._stream)
        self._network.enqueue(self._shape, self._images.handle, self._outputs, self._scratch, self._stream)
        self._cuda.record(end, self._stream)

    def _wait(self, turn: int) -> float:
        begin, end = self._events[turn]
        self._cuda.wait(end)
        return self._cuda.elapsed(begin, end)
