"""The runner: on the CPU compared with detectors in a loop, on a GPU with the engine only.

python -m benchmarks.runner                      # CPU: the default model
python -m benchmarks.runner --engine FILE        # GPU: frames in host memory to boxes, batch 1, 8 and 32
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._lib.results import record, slug
from benchmarks._lib.timing import seconds
from trt_mogface.backends.base import Backend
from trt_mogface.bench.measurement import MeasureOptions
from trt_mogface.bench.network import on_gpu as engine_only
from trt_mogface.bench.sources import noise
from trt_mogface.detector import Detector
from trt_mogface.errors import MogFaceError
from trt_mogface.machine.cpu import available_cores
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.runner import Runner

SIZES = {(640, 480): 40, (1920, 1080): 8}
"""Network inputs, and the number of images of each."""

ROUNDS = 7
ONE, EVERY, RING = "Detector, 1 thread", "Detector, all threads", "Runner, a slot per core"
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
    cases = [on_cpu(size, frames) for size, frames in SIZES.items()]
    table = Table("size", "", "ms per image", "CPU ms per image", title="default model on a CPU")
    for case in cases:
        for label, row in case["rows"].items():
            figures = f"{row['ms']:.1f}", f"{row['cpu_ms']:.1f}"
            table.add_row("{}x{}".format(*case["size"]), label, *figures)
    console.print(table)
    for case in cases:
        width, height = case["size"]
        console.print(
            f"{width}x{height}: the runner does {case['ratio_to_one_thread']:.2f} times the images of one "
            f"thread and {case['ratio_to_detector']:.2f} times those of all threads, in "
            f"{case['cost_in_cpu']:.2f} times the CPU time of one thread"
        )
    record("runner", {"rounds": ROUNDS, "cpu": cases})


def on_cpu(size: tuple[int, int], frames: int) -> dict[str, Any]:
    """Compare a `Runner` with detectors of one thread and of all threads, in turn."""
    images = noise(size, frames)
    with (
        Detector(size=size, threads=1) as one,
        Detector(size=size) as every,
        Runner(size=size, slots=available_cores()) as runner,
    ):
        work: dict[str, Callable[[], object]] = {
            ONE: lambda: [one(image) for image in images],
            EVERY: lambda: [every(image) for image in images],
            RING: lambda: list(runner.map(images)),
        }
        rounds = [{label: spent(run) for label, run in work.items()} for _ in range(ROUNDS + 1)][1:]
    median = {
        label: [1e3 * statistics.median(each[label][kind] for each in rounds) / frames for kind in (0, 1)]
        for label in work
    }
    return {
        "size": size,
        "rows": {label: {"ms": wall, "cpu_ms": cpu} for label, (wall, cpu) in median.items()},
        "ratio_to_one_thread": statistics.median(each[ONE][0] / each[RING][0] for each in rounds),
        "ratio_to_detector": statistics.median(each[EVERY][0] / each[RING][0] for each in rounds),
        "cost_in_cpu": median[RING][1] / median[ONE][1],
    }


def spent(run: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of a call by the clock, and of all cores together."""
    clock, cores = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - cores


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
