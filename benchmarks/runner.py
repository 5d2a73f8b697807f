"""What the ring costs: on the CPU against the same work in a loop, on a GPU against the engine alone.

python -m benchmarks.runner                      # CPU: the default model at 640x480
python -m benchmarks.runner --engine FILE        # GPU too: frames in host memory to boxes, batch 1, 8 and 32
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
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.machine import record
from benchmarks.timing import in_turn
from trt_mogface.cpu_backend import CpuBackend
from trt_mogface.errors import MogFaceError
from trt_mogface.models import DEFAULT, embedded_file
from trt_mogface.runner import Runner
from trt_mogface.settings import Choices
from trt_mogface.slot import Placed

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
            f"{row['ratio']:.3f}",
            f"{row['network_ms']:.2f}",
            f"{row['ratio_to_network']:.3f}",
        )
    console.print(table)
    record("runner", {"size": SIZE, "frames": FRAMES, "rounds": ROUNDS, "cpu": cpu})
    if engine is not None:
        on_gpu(console, engine)


def made_up(count: int, size: tuple[int, int]) -> Frames:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(count)]


def on_cpu(threads: int) -> dict[str, Any]:
    """The ring against paint, ONNX Runtime and selection in a loop; one session for both."""
    frames = made_up(FRAMES, SIZE)
    backend = CpuBackend(embedded_file(DEFAULT), Choices(size=SIZE), threads)
    slot, place = backend.slot(1), backend.settings.place(SIZE[1], SIZE[0])

    def loop() -> None:
        for frame in frames:
            slot.begin([Placed(frame, place)])
            slot.end()

    executor = backend.executor

    def network() -> None:
        for frame in frames:
            executor.run(frame[None])  # placed, it would be the same: its size is the network's

    with Runner(backend) as runner:
        ring: Callable[[], object] = lambda: list(runner.map(frames))  # noqa: E731
        loop_ms, ring_ms = in_turn(loop, ring, ROUNDS)
        network_ms, beside_ms = in_turn(network, ring, ROUNDS)
    return {
        "threads": threads,
        "loop_ms": loop_ms / FRAMES,
        "ring_ms": ring_ms / FRAMES,
        "ratio": ring_ms / loop_ms,
        "network_ms": network_ms / FRAMES,
        "ratio_to_network": beside_ms / network_ms,
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
            f"{row['latency_ratio']:.2f}",
        )
    console.print(table)
    if figures:
        name = figures[0]["gpu"].lower().replace(" ", "-")
        record(f"{name}/runner", {"engine": path.name, "size": GPU_SIZE, "cases": figures})


def gpu_case(path: Path, batch: int) -> dict[str, Any]:
    from trt_mogface.cuda import open_cuda
    from trt_mogface.engine import Engine, check_runs_here

    manifest, flavour = check_runs_here(path, 0)
    cuda = open_cuda(0)
    engine = Engine(path, manifest, flavour, cuda)
    contexts, stream, event = engine.contexts(), cuda.stream(), cuda.event()
    shape = (batch, GPU_SIZE[1], GPU_SIZE[0])
    anchors = manifest.spec.anchor_count(*shape[1:])
    images = cuda.allocate(int(np.prod(shape)) * 3)
    sizes = {"scores": 4, "deltas": 16, **({"landmarks": 40} if manifest.spec.landmarks else {})}
    outputs = {name: cuda.allocate(batch * anchors * nbytes) for name, nbytes in sizes.items()}
    scratch = cuda.allocate(max(1, engine.scratch_bytes))
    addresses = {name: memory.handle for name, memory in outputs.items()}
    run = partial(contexts.enqueue, shape, images.handle, addresses, scratch, stream)

    def alone() -> None:
        run()
        cuda.record(event, stream)
        cuda.wait(event)

    alone()
    times = [seconds(alone) for _ in range(60)][10:]
    runs = max(8, GPU_FRAMES // batch)

    def back_to_back() -> None:
        for _ in range(runs):
            run()
        cuda.record(event, stream)
        cuda.wait(event)

    back_to_back()
    engine_per_s = runs * batch / seconds(back_to_back)
    frames = made_up(32, GPU_SIZE) * (GPU_FRAMES // 32)
    with Runner(path, size=GPU_SIZE, batch=batch, slots=3, measure=True) as runner:
        list(runner.map(frames))
        pipeline_per_s = len(frames) / seconds(lambda: list(runner.map(frames)))
    with Runner(path, size=GPU_SIZE, slots=1, measure=True) as runner:
        for frame in frames[:40]:
            runner.submit(frame).result()
        latencies = [seconds(lambda frame=frame: runner.submit(frame).result()) for frame in frames[:200]]  # type: ignore[misc]
    return {
        "gpu": cuda.device.name,
        "batch": batch,
        "engine_per_s": engine_per_s,
        "pipeline_per_s": pipeline_per_s,
        "share": pipeline_per_s / engine_per_s,
        "engine_median_ms": statistics.median(times) * 1e3,
        "latency_p99_ms": float(np.percentile(latencies, 99)) * 1e3,
        "latency_ratio": float(np.percentile(latencies, 99)) / statistics.median(times),
    }


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
