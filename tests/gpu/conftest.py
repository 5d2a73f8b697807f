"""What needs an NVIDIA GPU; torch holds the device memory."""

from __future__ import annotations

from typing import Any

import pytest

from trt_mogface.errors import KernelError
from trt_mogface.kernels import Kernels


@pytest.fixture(scope="session")
def torch() -> Any:
    module = pytest.importorskip("torch", reason="torch, which holds the device memory, is not installed")
    if not module.cuda.is_available():
        pytest.skip("no NVIDIA GPU, or torch was built without CUDA")
    return module


@pytest.fixture(scope="session")
def kernels(torch: Any) -> Kernels:  # noqa: ARG001 -- without a GPU nothing runs
    try:
        return Kernels()
    except KernelError as error:
        pytest.skip(str(error))
