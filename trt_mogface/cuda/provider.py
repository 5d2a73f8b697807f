"""`open_cuda`: the choice of the library that provides CUDA."""

from __future__ import annotations

import sys

from trt_mogface.cuda.interface import Cuda
from trt_mogface.errors import ArgumentError

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
    chosen = provider or (PYCUDA if _pycuda_is_current() else CUDA_PYTHON)
    if chosen == CUDA_PYTHON:
        from trt_mogface.cuda.cuda_python import CudaPython

        return CudaPython(device)
    if chosen == PYCUDA:
        from trt_mogface.cuda.pycuda import PyCuda

        return PyCuda(device)
    known = f"{CUDA_PYTHON}, {PYCUDA}"
    raise ArgumentError("provider", f"unknown CUDA provider (choose from {known})", repr(chosen))


def _pycuda_is_current() -> bool:
    """Return whether the program has imported PyCUDA and made a context current."""
    driver = sys.modules.get("pycuda.driver")
    return driver is not None and driver.Context.get_current() is not None
