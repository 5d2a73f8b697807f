"""Ceilings of this machine's CPU, measured in a few seconds: a copy, and matrix products by ONNX Runtime.

The best of several runs counts: a ceiling is the speed of an idle machine.  On a shared machine even the best
may be low, and a network may then exceed it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface._optional import require
from trt_mogface.backends.onnxruntime import session
from trt_mogface.bench.measurement import repeat
from trt_mogface.bench.roofline.ceilings import Ceilings, gathered
from trt_mogface.errors import ArgumentError
from trt_mogface.machine.cpu import usable_threads
from trt_mogface.machine.facts import cpu_name

COPIED = 256 << 20
"""Size of a copy in bytes, larger than the caches of all but a few servers."""

SIDES = (512, 1024)
"""Sides of the square matrices; the better rate counts.  Compute-bound, and so short that on a shared machine
some run is undisturbed."""

SECONDS, MIN_RUNS = 0.6, 4
"""Length of each measurement, after one run to warm up."""


def measure_cpu(threads: int | None = None, *, seconds: float = SECONDS, copied: int = COPIED) -> Ceilings:
    """Measure the bandwidth, and the rates in FP32 and INT8.

    Args:
        threads: CPU threads, as of the network; None for one per core.
        seconds: Seconds of each of the three measurements.
        copied: Size of the copy in bytes.

    Raises:
        ArgumentError: If `threads` is not positive.
        MissingExtraError: If onnx is not installed.
    """
    if threads is not None and threads < 1:
        raise ArgumentError("threads", "must be positive", threads)
    require("onnx", extra="bench")
    count = usable_threads(threads)

    def unsupported() -> float:
        raise NotImplementedError("ONNX Runtime has no such products on CPUs")

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
    """Return the bytes per second of a copy by several threads, read and written.

    Memory that the CPU fetches before it writes is not counted.
    """
    source, target = np.ones(size, np.uint8), np.full(size, 2, np.uint8)  # pages are allocated by writing
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads)))
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            for done in [pool.submit(np.copyto, to, part) for part, to in parts]:
                done.result()

        return 2 * size / best_seconds(copy, seconds)


def product_rate(kind: str, threads: int, seconds: float) -> float:
    """Return the operations per second of ``MatMul`` (FP32) or ``MatMulInteger`` (uint8 by constant int8)."""
    return max(_rate(kind, side, threads, seconds / len(SIDES)) for side in SIDES)


def _rate(kind: str, side: int, threads: int, seconds: float) -> float:
    left, right = _matrices(kind, side)
    running = session(_product(kind, left, right), threads)
    return 2 * side**3 / best_seconds(lambda: running.run(None, {"left": left}), seconds)


def best_seconds(function: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of a call, over `seconds` of calls after one to warm up."""
    function()
    return min(repeat(function, seconds, MIN_RUNS)) / 1e3


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
