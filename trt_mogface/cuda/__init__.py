"""CUDA for the rest of the package: one device in its primary context, by cuda-bindings or PyCUDA."""

import sys

from trt_mogface.cuda.interface import Cuda, Device
from trt_mogface.cuda.resources import DeviceArray, DeviceMemory, Event, Graph, PinnedMemory, Stream
from trt_mogface.errors import ArgumentError

__all__ = [
    "Cuda",
    "Device",
    "DeviceArray",
    "DeviceMemory",
    "Event",
    "Graph",
    "PinnedMemory",
    "Stream",
    "open_cuda",
]

CUDA_PYTHON, PYCUDA = "cuda-python", "pycuda"


def open_cuda(device: int = 0, provider: str | None = None) -> Cuda:
    """Open CUDA on a device.

    Args:
        device: Number of the GPU.
        provider: ``cuda-python`` or ``pycuda``; None chooses PyCUDA if one of its contexts is current in this
            thread, else cuda-python.

    Raises:
        ArgumentError: If `provider` is unknown.
        MissingExtraError: If the library is not installed.
        CudaError: If there is no driver or no such device.
    """
    if not provider:
        driver = sys.modules.get("pycuda.driver")
        current = driver is not None and driver.Context.get_current() is not None
        provider = PYCUDA if current else CUDA_PYTHON
    if provider == CUDA_PYTHON:
        from trt_mogface.cuda.cuda_python import CudaPython

        return CudaPython(device)
    if provider == PYCUDA:
        from trt_mogface.cuda.pycuda import PyCuda

        return PyCuda(device)
    known = f"{CUDA_PYTHON}, {PYCUDA}"
    raise ArgumentError("provider", f"unknown CUDA provider (choose from {known})", repr(provider))
