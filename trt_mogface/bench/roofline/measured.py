"""The time of each layer on the CPU, from ONNX Runtime's profiler.

ONNX Runtime fuses nodes and renames them, mostly after what they compute; what can be matched with a layer
is, and the rest (copies between layouts, concatenations) belongs to no layer.
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
from trt_mogface.errors import ModelError, UsageError, first_line
from trt_mogface.spec import INPUT

RUNS = 7

KERNEL, RUN = "_kernel_time", "model_run"
"""How the profiler names the time of a node and of a whole run."""

RENAMED = re.compile(r"^(?:fused )?(.*?)(?:_nchwc)?(?:_token_\d+)?$", re.DOTALL)
"""What ONNX Runtime puts around a name when it fuses a node or changes its layout."""


@dataclass(frozen=True)
class Times:
    """Measured times of a network, medians over runs.

    Attributes:
        layers: Seconds by the name of the layer; layers that were not seen apart are left out.
        total: Seconds of a whole run.
        matched: The share of a run that is in known layers, within 0..1; the rest is other.
        runs: How many.
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
    """Run a contract file on noise and look at the profile, which is in a temporary folder.

    Args:
        model: The file.
        layers: Its layers.
        batch: Pictures at once.
        size: Width and height of the network's input.
        threads: CPU threads; None lets ONNX Runtime choose, as in `executor.session`.
        runs: That count; one before them warms up.

    Raises:
        ModelError: Not a contract file, or it cannot run at this size.
        UsageError: An impossible number of runs.
        MissingExtraError: onnx is not installed.
    """
    if runs < 1:
        raise UsageError(f"{runs} runs: use at least one")
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
    """Times from a profile.

    Args:
        events: Of ONNX Runtime's profile: ``name``, ``ts`` and ``dur`` in microseconds.
        layers: Of the network.
        skip: Runs at the beginning that do not count.

    Raises:
        ModelError: There is no run in it that counts.
    """
    events = list(events)
    runs = sorted((e["ts"], e["dur"]) for e in events if e["name"] == RUN)
    if len(runs) <= skip:
        raise ModelError("the profile of the network has no runs in it")
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
    # Run by run: where other programs disturb, the medians of layers add up to less than the median run.
    shares = [sum(each) / total if total else 0.0 for each, total in zip(zip(*times.values()), totals)]
    return Times(
        layers={name: seconds for name, seconds in medians.items() if seconds > 0},
        total=statistics.median(totals[skip:]),
        matched=min(1.0, statistics.median(shares[skip:])) if shares else 0.0,
        runs=len(runs) - skip,
    )


def _owners(layers: Sequence[Layer]) -> dict[str, str]:
    """The layer of each name, without names that several layers have."""
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
