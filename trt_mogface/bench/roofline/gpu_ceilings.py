"""The ceilings of this machine's GPU, measured with torch: a device copy, and matrix products by precision.

CUDA events around runs on the device, the median after a warm-up.  This has not run on a GPU yet: the tests
put a torch of their own in its place.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from types import ModuleType
from typing import Any

from trt_mogface._optional import require
from trt_mogface.bench.roofline.ceilings import Ceilings, gathered
from trt_mogface.errors import UsageError

COPIED = 1 << 30
"""Bytes; the largest L2 caches hold some 50 MB."""

SIDES = (8192, 4096, 2048)
"""Of the square matrices: the largest that fits."""

WARM_UP, RUNS = 5, 20


def measure_gpu(copied: int = COPIED, *, device: int = 0) -> Ceilings:
    """Bandwidth, and the rates of what the GPU can multiply; the rest is left out with the reason.

    Args:
        copied: Bytes of the array that is copied.
        device: Number of the GPU, which becomes torch's current one.

    Raises:
        UsageError: There is no GPU, or a torch without CUDA.
        MissingExtraError: torch is not installed.
    """
    torch = require("torch", extra="build")
    if not torch.cuda.is_available():
        raise UsageError("the ceilings of a GPU need an NVIDIA GPU and a torch with CUDA: none was found")
    torch.cuda.set_device(device)
    return gathered(
        torch.cuda.get_device_name(),
        copy_bandwidth(torch, copied),
        [
            ("fp32", lambda: product_rate(torch, lambda n: _plain(torch, n, torch.float32))),
            ("fp16", lambda: product_rate(torch, lambda n: _plain(torch, n, torch.float16))),
            ("bf16", lambda: product_rate(torch, lambda n: _plain(torch, n, torch.bfloat16))),
            ("int8", lambda: product_rate(torch, lambda n: _int8(torch, n))),
            ("fp8", lambda: product_rate(torch, lambda n: _fp8(torch, n))),
        ],
    )


def copy_bandwidth(torch: ModuleType, copied: int) -> float:
    """Bytes a second of a copy on the device, read and written."""
    source = torch.ones(copied, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return float(2 * copied / _seconds(torch, lambda: target.copy_(source)))


def product_rate(torch: ModuleType, product: Callable[[int], Callable[[], object]]) -> float:
    """Operations a second of the product of square matrices.

    Args:
        torch: With CUDA.
        product: Of a side, what multiplies two such matrices.

    Raises:
        RuntimeError: The product is not supported, or not even the least side fits.
    """
    for side in SIDES:
        with contextlib.suppress(torch.cuda.OutOfMemoryError):
            return 2 * side**3 / _seconds(torch, product(side))
    raise RuntimeError("not enough free memory on the GPU")


def _plain(torch: ModuleType, side: int, kind: Any) -> Callable[[], object]:
    """By ``torch.matmul``; FP32 is not rounded to TF32 unless the program asked torch for that."""
    left, right = (torch.ones(side, side, device="cuda").to(kind) for _ in range(2))
    return lambda: torch.matmul(left, right)


def _int8(torch: ModuleType, side: int) -> Callable[[], object]:
    left, right = (torch.ones(side, side, dtype=torch.int8, device="cuda") for _ in range(2))
    return lambda: torch._int_mm(left, right.t())  # the second by columns, as tensor cores read it


def _fp8(torch: ModuleType, side: int) -> Callable[[], object]:
    left, right = (torch.ones(side, side, device="cuda").to(torch.float8_e4m3fn) for _ in range(2))
    one = torch.ones((), device="cuda")
    return lambda: torch._scaled_mm(left, right.t(), scale_a=one, scale_b=one, out_dtype=torch.float16)


def _seconds(torch: ModuleType, launch: Callable[[], object]) -> float:
    """The median time of a launch on the device."""
    for _ in range(WARM_UP):
        launch()
    times = []
    for _ in range(RUNS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        launch()
        end.record()
        torch.cuda.synchronize()
        times.append(float(begin.elapsed_time(end)) * 1e-3)
    return statistics.median(times)
