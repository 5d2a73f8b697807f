"""NVIDIA's programs on the same engine: ``trtexec``, and ``tensorrt_rtx`` of TensorRT-RTX."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from benchmarks.peers.peer import NETWORK, Opened, Round, SkippedError, Task
from trt_mogface.bench.measurement import Latency
from trt_mogface.bench.report import LATENCY
from trt_mogface.errors import EngineError
from trt_mogface.machine.tensorrt import FlavorName
from trt_mogface.models.manifest import load_manifest
from trt_mogface.spec import INPUT

LIMIT = 60.0
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

        def printed(seconds: float) -> str:
            command = [program, *flags(task, seconds)]
            run = subprocess.run(
                command, capture_output=True, text=True, timeout=LIMIT + seconds, check=False
            )
            if run.returncode:
                lines = (run.stderr.strip() or run.stdout.strip() or "no output").splitlines()
                raise EngineError(f"{self.name}: status {run.returncode}: {lines[-1][:200]}")
            return run.stdout

        note = f"its GPU compute time{conditions(printed(1.0))}"
        return Opened(lambda seconds: summary(printed(seconds), len(task.images)), NETWORK, note=note)


def flags(task: Task, seconds: float) -> list[str]:
    """Return the arguments whose figures are comparable with ours.

    No transfers; CUDA graphs and spin-wait are not requested.  Release 11 enables both by default, which is
    why `conditions` reads what was done.
    """
    width, height = task.size
    return [
        f"--loadEngine={task.model}",
        f"--shapes={INPUT}:{len(task.images)}x{height}x{width}x3",
        f"--duration={max(1, round(seconds))}",  # older releases take whole seconds
        *("--warmUp=200", "--iterations=10", "--noDataTransfers", "--percentile=90,95,99"),
        f"--device={task.device}",
    ]


def conditions(text: str) -> str:
    """Return the printed settings in which releases differ; empty if none is printed."""
    names = ("Data transfers", "Spin-wait", "CUDA Graph")
    said = [(name, re.search(rf"\] {name}: (\w+)", text)) for name in names]
    return "".join(f", {name.lower()} {value[1].lower()}" for name, value in said if value)


def summary(text: str, images: int) -> Round:
    """Read the performance summary in the output of the program, whose queries have `images` images."""
    _, found, rest = text.partition("=== Performance summary ===")
    if not found:
        raise EngineError("trtexec: no performance summary in its output")
    queries = _figure(rest, r"Throughput: ([0-9.e+-]+) qps")
    times = re.search(r"GPU Compute Time: (min = .*)", rest)
    if times is None:
        raise EngineError("trtexec: no GPU Compute Time in its performance summary")
    names = {name: rf"percentile\({name[1:]}%\)" if name[0] == "p" else name for name in LATENCY}
    figures = {name: _figure(times[1], rf"{text} = ([0-9.e+-]+) ms") for name, text in names.items()}
    seconds = _figure(rest, r"Total Host Walltime: ([0-9.e+-]+) s")
    return Round(round(queries * seconds), queries * images, Latency(**figures))


def _figure(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise EngineError(f"trtexec: no {pattern.partition(' ')[0].strip(':')} in its performance summary")
    return float(found[1])
