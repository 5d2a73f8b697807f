"""`TritonBackend`: a model on a Triton server as a backend like any other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from trt_mogface.backends.base import OnStage
from trt_mogface.backends.cpu import Pass, PassSlot, memory_suffices, scaled_back
from trt_mogface.backends.options import DetectorOptions, SlotOptions, given
from trt_mogface.backends.triton.address import Address
from trt_mogface.backends.triton.connection import Connection, Faces
from trt_mogface.backends.triton.served import ServedModel
from trt_mogface.backends.worker import Worker
from trt_mogface.detections import Detections
from trt_mogface.errors import ArgumentError, ImageError, RunnerError
from trt_mogface.frame import Frame
from trt_mogface.reference.color import to_bgr
from trt_mogface.reference.resize import Placement
from trt_mogface.reference.select import Selection
from trt_mogface.spec import Thresholds

INPUT_OPTIONS = ("size", "pad", "shrink", "scales")
"""Options of a client that prepares the network input itself."""


class TritonBackend:
    """A model on a Triton server; see `trt_mogface.backends.base.Backend`.

    Args:
        address: Address of the model; see `Address.parse`.
        options: Checked options.

    Raises:
        ArgumentError: If an option is the server's to decide.
        ModelError: If the address has another form, or the server has no such model.
        ServerError: If the server cannot be reached.
        MissingExtraError: If the extra ``triton`` is not installed.
    """

    def __init__(self, address: str, options: DetectorOptions) -> None:
        self.address = Address.parse(address)
        connection = Connection(self.address)
        try:
            served, self.max_batch = connection.facts()
        finally:
            connection.close()
        self._choice = Choice.resolve(served, options, address)
        mine: Any = {name: value for name, value in options.items() if name in INPUT_OPTIONS}
        self._options = None if served.spec is None else SlotOptions.resolve(served.spec, mine)
        self.info = dataclasses.replace(served.info, thresholds=self._choice.thresholds)

    def check(self, frame: Frame) -> None:
        """Refuse a frame in device memory."""
        if not frame.on_host:
            raise ImageError("image: in device memory, and this model runs on a server; copy it to the host")

    def place(self, height: int, width: int) -> Placement:
        """Return the position of a frame in what is sent: the frame itself, or the network input."""
        if self._options is not None:
            return self._options.place(height, width)
        return Placement((1.0, 1.0), (height, width), (height, width))

    def slot(
        self,
        batch: int,  # noqa: ARG002 -- memory is allocated when a batch arrives
        on_stage: OnStage | None = None,  # noqa: ARG002 -- the stages are the server's
        *,
        views: bool = False,  # noqa: ARG002 -- detections are new arrays
    ) -> ImageSlot | InputSlot:
        """Open a slot with a connection of its own."""
        connection = Connection(self.address)
        if self._options is not None:
            return InputSlot(connection, self._options, self._choice)
        return ImageSlot(connection, self._choice)

    def close(self) -> None:
        """Do nothing: the connections belong to the slots."""


@dataclass(frozen=True)
class Choice:
    """Choice of a client among the faces that a server returns.

    Attributes:
        thresholds: Effective thresholds: the client's, else the server's.
        clip: See `DetectorOptions`.
    """

    thresholds: Thresholds
    clip: bool

    @staticmethod
    def resolve(served: ServedModel, options: DetectorOptions, address: str) -> Choice:
        """Combine the options of a client with the thresholds of the server.

        Raises:
            ArgumentError: If an option is the server's to decide, or asks for faces that the server leaves
                out.
        """
        own = ("conf", "max_det", "clip", *(INPUT_OPTIONS if served.form == "network input" else ()))
        fixed = {"iou": served.info.thresholds.iou_threshold, "top_k": served.info.thresholds.top_k}
        for name, value in given(options).items():
            if name not in own and value != fixed.get(name):
                raise ArgumentError(name, f"is decided by the server of {address}; omit it", value)
        theirs = served.info.thresholds
        conf, most = options.get("conf"), options.get("max_det")
        if conf is not None and conf < theirs.score_threshold:
            raise ArgumentError(
                "conf", f"the server's threshold is {theirs.score_threshold:g}; use at least that", conf
            )
        if most is not None and most > theirs.max_detections:
            raise ArgumentError(
                "max_det", f"the server returns {theirs.max_detections}; use at most that", most
            )
        thresholds = dataclasses.replace(
            theirs,
            score_threshold=theirs.score_threshold if conf is None else conf,
            max_detections=theirs.max_detections if most is None else most,
        )
        return Choice(thresholds, bool(options.get("clip")))

    def of(self, faces: Faces) -> Faces:
        """Return the faces above the threshold, at most the largest number."""
        keep = np.flatnonzero(faces.scores > np.float32(self.thresholds.score_threshold))
        keep = keep[: self.thresholds.max_detections]
        points = None if faces.landmarks is None else faces.landmarks[keep]
        return faces._replace(boxes=faces.boxes[keep], scores=faces.scores[keep], landmarks=points)


class ImageSlot:
    """One batch of images of a size on a server; see `trt_mogface.backends.base.Slot`.

    Args:
        connection: Connection of the slot, which closes it.
        choice: Choice among the faces.
    """

    def __init__(self, connection: Connection, choice: Choice) -> None:
        self._connection, self._choice = connection, choice
        self._worker: Worker[list[Detections]] = Worker()
        self._running: Future[list[Detections]] = Future()
        self._running.set_result([])

    def submit(self, frames: Sequence[Frame]) -> None:
        """Copy the frames and send them; they may change afterwards."""
        with memory_suffices():
            images = np.stack([to_bgr(frame) for frame in frames])
        self._running = self._worker.submit(partial(self._detect, images))

    def wait(self) -> list[Detections]:
        """Return the detections once the server has answered."""
        return self._running.result()

    def close(self) -> None:
        """Finish the running batch and close the connection; closing twice is harmless."""
        _close(self._worker, self._connection)

    def _detect(self, images: NDArray[np.uint8]) -> list[Detections]:
        height, width = images.shape[1:3]
        found = [
            Detections(
                each.boxes,
                each.scores,
                each.landmarks,
                (height, width),
                each.dropped,
                truncated=each.truncated,
            )
            for each in map(self._choice.of, self._connection.detect(images))
        ]
        return [faces.clip() for faces in found] if self._choice.clip else found


class InputSlot(PassSlot):
    """One batch whose network input the client prepares; see `trt_mogface.backends.base.Slot`.

    Args:
        connection: Connection of the slot, which closes it.
        options: Options of the network input.
        choice: Choice among the faces.
    """

    def __init__(self, connection: Connection, options: SlotOptions, choice: Choice) -> None:
        super().__init__(dataclasses.replace(options, thresholds=choice.thresholds, clip=choice.clip))
        self._connection, self._choice = connection, choice

    @override
    def close(self) -> None:
        """Finish the running batch and close the connection; closing twice is harmless."""
        _close(self._worker, self._connection)

    @override
    def _faces(self, each: Pass) -> dict[int, Selection]:
        found = map(self._choice.of, self._connection.detect(each.images))
        return {
            index: scaled_back(
                Selection(faces.boxes, faces.scores, faces.landmarks, faces.dropped), placement
            )
            for (index, placement), faces in zip(each.placements.items(), found)
        }


def _close(worker: Worker[list[Detections]], connection: Connection) -> None:
    """Close a connection in the thread that uses it, after its last batch."""

    def last() -> list[Detections]:
        connection.close()
        return []

    with suppress(RunnerError):  # closed before
        worker.submit(last)
    worker.close()
