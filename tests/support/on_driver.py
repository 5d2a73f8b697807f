"""The GPU's backend on the driver of `fake_driver`, for programs that `real_cuda.run` starts."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable
from typing import Any

from tests.support.emulated import shared_library
from tests.support.host_cuda import HostNetwork
from trt_mogface.backends.gpu.backend import GpuBackend
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.backends.options import DetectorOptions, SlotOptions
from trt_mogface.cuda import Cuda
from trt_mogface.kernels import Kernels
from trt_mogface.models.cards import DEFAULT, embedded_file

SIZE = (256, 192)
MAX_SHAPE = (4, 192, 256)

Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Queues:
    """Python functions as kernels in the driver's streams."""

    def __init__(self) -> None:
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._driver.fakeCudaLaunch.argtypes = [ctypes.c_void_p, Callback, ctypes.c_void_p, ctypes.c_void_p]
        self._work: dict[int, Callable[[], object]] = {}  # kept: graphs may run it at any time
        self._run = Callback(self._once)

    def do(self, stream: Any, work: Callable[[], object]) -> None:
        """Queue work, as often as a graph with it is launched."""
        number = len(self._work) + 1
        self._work[number] = work
        error = self._driver.fakeCudaLaunch(stream.handle, self._run, number, None)
        if error:
            raise RuntimeError(f"a network's launch failed with error {error}")

    def _call(self, name: str) -> None:
        """Do nothing; `HostCuda` notes the name."""

    def _once(self, number: int) -> None:
        try:
            self._work[number]()
        except BaseException:  # noqa: BLE001 -- an exception cannot pass through the driver
            traceback.print_exc()
            os.abort()


def backend(cuda: Cuda, network: Any = None, **options: Any) -> GpuBackend:
    """Return a backend with ONNX Runtime as the engine, or with another network."""
    model = OnnxNetwork(embedded_file(DEFAULT), threads=1)
    resolved = SlotOptions.resolve(model.spec, DetectorOptions(**{"size": SIZE} | options))  # type: ignore[typeddict-item]
    queues: Any = Queues()
    network = network or HostNetwork
    return GpuBackend(
        network(model, queues, MAX_SHAPE), cuda, Kernels(shared_library()), resolved, [MAX_SHAPE]
    )
