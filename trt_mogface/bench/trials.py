"""The model under test in each mode: one row a precision, batch and mode, with what the sensors read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

from trt_mogface.bench import network
from trt_mogface.bench.load import Load, LoadResult, open_loop
from trt_mogface.bench.measurement import Measurement, Settings
from trt_mogface.bench.pipeline import drive
from trt_mogface.bench.sources import Source
from trt_mogface.errors import UsageError
from trt_mogface.machine.sensors import Readings, Sensors, gpu_reader
from trt_mogface.runner import Runner
from trt_mogface.spec import DetectorSpec

Mode = Literal["network", "memory", "jpeg", "video"]
MODES: tuple[Mode, ...] = get_args(Mode)

SLOTS = 2
FILL_MS = 1000.0
"""How long a batch waits for its pictures in a closed loop, which always brings them."""


@dataclass(frozen=True)
class Subject:
    """A file under test.

    Attributes:
        precision: Of its network.
        path: A contract ONNX file, or an engine.
        spec: The model's.
        is_engine: Which of the two.
    """

    precision: str
    path: Path
    spec: DetectorSpec
    is_engine: bool


@dataclass(frozen=True)
class Conditions:
    """What all rows share.

    Attributes:
        size: Width and height of the network's input, which pictures are scaled into.
        threads: CPU threads of one run of a network on the CPU.
        device: Number of the GPU.
        settings: How long is measured.
    """

    size: tuple[int, int]
    threads: int
    device: int
    settings: Settings

    def sensors(self) -> Sensors:
        """To be read while something is measured."""
        return Sensors(gpu_reader(self.device))

    def runner(self, subject: Subject, batch: int, **options: object) -> AbstractContextManager[Runner]:
        """A runner of the file."""
        return Runner(
            subject.path,
            size=self.size,
            threads=None if subject.is_engine else self.threads,
            device=self.device,
            batch=batch,
            slots=SLOTS,
            measure=True,
            **options,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Row:
    """A closed loop.

    Attributes:
        mode: Where its pictures come from; ``network`` takes none.
        precision, batch: Of the network.
        measurement: Its latency is a run's in mode ``network``, else a picture's.
        readings: Of the sensors.
        stages: See `trt_mogface.bench.pipeline.Passage`; empty in mode ``network``.
        faces: Found in all; None in mode ``network``.
    """

    mode: Mode
    precision: str
    batch: int
    measurement: Measurement
    readings: Readings
    stages: dict[str, float] = field(default_factory=dict)
    faces: int | None = None


@dataclass(frozen=True)
class LoadRow:
    """An open loop.

    Attributes:
        precision, batch: Of the network; a batch is what is there when a slot is free, up to so many.
        rate: Pictures a second that were asked for.
        arrivals: ``constant`` or ``Poisson``.
        result: What became of them.
        readings: Of the sensors.
    """

    precision: str
    batch: int
    rate: float
    arrivals: str
    result: LoadResult
    readings: Readings


def parse_modes(text: str) -> list[Mode]:
    """Names with commas, in the order of `MODES`.

    Raises:
        UsageError: An unknown one.
    """
    names = text.split(",")
    for name in names:
        if name not in MODES:
            raise UsageError(f"--mode {text}: {name!r} is none of {', '.join(MODES)}")
    return [mode for mode in MODES if mode in names]


def network_row(subject: Subject, batch: int, conditions: Conditions) -> Row:
    """The network alone.

    Raises:
        MogFaceError: See `trt_mogface.bench.network`.
    """
    shape = (batch, conditions.size[1], conditions.size[0])
    settings = conditions.settings
    with conditions.sensors() as sensors:
        if subject.is_engine:
            measured = network.on_gpu(subject.path, shape, conditions.device, settings)
        else:
            measured = network.on_cpu(subject.path, shape, conditions.threads, settings)
    return Row("network", subject.precision, batch, measured, sensors.readings)


def pipeline_row(
    subject: Subject, mode: Mode, source: Callable[[], Source], batch: int, conditions: Conditions
) -> Row:
    """Pictures to faces.

    Args:
        subject: The file.
        mode: What to call the source.
        source: Begins it.
        batch: Most pictures of a run.
        conditions: The rest.

    Raises:
        MogFaceError: See `trt_mogface.bench.pipeline.drive`.
    """
    with (
        conditions.runner(subject, batch, max_delay_ms=FILL_MS) as runner,
        conditions.sensors() as sensors,
    ):
        passage = drive(runner, source(), batch, SLOTS, conditions.settings)
    return Row(
        mode,
        subject.precision,
        batch,
        passage.measurement,
        sensors.readings,
        passage.stages,
        passage.faces,
    )


def load_row(
    subject: Subject, source: Callable[[], Source], batch: int, load: Load, conditions: Conditions
) -> LoadRow:
    """Pictures at a rate.

    Raises:
        MogFaceError: See `trt_mogface.bench.load.open_loop`.
    """
    with conditions.runner(subject, batch, capacity=load.capacity) as runner:
        pictures = source()
        list(runner.map(islice(pictures, 2 * batch)))  # warm
        with conditions.sensors() as sensors:
            result = open_loop(lambda: runner.submit(next(pictures)), load)
    arrivals = "constant" if load.seed is None else "Poisson"
    return LoadRow(subject.precision, batch, load.rate, arrivals, result, sensors.readings)
