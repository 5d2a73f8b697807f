"""Models side by side with FP32 on the user's pictures."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine_build.calibration.pictures import Pictures
from engine_build.validation.agreement import Agreement, compare
from engine_build.validation.annotations import Annotations, ap_by_size
from engine_build.validation.candidates import candidates
from engine_build.validation.sensitivity import drift
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.errors import EngineError, UsageError
from trt_mogface.reference.select import Selection

if TYPE_CHECKING:
    import onnx

NOISE_SIDE = 256
NOISE_APART = 0.1
"""Most that scores may differ from FP32's on noise, which all faces are far from."""


class Comparison:
    """FP32 on some pictures, kept, and other models on the same ones.

    Args:
        model: The contract model in FP32.
        pictures: What is compared on.
        annotations: Faces of those pictures; None compares with FP32's faces.
    """

    def __init__(
        self, model: onnx.ModelProto, pictures: Pictures, annotations: Annotations | None = None
    ) -> None:
        self._model, self.pictures, self._annotations = model, pictures, annotations

    @property
    def measure(self) -> str:
        """What the points of `loss` are."""
        return "AP on the annotated faces" if self._annotations else "AP against FP32"

    def agreement(self, model: onnx.ModelProto) -> Agreement:
        """How a model's faces compare with FP32's."""
        return compare(self._reference, self._run(model), self._threshold)

    def drift(self, model: onnx.ModelProto) -> float:
        """See `engine_build.validation.sensitivity.drift`."""
        return drift(self._reference, self._run(model))

    def loss(self, model: onnx.ModelProto) -> float:
        """Points lost; of all annotated faces where there are such.

        Raises:
            UsageError: No faces to measure by.
        """
        if self._annotations:
            return 100 * (self.by_size()["all"] - self.by_size(model)["all"])
        lost = self.agreement(model).loss
        if lost is None:
            raise UsageError("too few faces on these pictures to measure a loss by: give pictures with faces")
        return lost

    def by_size(self, model: onnx.ModelProto | None = None) -> dict[str, float]:
        """AP by face size of a model, or of FP32; empty without annotations.

        Raises:
            UsageError: No picture has annotated faces.
        """
        if not self._annotations:
            return {}
        found = self._reference if model is None else self._run(model)
        figures = ap_by_size(self._names, self._scales, found, self._annotations)
        if not figures:
            raise UsageError("the annotations hold no face of these pictures: their names must be the same")
        return figures

    def _run(self, model: onnx.ModelProto) -> list[Selection]:
        with tempfile.TemporaryDirectory() as folder:
            return candidates(_stored(model, folder), self.pictures.batches())

    @cached_property
    def _reference(self) -> list[Selection]:
        return self._run(self._model)

    @cached_property
    def _placed(self) -> Sequence[tuple[str, float]]:
        return [(item.name, item.scale) for item in self.pictures]

    @property
    def _names(self) -> list[str]:
        return [name for name, _ in self._placed]

    @property
    def _scales(self) -> list[float]:
        return [scale for _, scale in self._placed]

    @cached_property
    def _threshold(self) -> float:
        from engine_build.onnx import contract

        return contract.spec_of(self._model, Path("model")).thresholds.score_threshold

    def on(self, limit: int) -> Comparison:
        """The same on at most so many of the pictures."""
        if limit >= self.pictures.limit:
            return self
        return Comparison(self._model, dataclasses.replace(self.pictures, limit=limit), self._annotations)


def check_on_noise(model: onnx.ModelProto, other: onnx.ModelProto) -> None:
    """The least there is to check without a picture: finite outputs, and scores like FP32's.

    Args:
        model: The contract model in FP32.
        other: In another precision.

    Raises:
        EngineError: Neither.
    """
    noise = np.random.default_rng(0).integers(0, 256, (1, NOISE_SIDE, NOISE_SIDE, 3), np.uint8)
    outputs = []
    for each in (model, other):
        with tempfile.TemporaryDirectory() as folder, OnnxNetwork(_stored(each, folder)) as executor:
            outputs.append(executor.run(noise))
    reference, result = outputs
    for name in ("scores", "deltas", "landmarks"):
        value = getattr(result, name)
        if value is not None and not np.isfinite(value).all():
            raise EngineError(f"not built: its {name} are not finite where FP32's are: use --precision bf16")
    apart = float(np.abs(reference.scores - result.scores).max())
    if apart > NOISE_APART:
        raise EngineError(f"not built: its scores differ from FP32's by up to {apart:.2f} on noise")


def _stored(model: onnx.ModelProto, folder: str) -> Path:
    path = Path(folder, "model.onnx")
    path.write_bytes(model.SerializeToString())
    return path
