"""Cost of the ring: on the CPU compared with the same work in a loop, on a GPU with the engine only.

python -m benchmarks.runner                      # CPU: the default model at 640x480
python -m benchmarks.runner --engine FILE        # GPU: frames in host memory to boxes, batch 1, 8 and 32
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._lib.results import record, slug
from benchmarks._lib.timing import in_turn, seconds
from trt_mogface.backends.base import Backend
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.bench.measurement import MeasureOptions
from trt_mogface.bench.network import on_gpu as engine_only
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, help="engine of 640x640 and batches up to 32")
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
        "network, ms",
        "ring / network",
        title=f"default model, {SIZE[0]}x{SIZE[1]}, per image",
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
    """Compare the ring with a loop over one slot, and with the network only."""
    images = noise(SIZE, FRAMES)
    backend = CpuBackend(embedded_file(DEFAULT), {"size": SIZE, "threads": threads})
    slot = backend.slot(1)

    def loop() -> None:
        for image in images:
            slot.submit([Frame.of(image)])
            slot.wait()

    def network() -> None:
        for image in images:
            backend.network.run(image[None])  # already of the network's size

    with Runner(backend) as runner:

        def ring() -> None:
            list(runner.map(images))

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
    """Compare the pipeline with the engine only, and its latency at batch 1 with the engine's."""
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
        name = f"{slug(figures[0]['gpu'])}/runner"
        record(name, {"engine": path.name, "size": GPU_SIZE, "cases": figures})


def gpu_case(path: Path, batch: int) -> dict[str, Any]:
    engine = engine_only(path, (batch, GPU_SIZE[1], GPU_SIZE[0]), 0, MeasureOptions())
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
    """Return the throughput of a warm runner, from frames in host memory to boxes in host memory."""
    frames = noise(GPU_SIZE, 32) * (GPU_FRAMES // 32)
    with Runner(model, size=GPU_SIZE, batch=batch, slots=slots) as runner:
        list(runner.map(frames))
        return len(frames) / seconds(lambda: list(runner.map(frames)))


def latency_ratio(model: Path | Backend, median_ms: float) -> float:
    """Return the 99th percentile of a single image's latency in a runner, over the network's median."""
    with Runner(model, size=GPU_SIZE, slots=1) as runner:
        one = [partial(lambda frame: runner.submit(frame).result(), frame) for frame in noise(GPU_SIZE, 32)]
        times = [seconds(each) for each in one * 7]
    return float(np.percentile(times[24:], 99)) * 1e3 / median_ms


if __name__ == "__main__":
    main()
