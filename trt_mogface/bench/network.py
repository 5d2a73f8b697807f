"""The network alone, which is what trtexec measures: no picture placed, no face chosen."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.bench.measurement import Measurement, Settings, check_fits, closed_loop
from trt_mogface.models.manifest import Shape
from trt_mogface.spec import DELTAS, LANDMARKS, SCORES, DetectorSpec

if TYPE_CHECKING:
    from trt_mogface.backends.gpu.slot import DeviceNetwork as Network
    from trt_mogface.cuda import Cuda

IN_FLIGHT = 2
"""Runs given to the GPU and not yet waited for, so that it need not wait for the host; as trtexec does."""


def on_cpu(model: Path, shape: Shape, threads: int | None, settings: Settings) -> Measurement:
    """A contract ONNX file by ONNX Runtime.

    Args:
        model: The file.
        shape: Pictures, height, width; the pictures are noise.
        threads: CPU threads; None lets ONNX Runtime choose.
        settings: How long.

    Raises:
        ModelError: The file cannot be used, or the network failed.
        UsageError: One run takes longer than the measurement.
    """
    images = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    with OnnxNetwork(model, threads=threads) as executor:
        return closed_loop(lambda: executor.run(images), shape[0], settings)


def on_gpu(engine: Path, shape: Shape, device: int, settings: Settings) -> Measurement:
    """An engine by ``enqueueV3``; see `DeviceNetwork`.  No GPU has run this so far.

    Args:
        engine: Its manifest lies beside it.
        shape: Pictures, height, width.
        device: Number of the GPU.
        settings: How long.

    Raises:
        EngineError: It does not run here, or does not take the shape.
        CudaError, OutOfMemoryError: The GPU cannot.
        UsageError: One run takes longer than the measurement.
    """
    from trt_mogface.backends.gpu.engine import TensorRTNetwork, check_runs_here
    from trt_mogface.cuda import open_cuda

    manifest, flavor = check_runs_here(engine, device)
    manifest.check_shape(shape, engine)
    cuda = open_cuda(device)
    loaded = TensorRTNetwork(engine, manifest, flavor, cuda)
    with DeviceNetwork(cuda, loaded, manifest.spec, shape) as network:
        return network.measure(settings)


class DeviceNetwork:
    """A network on a device, with memory for one shape; what is in its input does not matter to its time.

    The time of a run is that between two events around it on the device; transfers are not part of it.

    Args:
        cuda: The device.
        network: Closed with this.
        spec: How large its outputs are.
        shape: Pictures, height, width.

    Raises:
        OutOfMemoryError: There is no room; nothing is kept.
    """

    def __init__(self, cuda: Cuda, network: Network, spec: DetectorSpec, shape: Shape) -> None:
        self._cuda, self._network, self._shape = cuda, network, shape
        rows = shape[0] * spec.anchor_count(*shape[1:])
        sizes = {SCORES: 4 * rows, DELTAS: 16 * rows}
        if spec.landmarks:
            sizes[LANDMARKS] = 8 * spec.landmarks * rows
        with ExitStack() as made:

            def keep(resource: Any) -> Any:
                made.callback(resource.close)
                return resource

            keep(network)
            cuda.activate()
            self._stream = keep(cuda.stream())
            self._events = [
                (keep(cuda.event(timed=True)), keep(cuda.event(timed=True))) for _ in range(IN_FLIGHT)
            ]
            self._images = keep(cuda.allocate(int(np.prod(shape)) * 3))
            self._outputs = {name: keep(cuda.allocate(nbytes)).handle for name, nbytes in sizes.items()}
            self._scratch = keep(cuda.allocate(max(1, network.scratch_bytes)))
            self._made = made.pop_all()

    def run(self) -> float:
        """One run, waited for; its milliseconds."""
        self._enqueue(0)
        return self._wait(0)

    def repeat(self, seconds: float, iterations: int) -> tuple[list[float], float]:
        """Run after run, `IN_FLIGHT` of them given at a time; see `trt_mogface.bench.measurement.repeat`.

        Returns:
            Milliseconds of each run, and the seconds of them all.
        """
        times: list[float] = []
        begun, given = time.perf_counter(), 0
        while given < iterations or time.perf_counter() < begun + seconds:
            if given >= IN_FLIGHT:
                times.append(self._wait(given % IN_FLIGHT))
            self._enqueue(given % IN_FLIGHT)
            given += 1
        times += [self._wait(each % IN_FLIGHT) for each in range(len(times), given)]
        return times, time.perf_counter() - begun

    def measure(self, settings: Settings) -> Measurement:
        """Warm up, then measure.

        Raises:
            EngineError, CudaError: The network failed.
            UsageError: One run takes longer than the measurement.
        """
        self.run()
        warm, _ = self.repeat(settings.warm_up, 1)
        check_fits(warm[-1] / 1e3, settings)
        times, seconds = self.repeat(settings.duration, settings.iterations)
        return Measurement.of(times, seconds, len(times) * self._shape[0])

    def close(self) -> None:
        """Free it all; closing twice is harmless."""
        self._made.close()

    def __enter__(self) -> DeviceNetwork:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _enqueue(self, turn: int) -> None:
        begin, end = self._events[turn]
        self._cuda.record(begin, self._stream)
        self._network.enqueue(self._shape, self._images.handle, self._outputs, self._scratch, self._stream)
        self._cuda.record(end, self._stream)

    def _wait(self, turn: int) -> float:
        begin, end = self._events[turn]
        self._cuda.wait(end)
        return self._cuda.elapsed(begin, end)
