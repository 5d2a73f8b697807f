"""Ceilings of this machine's GPU, measured with torch: a device copy, and matrix products by precision.

Times are medians between CUDA events, after a warm-up.  The data are random: constant data need less power,
so that the clocks, and with them the ceilings, would be higher than a network can reach.

Untested on a GPU: the tests replace torch.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from types import ModuleType
from typing import Any

from trt_mogface._optional import require
from trt_mogface.bench.roofline.ceilings import Ceilings, gathered
from trt_mogface.errors import DeviceError

COPIED = 1 << 30
"""Size of a copy in bytes; the largest L2 caches hold some 50 MB."""

SIDES = (8192, 4096, 2048)
"""Sides of the square matrices; the largest that fits counts."""

WARM_UP, RUNS = 5, 20


def measure_gpu(copied: int = COPIED, *, device: int = 0) -> Ceilings:
    """Measure the bandwidth, and the rate in each precision; precisions that fail are left out.

    Args:
        copied: Size of the copy in bytes.
        device: Number of the GPU, which becomes torch's current one.

    Raises:
        DeviceError: If there is no GPU, or torch has no CUDA.
        MissingExtraError: If torch is not installed.
    """
    torch = require("torch", extra="build")
    if not torch.cuda.is_available():
        raise DeviceError("ceilings of a GPU: no NVIDIA GPU, or no torch with CUDA, was found")
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
    """Return the bytes per second of a copy on the device, read and written."""
    source = torch.randint(0, 256, (copied,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return float(2 * copied / _seconds(torch, lambda: target.copy_(source)))


def product_rate(torch: ModuleType, product: Callable[[int], Callable[[], object]]) -> float:
    """Return the operations per second; `product` returns a function that multiplies two matrices of a side.

    Raises:
        RuntimeError: If the product is not supported, or even the smallest side does not fit.
    """
    for side in SIDES:
        with contextlib.suppress(torch.cuda.OutOfMemoryError):
            return 2 * side**3 / _seconds(torch, product(side))
    raise RuntimeError("not enough free memory on the GPU")


def _plain(torch: ModuleType, side: int, kind: Any) -> Callable[[], object]:
    """Multiply by ``torch.matmul``; FP32 is not rounded to TF32 unless the program enabled that."""
    left, right = (torch.randn(side, side, device="cuda").to(kind) for _ in range(2))
    return lambda: torch.matmul(left, right)


def _int8(torch: ModuleType, side: int) -> Callable[[], object]:
    size = (side, side)
    left, right = (torch.randint(-128, 128, size, dtype=torch.int8, device="cuda") for _ in range(2))
    return lambda: torch._int_mm(left, right.t())  # the second column-major, as tensor cores read it


def _fp8(torch: ModuleType, side: int) -> Callable[[], object]:
    left, right = (torch.randn(side, side, device="cuda").to(torch.float8_e4m3fn) for _ in range(2))
    one = torch.ones((), device="cuda")
    return lambda: torch._scaled_mm(left, right.t(), scale_a=one, scale_b=one, out_dtype=torch.float16)


def _seconds(torch: ModuleType, launch: Callable[[], object]) -> float:
    """Return the median time of a launch on the device."""
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
