"""`Peer`: a detector or runtime in a contest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from trt_mogface.bench.measurement import Latency, repeat
from trt_mogface.frame import Image
from trt_mogface.spec import Thresholds

Does = Literal["images to faces", "network only"]
FACES: Does = "images to faces"
NETWORK: Does = "network only"


class SkippedError(Exception):
    """A peer that does not take part; the message is the reason, in one line."""


@dataclass(frozen=True)
class Task:
    """Task of a contest, the same for all peers.

    Attributes:
        model: Model under test: a contract ONNX file or an engine.
        name: Name of the model, from its spec.
        is_engine: Whether `model` is an engine.
        images: One batch, uint8 [H, W, 3] in BGR, all of the network's input size.
        thresholds: Thresholds of every peer that selects faces.
        threads: CPU threads of every peer.
        device: Number of the GPU.
        files: Model files of other projects, by the peer's name; ``mogface`` is MogFace's checkpoint, without
            which its published network runs with random weights.
    """

    model: Path
    name: str
    is_engine: bool
    images: Sequence[Image]
    thresholds: Thresholds
    threads: int
    device: int = 0
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images."""
        height, width = self.images[0].shape[:2]
        return width, height


@dataclass(frozen=True)
class Round:
    """One turn of a peer: number of runs, images per second, and latency of a run."""

    runs: int
    images_per_s: float
    latency: Latency


@dataclass
class Opened:
    """A peer that is ready.

    Attributes:
        turn: Runs for at least the given seconds, and at least once.
        does: Kind of work.
        faces: Number of faces found in the images; None if the peer finds none or has random weights.
        note: Remark for readers of its figures.
    """

    turn: Callable[[float], Round]
    does: Does
    faces: int | None = None
    note: str = ""


class Peer(Protocol):
    """A contestant; it is sent to a process of its own and opened there."""

    @property
    def name(self) -> str:
        """Name in ``--peers``."""

    def open(self, task: Task) -> Opened:
        """Load and warm up.

        Raises:
            SkippedError: If the peer does not apply to this model, or a file is missing.
            ImportError, MissingExtraError: If a package is missing; the peer is skipped too.
            Exception: If the peer fails.
        """


class Loop(Opened):
    """A function of a batch of `images` images, called repeatedly; the constructor calls it once."""

    def __init__(
        self, run: Callable[[], object], images: int, does: Does, faces: int | None = None, note: str = ""
    ) -> None:
        super().__init__(self._turn, does, faces, note)
        self._run, self._images = run, images
        self._took = repeat(run, 0.0, 1)[0] / 1e3

    def _turn(self, seconds: float) -> Round:
        if self._took < seconds:  # the caches hold another peer's data; a slow run pays for that anyway
            self._run()
        times = repeat(self._run, seconds, 1)
        self._took = times[-1] / 1e3
        return Round(len(times), len(times) * self._images / (sum(times) / 1e3), Latency.of(times))


def batch_of(task: Task) -> NDArray[np.uint8]:
    """Return the images as one array, uint8 [N, H, W, 3]."""
    return np.stack(list(task.images))


def only_for(task: Task, model: str) -> None:
    """Skip a peer that implements another model than the one under test."""
    if task.name != model:
        raise SkippedError(f"it is {model}, and the model under test is {task.name}")


def model_file(task: Task, peer: str) -> Path:
    """Return the file of ``--peer-model`` for a peer, which is skipped without one."""
    path = task.files.get(peer)
    if path is None:
        raise SkippedError(f"no model file given: --peer-model {peer}=FILE")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path
