"""Which library provides CUDA."""

from __future__ import annotations

import sys

from trt_mogface.cuda.interface import Cuda
from trt_mogface.errors import UsageError

CUDA_PYTHON, PYCUDA = "cuda-python", "pycuda"


def open_cuda(device: int = 0, provider: str | None = None) -> Cuda:
    """CUDA on a device.

    Args:
        device: Number of the GPU.
        provider: ``cuda-python`` or ``pycuda``; None takes PyCUDA where a context of its is current in this
            thread, else cuda-python.

    Raises:
        UsageError: Another name.
        MissingExtraError: The library is not installed.
        CudaError: No driver, or no such device.
    """
    chosen = provider or (PYCUDA if _pycuda_is_current() else CUDA_PYTHON)
    if chosen == CUDA_PYTHON:
        from trt_mogface.cuda.cuda_python import CudaPython

        return CudaPython(device)
    if chosen == PYCUDA:
        from trt_mogface.cuda.pycuda import PyCuda

        return PyCuda(device)
    raise UsageError(f"CUDA provider {chosen!r}: is none of {CUDA_PYTHON}, {PYCUDA}")


def _pycuda_is_current() -> bool:
    """Only where the program has imported it already."""
    driver = sys.modules.get("pycuda.driver")
    return driver is not None and driver.Context.get_current() is not None
