"""`Peer`: what a contest asks of a contestant."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from trt_mogface.bench.measurement import Latency, repeat
from trt_mogface.bench.sources import Picture
from trt_mogface.spec import Thresholds

Does = Literal["pictures to faces", "network alone"]
FACES: Does = "pictures to faces"
NETWORK: Does = "network alone"


class SkippedError(Exception):
    """A peer that does not take part, and why, in one line."""


@dataclass(frozen=True)
class Task:
    """The same for all peers.

    Attributes:
        model: Under test: a contract ONNX file, or an engine.
        name: The model's, in its spec.
        is_engine: Which of the two.
        pictures: One batch, uint8 [H, W, 3] in BGR, all of one size, which is the network's.
        thresholds: Of everyone who chooses faces.
        threads: CPU threads of everyone.
        device: Number of the GPU.
        weights: MogFace's checkpoint; None lets its published network run with random weights.
        files: Models of other projects, by the peer's name.
    """

    model: Path
    name: str
    is_engine: bool
    pictures: Sequence[Picture]
    thresholds: Thresholds
    threads: int
    device: int = 0
    weights: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.pictures[0].shape[:2]
        return width, height


@dataclass(frozen=True)
class Round:
    """One peer's turn: how many runs, pictures a second, and the milliseconds of a run."""

    runs: int
    pictures_per_s: float
    latency: Latency


class Opened(Protocol):
    """A peer that is ready.

    Attributes:
        does: Which of the two it does.
        faces: How many it found on the pictures; None where it looks for none or has random weights.
        note: What a reader of its figures should know.
    """

    does: Does
    faces: int | None
    note: str

    def turn(self, seconds: float) -> Round:
        """Run for so long, and once at least."""


class Peer(Protocol):
    """A contestant; it travels to a process of its own, where it is opened."""

    @property
    def name(self) -> str:
        """As in ``--peers``."""

    def open(self, task: Task) -> Opened:
        """Make ready, and warm up.

        Raises:
            SkippedError: It has nothing to do with this model, or lacks what it needs.
            ImportError, MissingExtraError: A package is missing, which skips it too.
            Exception: It failed.
        """


class Loop:
    """A function run again and again; opened it ran once.

    Args:
        run: One batch.
        pictures: Of a batch.
        does, faces, note: See `Opened`.
    """

    def __init__(
        self, run: Callable[[], object], pictures: int, does: Does, faces: int | None = None, note: str = ""
    ) -> None:
        self.does, self.faces, self.note = does, faces, note
        self._run, self._pictures = run, pictures
        begun = time.perf_counter()
        run()
        self._took = time.perf_counter() - begun

    def turn(self, seconds: float) -> Round:
        """See `Opened`."""
        if self._took < seconds:  # the caches are another peer's; a slow run pays for them anyway
            self._run()
        times = repeat(self._run, seconds, 1)
        self._took = times[-1] / 1e3
        return Round(len(times), len(times) * self._pictures / (sum(times) / 1e3), Latency.of(times))


def batch_of(task: Task) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The pictures as one array, uint8 [N, H, W, 3]."""
    return np.stack(list(task.pictures))


def only_for(task: Task, model: str) -> None:
    """Skip a peer that implements another model than the one under test.

    Raises:
        SkippedError: It does.
    """
    if task.name != model:
        raise SkippedError(f"it is {model}, and the model under test is {task.name}")
