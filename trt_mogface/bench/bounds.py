"""The rooflines of what is measured, and of cards that are not at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from engine_build.precision import PRECISIONS, Precision
from trt_mogface.bench.roofline import (
    Ceilings,
    Roofline,
    Times,
    card,
    cpu_times,
    layers_of,
    measure_cpu,
    measure_gpu,
    roofline,
)
from trt_mogface.bench.trials import Conditions, Row, Subject

SIMULATED: tuple[Precision, ...] = ("fp16", "int8", "fp8")


def cards(text: str | None) -> list[Ceilings]:
    """Of names with commas.

    Raises:
        UsageError: An unknown one.
    """
    return [] if text is None else [card(name.strip()) for name in text.split(",")]


def simulated(
    model: Path, batches: Sequence[int], size: tuple[int, int], on: Sequence[Ceilings]
) -> list[Roofline]:
    """Bounds by data sheets, in each of `SIMULATED` that a card computes in.

    Args:
        model: The contract file that is counted.
        batches: Pictures of a run.
        size: Width and height of the network's input.
        on: The cards.

    Raises:
        ModelError: Not a contract file.
    """
    return [
        roofline(model, batch=batch, size=size, precision=precision, ceilings=roof)
        for roof in on
        for precision in SIMULATED
        if precision in roof.operations_per_s
        for batch in batches
    ]


def achieved(
    model: Path,
    subjects: Sequence[Subject],
    batches: Sequence[int],
    rows: Sequence[Row],
    conditions: Conditions,
    told: Callable[[str], None] = lambda _: None,
) -> tuple[list[Roofline], list[str]]:
    """What is reached of this machine's own ceilings.

    On the CPU layer by layer, by ONNX Runtime's profiler; of an engine the whole network alone.

    Args:
        model: The contract file that is counted for an engine; other subjects are counted themselves.
        subjects, batches, conditions: See `trt_mogface.bench.trials`.
        rows: What was measured; an engine's time is that of its mode ``network``.
        told: What is being done.

    Returns:
        The rooflines, and a line for each precision that has no ceiling here.
    """
    told("measuring the ceilings of this machine")
    on_gpu = subjects[0].is_engine
    roof = measure_gpu(device=conditions.device) if on_gpu else measure_cpu(conditions.threads)
    found, reasons = [], []
    for subject in subjects:
        precision = _precision(subject)
        if precision not in roof.operations_per_s:
            reasons.append(f"no roofline in {precision}: {roof.missing.get(precision, 'not computed here')}")
            continue
        for batch in batches:
            told(f"layers, {precision}, batch {batch}")
            path = model if on_gpu else subject.path
            times = (
                _engine_times(rows, subject, batch) if on_gpu else _times(path, precision, batch, conditions)
            )
            found.append(
                roofline(
                    path, batch=batch, size=conditions.size, precision=precision, ceilings=roof, times=times
                )
            )
    return found, reasons


def _precision(subject: Subject) -> Precision:
    """Somebody's ONNX file, whose precision is not known, is counted as FP32."""
    return next((name for name in PRECISIONS if name == subject.precision), "fp32")


def _times(path: Path, precision: Precision, batch: int, conditions: Conditions) -> Times:
    width, height = conditions.size
    layers = layers_of(path, batch=batch, height=height, width=width, precision=precision)
    return cpu_times(path, layers, batch=batch, size=conditions.size, threads=conditions.threads)


def _engine_times(rows: Sequence[Row], subject: Subject, batch: int) -> Times | None:
    """The median of the engine's runs, without layers; None where it was not measured alone."""
    for row in rows:
        if (row.mode, row.precision, row.batch) == ("network", subject.precision, batch):
            return Times({}, row.measurement.latency.median / 1e3, 0.0, row.measurement.count)
    return None
