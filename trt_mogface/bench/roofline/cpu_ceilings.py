"""The ceilings of this machine's CPU, measured in a few seconds: a copy, and matrix products by ONNX Runtime.

The best of several runs counts, since a ceiling is what the machine can do when nobody else disturbs it; on a
shared machine even that may be low, and a network can then come out above it.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface._optional import require
from trt_mogface.backends.onnxruntime import session
from trt_mogface.bench.roofline.ceilings import Ceilings, gathered
from trt_mogface.errors import UsageError

COPIED = 256 << 20
"""Bytes, beyond the caches of all but a few servers."""

SIDES = (512, 1024)
"""Of the square matrices; the better rate counts.  Far more work than data, and so short that on a shared
machine some run is not disturbed."""

SECONDS, MIN_RUNS = 0.6, 4
"""Of each measurement, after one run to warm up."""


def measure_cpu(threads: int | None = None, *, seconds: float = SECONDS, copied: int = COPIED) -> Ceilings:
    """Bandwidth, and rates in FP32 and INT8.

    Args:
        threads: As the network is given; None for one a core.
        seconds: How long each of the three measurements repeats.
        copied: Bytes of the array that is copied.

    Raises:
        UsageError: An impossible number of threads.
        MissingExtraError: onnx is not installed.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads: use at least one")
    require("onnx", extra="bench")
    count = threads or len(os.sched_getaffinity(0))

    def unsupported() -> float:
        raise UsageError("ONNX Runtime has no such products on CPUs")

    return gathered(
        f"{cpu_name()}, {count} thread{'s' if count > 1 else ''}",
        copy_bandwidth(count, copied, seconds),
        [
            ("fp32", lambda: product_rate("MatMul", count, seconds)),
            ("fp16", unsupported),
            ("bf16", unsupported),
            ("int8", lambda: product_rate("MatMulInteger", count, seconds)),
            ("fp8", unsupported),
        ],
    )


def copy_bandwidth(threads: int, size: int, seconds: float) -> float:
    """Bytes a second of a copy by several threads, read and written.

    What a write may fetch from memory before it is not counted.
    """
    source, target = (
        np.ones(size, np.uint8),
        np.zeros(size, np.uint8),
    )  # written to, so that the memory is there
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads)))
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            for done in [pool.submit(np.copyto, to, part) for part, to in parts]:
                done.result()

        return 2 * size / best_seconds(copy, seconds)


def product_rate(kind: str, threads: int, seconds: float) -> float:
    """Operations a second of ``MatMul`` (FP32) or ``MatMulInteger`` (uint8 by int8, the second stored)."""
    return max(_rate(kind, side, threads, seconds / len(SIDES)) for side in SIDES)


def _rate(kind: str, side: int, threads: int, seconds: float) -> float:
    left, right = _matrices(kind, side)
    running = session(_product(kind, left, right), threads)
    return 2 * side**3 / best_seconds(lambda: running.run(None, {"left": left}), seconds)


def best_seconds(function: Callable[[], object], seconds: float) -> float:
    """The least time of a call, over calls for so many seconds after one to warm up."""
    function()
    times: list[float] = []
    while len(times) < MIN_RUNS or sum(times) < seconds:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def cpu_name() -> str:
    """What the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _matrices(kind: str, side: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(0)
    if kind == "MatMul":
        left, right = rng.random((2, side, side), np.float32)
        return left, right
    return rng.integers(0, 256, (side, side), np.uint8), rng.integers(-128, 128, (side, side), np.int8)


def _product(kind: str, left: NDArray[Any], right: NDArray[Any]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    result = TensorProto.FLOAT if kind == "MatMul" else TensorProto.INT32
    graph = helper.make_graph(
        [helper.make_node(kind, ["left", "right"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", helper.np_dtype_to_tensor_dtype(left.dtype), left.shape)],
        [helper.make_tensor_value_info("product", result, left.shape)],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
