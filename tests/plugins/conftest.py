"""The CUDA kernels, compiled for the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.device import reseed
from tests.support.emulated import shared_library
from trt_mogface.kernels import Kernels
from trt_mogface.kernels.library import VARIABLE, Library


@pytest.fixture(scope="session")
def library() -> Path:
    """The emulated kernels; `TRT_MOGFACE_KERNELS` names others, such as those with a sanitizer."""
    path = Path(os.environ.get(VARIABLE) or shared_library())
    if not Library(path).runs_on_host:
        pytest.skip(f"{path} runs on a GPU, and these tests give it host memory")
    return path


@pytest.fixture(scope="session")
def kernels(library: Path) -> Kernels:
    return Kernels(library)


@pytest.fixture(autouse=True)
def _same_order_each_time(request: pytest.FixtureRequest) -> None:
    if "library" in request.fixturenames:
        reseed(request.getfixturevalue("library"), 0)
