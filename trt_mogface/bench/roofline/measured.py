"""Time of each layer on the CPU, from ONNX Runtime's profiler.

ONNX Runtime fuses nodes and renames them, mostly after their outputs.  Nodes that match a layer count for it;
the others (copies between layouts, concatenations) count for none.
"""

from __future__ import annotations

import bisect
import json
import re
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine_build.workload.layers import Layer, load
from trt_mogface.backends.onnxruntime import session
from trt_mogface.errors import ArgumentError, ModelError, first_line
from trt_mogface.spec import INPUT

RUNS = 7

KERNEL, RUN = "_kernel_time", "model_run"
"""Names of the profiler for the time of a node and of a whole run."""

RENAMED = re.compile(r"^(?:fused )?(.*?)(?:_nchwc)?(?:_token_\d+)?$", re.DOTALL)
"""Name that ONNX Runtime gives a node when it fuses it or changes its layout."""


@dataclass(frozen=True)
class Times:
    """Measured times of a network, medians over runs.

    Attributes:
        layers: Seconds by the name of the layer, without layers that the profile does not separate.
        total: Seconds of a whole run.
        matched: Share of a run in known layers, within 0..1.
        runs: Number of runs.
    """

    layers: dict[str, float]
    total: float
    matched: float
    runs: int


def cpu_times(
    model: Path,
    layers: Sequence[Layer],
    *,
    batch: int,
    size: tuple[int, int],
    threads: int | None = None,
    runs: int = RUNS,
) -> Times:
    """Run a contract file on noise and read its profile, which is written to a temporary folder.

    Args:
        model: Contract file, which has these `layers`.
        layers: Layers of the file.
        batch: Batch size.
        size: Width and height of the network input.
        threads: CPU threads; None lets ONNX Runtime choose.
        runs: Number of runs measured, after one to warm up.

    Raises:
        ModelError: If `model` is not a contract file, or cannot run at this size.
        ArgumentError: If `runs` is not positive.
        MissingExtraError: If onnx is not installed.
    """
    if runs < 1:
        raise ArgumentError("runs", "must be positive", runs)
    content = load(model).SerializeToString()  # as it was counted, so that the names are the same
    width, height = size
    images = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        try:
            running = session(content, threads, profile=Path(folder, "profile"))
            for _ in range(runs + 1):
                running.run(None, {INPUT: images})
            events = json.loads(Path(running.end_profiling()).read_text())
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise ModelError(f"{model}: cannot be profiled: {first_line(error)}") from error
    return times_of(events, layers, skip=1)


def times_of(events: Iterable[dict[str, Any]], layers: Sequence[Layer], skip: int = 0) -> Times:
    """Return the times in a profile, whose events have ``name``, ``ts`` and ``dur`` in microseconds.

    The first `skip` runs do not count.
    """
    events = list(events)
    runs = sorted((e["ts"], e["dur"]) for e in events if e["name"] == RUN)
    if len(runs) <= skip:
        raise ModelError("profile of the network: it has no runs")
    starts = [start for start, _ in runs]
    owners = _owners(layers)
    times: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * len(runs))
    for event in events:
        layer = _layer_of(str(event["name"]), owners)
        run = bisect.bisect_right(starts, event["ts"]) - 1
        if layer is not None and run >= 0:
            times[layer][run] += event["dur"] * 1e-6
    medians = {name: statistics.median(seconds[skip:]) for name, seconds in times.items()}
    totals = [duration * 1e-6 for _, duration in runs]
    # Run by run: under disturbances the medians of layers add up to less than the median run.
    shares = [sum(each) / total if total else 0.0 for each, total in zip(zip(*times.values()), totals)]
    return Times(
        layers={name: seconds for name, seconds in medians.items() if seconds > 0},
        total=statistics.median(totals[skip:]),
        matched=min(1.0, statistics.median(shares[skip:])) if shares else 0.0,
        runs=len(runs) - skip,
    )


def _owners(layers: Sequence[Layer]) -> dict[str, str]:
    """Return the layer of each name, without names shared by several layers."""
    counts = Counter(name for layer in layers for name in layer.names)
    return {name: layer.name for layer in layers for name in layer.names if counts[name] == 1}


def _layer_of(event: str, owners: dict[str, str]) -> str | None:
    if not event.endswith(KERNEL):
        return None
    name = event.removesuffix(KERNEL)
    if name in owners:
        return owners[name]
    match = RENAMED.match(name)
    return None if match is None else owners.get(match[1])
