"""A model on the CPU, and its slots: OpenCV places, ONNX Runtime runs the network, numpy selects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trt_mogface.backends.base import Placed
from trt_mogface.backends.onnxruntime import OnnxExecutor
from trt_mogface.backends.options import Choices, Settings
from trt_mogface.detections import Detections
from trt_mogface.images import check_array
from trt_mogface.reference.resize import paint
from trt_mogface.reference.select import Selection, select


class CpuBackend:
    """See `trt_mogface.backends.registry.Backend`.

    Args:
        path: A contract ONNX file.
        choices: The caller's.
        threads: CPU threads of one run; None lets ONNX Runtime choose.

    Raises:
        ModelError: See `trt_mogface.backends.onnxruntime.OnnxExecutor`, and `Choices.of`.
    """

    def __init__(self, path: Path, choices: Choices, threads: int | None = None) -> None:
        self.executor = OnnxExecutor(path, threads=threads)
        self.settings = choices.of(self.executor.spec)
        self.most_pictures = sys.maxsize

    def check(self, image: object, name: str = "image") -> NDArray[np.uint8]:
        """uint8 [H, W, 3] in BGR."""
        return check_array(image, name)

    def slot(
        self,
        batch: int,  # noqa: ARG002 -- its memory is taken when a batch comes
        told: Callable[[str, float], None] | None = None,  # noqa: ARG002 -- it has no stages of its own
        *,
        views: bool = False,  # noqa: ARG002 -- its faces are new each time
    ) -> CpuSlot:
        """A slot."""
        return CpuSlot(self.executor, self.settings)

    def close(self) -> None:
        """Free the network."""
        self.executor.close()


class CpuSlot:
    """See `trt_mogface.backends.base.Slot`.

    Pictures are placed at the beginning; the network runs at the end.

    Args:
        executor: Shared with other slots; ONNX Runtime's sessions take calls from several threads.
        settings: How pictures are placed and faces chosen.
    """

    def __init__(self, executor: OnnxExecutor, settings: Settings) -> None:
        self._executor, self._settings = executor, settings
        self._pictures: Sequence[Placed] = ()
        self._batch: NDArray[np.uint8] = np.empty((0, 1, 1, 3), np.uint8)

    def begin(self, pictures: Sequence[Placed]) -> None:
        """Paint the network's input."""
        shape = (len(pictures), *pictures[0].placement.canvas, 3)
        if self._batch.shape != shape:
            self._batch = np.empty(shape, np.uint8)
        for picture, out in zip(pictures, self._batch):
            paint(picture.image, picture.placement, self._settings.spec.input.pad, out)
        self._pictures = pictures

    def end(self) -> list[Detections]:
        """Run the network and select."""
        pictures, self._pictures = self._pictures, ()
        outputs = self._executor.run(self._batch)
        faces = []
        for row, picture in enumerate(pictures):
            selection = select(
                outputs.scores[row],
                outputs.deltas[row],
                None if outputs.landmarks is None else outputs.landmarks[row],
                spec=self._settings.spec,
                size=picture.placement.canvas,
                thresholds=self._settings.thresholds,
            )
            faces.append(_in_picture(selection, picture))
        return faces

    def close(self) -> None:
        """Forget the pictures; the executor is the caller's."""
        self._pictures = ()


def _in_picture(selection: Selection, picture: Placed) -> Detections:
    """Network coordinates to the caller's; scores stay what they are."""
    scale = np.float32(picture.placement.scale)
    points = selection.landmarks
    return Detections(
        xyxy=selection.boxes / scale,
        confidence=selection.scores,
        landmarks=None if points is None else points / scale,
        image_size=(picture.image.shape[0], picture.image.shape[1]),
        dropped=selection.dropped,
    )
