"""NVIDIA's programs on the same engine: ``trtexec``, and ``tensorrt_rtx`` of TensorRT-RTX."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from benchmarks.peers.peer import NETWORK, Does, Opened, Round, SkippedError, Task
from trt_mogface.bench.measurement import Latency
from trt_mogface.errors import EngineError
from trt_mogface.machine.tensorrt import FlavorName
from trt_mogface.models.manifest import load_manifest
from trt_mogface.spec import INPUT

LIMIT = 240.0
"""Time limit of a call in seconds, including loading the engine."""


@dataclass(frozen=True)
class Trtexec:
    """A program on the PATH, run once each turn.  Untested on a GPU.

    Attributes:
        name: Name in ``--peers``, and of the program.
        flavor: TensorRT flavor of the engines that it runs.
    """

    name: str
    flavor: FlavorName

    def open(self, task: Task) -> Opened:
        if not task.is_engine:
            raise SkippedError("it runs engines; pass one as --model")
        built = load_manifest(task.model).flavor
        if built != self.flavor:
            raise SkippedError(f"it runs engines of {self.flavor}, and this is one of {built}")
        program = shutil.which(self.name)
        if program is None:
            raise SkippedError(f"{self.name} is not on the PATH")
        return _Turns(program, task)


class _Turns(Opened):
    does: Does = NETWORK
    faces: int | None = None

    def __init__(self, program: str, task: Task) -> None:
        self._program, self._model, self._device = program, task.model, task.device
        self._shape = (len(task.images), task.size[1], task.size[0], 3)
        self.note = f"its GPU compute time{conditions(self._printed(1.0))}"

    @override
    def turn(self, seconds: float) -> Round:
        return summary(self._printed(seconds), self._shape[0])

    def _printed(self, seconds: float) -> str:
        command = flags(self._program, self._model, self._shape, seconds, self._device)
        run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT + seconds, check=False)
        if run.returncode:
            lines = (run.stderr.strip() or run.stdout.strip() or "no output").splitlines()
            raise EngineError(f"{Path(self._program).name}: status {run.returncode}: {lines[-1][:200]}")
        return run.stdout


def flags(program: str, engine: Path, shape: tuple[int, ...], seconds: float, device: int) -> list[str]:
    """Return the command whose figures are comparable with ours.

    No transfers; CUDA graphs and spin-wait are not requested.  Release 11 enables both by default, which is
    why `conditions` reads what was done.

    Args:
        program: Path of the program.
        engine: Plan.
        shape: Shape of the network input.
        seconds: Seconds measured.
        device: Number of the GPU.
    """
    return [
        program,
        f"--loadEngine={engine}",
        f"--shapes={INPUT}:{'x'.join(map(str, shape))}",
        f"--duration={max(1, round(seconds))}",  # older releases take whole seconds
        "--warmUp=200",
        "--iterations=10",
        "--noDataTransfers",
        "--percentile=90,95,99",
        f"--device={device}",
    ]


def conditions(text: str) -> str:
    """Return the printed settings in which releases differ; empty if none is printed."""
    names = ("Data transfers", "Spin-wait", "CUDA Graph")
    said = [(name, re.search(rf"\] {name}: (\w+)", text)) for name in names]
    return "".join(f", {name.lower()} {value[1].lower()}" for name, value in said if value)


def summary(text: str, images: int) -> Round:
    """Read the performance summary.

    Args:
        text: Output of the program.
        images: Number of images of a query.

    Raises:
        EngineError: If a figure is missing.
    """
    _, found, rest = text.partition("=== Performance summary ===")
    if not found:
        raise EngineError("trtexec: no performance summary in its output")
    queries = _figure(rest, r"Throughput: ([0-9.e+-]+) qps")
    times = re.search(r"GPU Compute Time: (min = .*)", rest)
    if times is None:
        raise EngineError("trtexec: no GPU Compute Time in its performance summary")
    names = {
        name: _figure(times[1], rf"{name} = ([0-9.e+-]+) ms") for name in ("min", "max", "mean", "median")
    }
    shares = {
        share: _figure(times[1], rf"percentile\({share}%\) = ([0-9.e+-]+) ms") for share in (90, 95, 99)
    }
    latency = Latency(
        min=names["min"],
        mean=names["mean"],
        median=names["median"],
        p90=shares[90],
        p95=shares[95],
        p99=shares[99],
        max=names["max"],
    )
    seconds = _figure(rest, r"Total Host Walltime: ([0-9.e+-]+) s")
    return Round(round(queries * seconds), queries * images, latency)


def _figure(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise EngineError(f"trtexec: no {pattern.partition(' ')[0].strip(':')} in its performance summary")
    return float(found[1])
