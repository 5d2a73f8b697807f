"""Rooflines of the measured models on this machine, and of other cards by their data sheets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine_build.precision import PRECISIONS, Precision
from trt_mogface._names import split_list
from trt_mogface.bench.roofline import Ceilings, Roofline, Times, card, cpu_times, layers_of, roofline
from trt_mogface.bench.roofline.cpu_ceilings import measure_cpu
from trt_mogface.bench.roofline.gpu_ceilings import measure_gpu
from trt_mogface.bench.trials import Conditions, Row, Subject

SIMULATED: tuple[Precision, ...] = ("fp16", "int8", "fp8")


def cards(names: str | None) -> list[Ceilings]:
    """Return cards by their names, which are separated by commas."""
    return [] if names is None else [card(name) for name in split_list(names)]


def simulated(
    model: Path, batches: Sequence[int], size: tuple[int, int], on: Sequence[Ceilings]
) -> list[Roofline]:
    """Return bounds of a contract file by data sheets, in each of `SIMULATED` that a card computes in."""
    return [
        roofline(model, batch=batch, size=size, precision=precision, ceilings=ceilings)
        for ceilings in on
        for precision in SIMULATED
        if precision in ceilings.operations_per_s
        for batch in batches
    ]


def achieved(
    model: Path,
    subjects: Sequence[Subject],
    batches: Sequence[int],
    rows: Sequence[Row],
    conditions: Conditions,
    on_status: Callable[[str], None] = lambda _: None,
) -> tuple[list[Roofline], list[str]]:
    """Compare what was measured with this machine's ceilings.

    On the CPU layer by layer, by ONNX Runtime's profiler; of an engine the whole network only.

    Args:
        model: Contract file whose layers are counted for an engine; other subjects are counted themselves.
        subjects, batches, conditions: See `trt_mogface.bench.trials`.
        rows: Measurements; an engine's time is that of its mode ``network``.
        on_status: Called with each step.

    Returns:
        Rooflines, and a line for each precision that has no ceiling here.
    """
    on_status("measuring the ceilings of this machine")
    on_gpu = subjects[0].is_engine
    ceilings = measure_gpu(device=conditions.device) if on_gpu else measure_cpu(conditions.threads)
    found, notes = [], []
    for subject in subjects:
        # FP32 for an ONNX file of unknown precision.
        precision: Precision = next((name for name in PRECISIONS if name == subject.precision), "fp32")
        if precision not in ceilings.operations_per_s:
            reason = ceilings.missing.get(precision, "not computed here")
            notes.append(f"no roofline in {precision}: {reason}")
            continue
        for batch in batches:
            on_status(f"layers, {precision}, batch {batch}")
            path = model if on_gpu else Path(subject.path)
            where: dict[str, Any] = {"batch": batch, "size": conditions.size, "precision": precision}
            if on_gpu:
                times = _engine_times(rows, subject, batch)
            else:
                times = _times(path, precision, batch, conditions)
            found.append(roofline(path, **where, ceilings=ceilings, times=times))
    return found, notes


def _times(path: Path, precision: Precision, batch: int, conditions: Conditions) -> Times:
    width, height = conditions.size
    layers = layers_of(path, batch=batch, height=height, width=width, precision=precision)
    return cpu_times(path, layers, batch=batch, size=conditions.size, threads=conditions.threads)


def _engine_times(rows: Sequence[Row], subject: Subject, batch: int) -> Times | None:
    """Return the median time of the engine, without layers; None if mode ``network`` was not measured."""
    for row in rows:
        if (row.mode, row.precision, row.batch) == ("network", subject.precision, batch):
            return Times({}, row.measurement.latency.median / 1e3, 0.0, row.measurement.count)
    return None
