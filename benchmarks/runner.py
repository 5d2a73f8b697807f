"""What the ring costs: on the CPU against the same work in a loop, on a GPU against the engine alone.

python -m benchmarks.runner                      # CPU: the default model at 640x480
python -m benchmarks.runner --engine FILE        # GPU: frames in host memory to boxes, batch 1, 8 and 32
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks._lib.results import record
from benchmarks._lib.timing import in_turn
from trt_mogface.backends.base import Backend
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.bench.measurement import MeasureOptions
from trt_mogface.bench.network import on_gpu as on_gpu_alone
from trt_mogface.bench.sources import noise
from trt_mogface.errors import MogFaceError
from trt_mogface.frame import Frame
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import embedded_file
from trt_mogface.runner import Runner

SIZE = (640, 480)
FRAMES, ROUNDS = 60, 9
BATCHES = (1, 8, 32)
GPU_SIZE = (640, 640)
GPU_FRAMES = 512

Frames = list[NDArray[np.uint8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, help="an engine of 640x640 and batches up to 32")
    engine = parser.parse_args().engine
    console = Console()
    if engine is not None:
        on_gpu(console, engine)
        return
    cpu = [on_cpu(threads) for threads in (1, 2)]
    table = Table(
        "threads",
        "loop, ms",
        "ring, ms",
        "ring / loop",
        "network alone, ms",
        "ring / network alone",
        title=f"default model, {SIZE[0]}x{SIZE[1]}, a picture",
    )
    for row in cpu:
        table.add_row(
            str(row["threads"]),
            f"{row['loop_ms']:.2f}",
            f"{row['ring_ms']:.2f}",
            f"{row['cost_of_ring']:.3f}",
            f"{row['network_ms']:.2f}",
            f"{row['cost_to_network']:.3f}",
        )
    console.print(table)
    record("runner", {"size": SIZE, "frames": FRAMES, "rounds": ROUNDS, "cpu": cpu})


def on_cpu(threads: int) -> dict[str, Any]:
    """The ring against paint, ONNX Runtime and selection in a loop; one session for both."""
    frames = noise(SIZE, FRAMES)
    backend = CpuBackend(embedded_file(DEFAULT), {"size": SIZE, "threads": threads})
    slot = backend.slot(1)

    def loop() -> None:
        for frame in frames:
            slot.submit([Frame.of(frame)])
            slot.wait()

    def network() -> None:
        for frame in frames:
            backend.network.run(frame[None])  # placed, it would be the same: its size is the network's

    with Runner(backend) as runner:

        def ring() -> None:
            list(runner.map(frames))

        loop_ms, ring_ms = in_turn(loop, ring, ROUNDS)
        network_ms, beside_ms = in_turn(network, ring, ROUNDS)
    return {
        "threads": threads,
        "loop_ms": loop_ms / FRAMES,
        "ring_ms": ring_ms / FRAMES,
        "cost_of_ring": ring_ms / loop_ms,
        "network_ms": network_ms / FRAMES,
        "cost_to_network": beside_ms / network_ms,
    }


def on_gpu(console: Console, path: Path) -> None:
    """Pictures a second of the pipeline and of the engine alone, and the latency at batch 1."""
    figures = []
    table = Table(
        "batch", "engine, /s", "pipeline, /s", "share", "latency p99 / engine median", title=path.name
    )
    for batch in BATCHES:
        try:
            row = gpu_case(path, batch)
        except MogFaceError as error:
            console.print(f"batch {batch}: {error}", soft_wrap=True)
            continue
        figures.append(row)
        table.add_row(
            str(batch),
            f"{row['engine_per_s']:.0f}",
            f"{row['pipeline_per_s']:.0f}",
            f"{row['share']:.3f}",
            f"{row['cost_of_latency']:.2f}",
        )
    console.print(table)
    if figures:
        name = figures[0]["gpu"].lower().replace(" ", "-")
        record(f"{name}/runner", {"engine": path.name, "size": GPU_SIZE, "cases": figures})


def gpu_case(path: Path, batch: int) -> dict[str, Any]:
    engine = on_gpu_alone(path, (batch, GPU_SIZE[1], GPU_SIZE[0]), 0, MeasureOptions())
    pipeline = images_per_s(path, batch, slots=3)
    return {
        "gpu": gpu.name if (gpu := find_gpu()) else "",
        "batch": batch,
        "engine_per_s": engine.images_per_s,
        "pipeline_per_s": pipeline,
        "share": pipeline / engine.images_per_s,
        "engine_median_ms": engine.latency.median,
        "cost_of_latency": latency_ratio(path, engine.latency.median),
    }


def images_per_s(model: Path | Backend, batch: int, slots: int) -> float:
    """Of a warm runner, from frames in host memory to boxes in host memory."""
    frames = noise(GPU_SIZE, 32) * (GPU_FRAMES // 32)
    with Runner(model, size=GPU_SIZE, batch=batch, slots=slots) as runner:
        list(runner.map(frames))
        return len(frames) / seconds(lambda: list(runner.map(frames)))


def latency_ratio(model: Path | Backend, median_ms: float) -> float:
    """The 99th percentile of a picture's way through a runner, alone in it, by the network's median."""
    frames = noise(GPU_SIZE, 32)
    with Runner(model, size=GPU_SIZE, slots=1) as runner:
        one = [partial(lambda frame: runner.submit(frame).result(), frame) for frame in frames * 7]
        times = [seconds(each) for each in one]
    return float(np.percentile(times[24:], 99)) * 1e3 / median_ms


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
