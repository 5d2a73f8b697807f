"""Measure a model in each mode: one row for each precision, batch and mode, with the sensors' readings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from trt_mogface._names import parse_names
from trt_mogface._url import is_url
from trt_mogface.backends.options import DetectorOptions, SlotOptions
from trt_mogface.bench import network
from trt_mogface.bench.load import Load, LoadResult, open_loop
from trt_mogface.bench.measurement import Measurement, MeasureOptions
from trt_mogface.bench.pipeline import measure_pipeline
from trt_mogface.bench.sources import Source
from trt_mogface.machine.sensors import Readings, Sensors, gpu_reader
from trt_mogface.models.cascade import load_cascade
from trt_mogface.models.cascade_engine import load_cascade_engine
from trt_mogface.models.manifest import load_manifest
from trt_mogface.reference.passes import Scales
from trt_mogface.runner import Runner
from trt_mogface.spec import DetectorSpec

Mode = Literal["network", "memory", "jpeg", "video"]
MODES: tuple[Mode, ...] = get_args(Mode)

SLOTS = 2
FILL_MS = 1000.0
"""Longest wait of a batch for its images in a closed loop, which always fills it sooner."""


@dataclass(frozen=True)
class Subject:
    """Model under test and its precision: a contract file, an engine, the folder of a cascade, or an address.

    A cascade and a model on a server have no spec, and no network that could be measured by itself.
    """

    precision: str
    path: str | Path
    spec: DetectorSpec | None
    is_engine: bool

    @property
    def name(self) -> str:
        """Name of the model."""
        if self.spec is not None:
            return self.spec.name
        if self.is_served:
            return str(self.path)
        return (load_cascade_engine if self.is_engine else load_cascade)(Path(self.path)).name

    @property
    def is_served(self) -> bool:
        """Whether the model is on a server, which decides on size, passes and threads."""
        return is_url(str(self.path))


@dataclass(frozen=True)
class Conditions:
    """Conditions shared by all rows.

    Attributes:
        size: Width and height of the network input, which images are scaled into.
        threads: CPU threads of a network on the CPU.
        device: Number of the GPU.
        options: Length of each measurement.
        scales: Passes of the network over an image; mode ``network`` measures the first.
    """

    size: tuple[int, int]
    threads: int
    device: int
    options: MeasureOptions
    scales: Scales = "full"

    def sensors(self) -> Sensors:
        """Return sensors to read during a measurement."""
        return Sensors(gpu_reader(self.device))

    def runner(self, subject: Subject, batch: int, **options: Any) -> AbstractContextManager[Runner]:
        """Open a runner of a model file."""
        return Runner(
            subject.path,
            size=None if subject.is_served else self.size,
            scales=None if subject.is_served else self.scales,
            threads=None if subject.is_engine or subject.is_served else self.threads,
            device=self.device if subject.is_engine else None,
            batch=batch,
            slots=SLOTS,
            measure=True,
            **options,
        )


def passes(subject: Subject, conditions: Conditions) -> list[tuple[int, int]]:
    """Return width and height of the network input in each pass over an image of the conditions' size."""
    if subject.spec is None:
        return [conditions.size]
    given = DetectorOptions(size=conditions.size, scales=conditions.scales)
    options, (width, height) = SlotOptions.resolve(subject.spec, given), conditions.size
    first = options.place(height, width)
    further = [options.reduce(first, height, width, scale).canvas for scale in options.further([first])]
    if subject.is_engine:  # leaves out passes that its profiles do not accept
        profiles = load_manifest(Path(subject.path)).profiles
        further = [each for each in further if any(p.holds((p.min[0], *each)) for p in profiles)]
    return [(columns, rows) for rows, columns in (first.canvas, *further)]


@dataclass(frozen=True)
class Row:
    """Result of a closed loop.

    Attributes:
        mode: Source of the images; ``network`` runs the network only.
        precision, batch: Precision and batch size of the network.
        measurement: Throughput and latency: of a run in mode ``network``, else of an image.
        readings: Readings of the sensors.
        stages: Mean milliseconds of each stage of the pipeline; empty in mode ``network``.
        faces, dropped: Number of faces found, and of candidates that were not finite; None in mode
            ``network``.
    """

    mode: Mode
    precision: str
    batch: int
    measurement: Measurement
    readings: Readings
    stages: dict[str, float] = field(default_factory=dict)
    faces: int | None = None
    dropped: int | None = None


@dataclass(frozen=True)
class LoadRow:
    """Result of an open loop.

    Attributes:
        precision, batch: Precision and largest batch of the network; a batch is what waits when a slot is
            free.
        rate: Requested images per second.
        arrivals: ``constant`` or ``Poisson``.
        result: Throughput, latency and rejections.
        readings: Readings of the sensors.
    """

    precision: str
    batch: int
    rate: float
    arrivals: str
    result: LoadResult
    readings: Readings


def parse_modes(names: str) -> list[Mode]:
    """Return modes by their names, which are separated by commas, in the order of `MODES`."""
    wanted = parse_names("mode", names, MODES)
    return [mode for mode in MODES if mode in wanted]


def network_row(subject: Subject, batch: int, conditions: Conditions) -> Row:
    """Measure the network only."""
    shape = (batch, conditions.size[1], conditions.size[0])
    with conditions.sensors() as sensors:
        if subject.is_engine:
            measured = network.on_gpu(Path(subject.path), shape, conditions.device, conditions.options)
        else:
            measured = network.on_cpu(Path(subject.path), shape, conditions.threads, conditions.options)
    return Row("network", subject.precision, batch, measured, sensors.readings)


def pipeline_row(
    subject: Subject, mode: Mode, source: Callable[[], Source], batch: int, conditions: Conditions
) -> Row:
    """Measure images to detections in a closed loop; `source` starts the source of the mode."""
    with conditions.runner(subject, batch, max_delay_ms=FILL_MS) as runner, conditions.sensors() as sensors:
        found = measure_pipeline(runner, source(), batch, SLOTS, conditions.options)
    measured, readings = found.measurement, sensors.readings
    counts = found.faces, found.dropped
    return Row(mode, subject.precision, batch, measured, readings, found.stages, *counts)


def load_row(
    subject: Subject, source: Callable[[], Source], batch: int, load: Load, conditions: Conditions
) -> LoadRow:
    """Measure images to detections under load."""
    with conditions.runner(subject, batch, capacity=load.queue) as runner:
        images = source()
        list(runner.map(islice(images, 2 * batch)))  # warms up
        with conditions.sensors() as sensors:
            result = open_loop(lambda: runner.submit(next(images)), load)
    arrivals = "constant" if load.seed is None else "Poisson"
    return LoadRow(subject.precision, batch, load.rate, arrivals, result, sensors.readings)
