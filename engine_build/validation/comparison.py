"""Comparison of models with FP32 on the user's images."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine_build.calibration.images import Images
from engine_build.onnx import contract
from engine_build.validation.agreement import Agreement, compare
from engine_build.validation.annotations import Annotations, ap_by_size
from engine_build.validation.candidates import candidates
from engine_build.validation.sensitivity import drift
from trt_mogface._files import whole_file
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.errors import ArgumentError, EngineError
from trt_mogface.reference.select import Selection
from trt_mogface.spec import DELTAS, SCORES

if TYPE_CHECKING:
    import onnx

NOISE_SIDE = 256
SMALL_NOISE_SIDE = 128
MAX_NOISE_DIFFERENCE = 0.1
"""Largest difference of a score from FP32's on noise, which resembles no face."""

MAX_NOISE_SHARE = 0.5
"""Largest difference of the deltas from FP32's on noise, a share: 0.02 to 0.07 in INT8, up to 0.24 in FP8."""

MAX_OPTIMIZED_SHARE = 0.01
"""Largest effect of graph optimization, as a share of an output.

Eight networks in INT8 and FP8 give 0. The wrong biases of ONNX Runtime 1.32 changed an output by 0.12 to 215
in the six that they hit; INT8 itself costs 0.004 to 0.24.
"""


class Comparison:
    """Comparison of models with FP32, whose results are kept, on the same images.

    Without annotations, FP32's faces are the ground truth.
    """

    def __init__(
        self, model: onnx.ModelProto, images: Images, annotations: Annotations | None = None
    ) -> None:
        self._model, self.images, self._annotations = model, images, annotations

    @property
    def measure(self) -> str:
        """Name of the measure of `loss`."""
        return "AP on the annotated faces" if self._annotations else "AP against FP32"

    def agreement(self, model: onnx.ModelProto) -> Agreement:
        """Compare a model's faces with FP32's.

        Raises:
            EngineError: If FP32's are not finite.
        """
        if dropped := sum(each.dropped for each in self._reference):
            raise EngineError(f"fp32 refused: {dropped} candidates are not finite; repair the model")
        return compare(self._reference, self._run(model), self._threshold)

    def drift(self, model: onnx.ModelProto) -> float:
        """Return the drift of a model, see `engine_build.validation.sensitivity.drift`."""
        return drift(self._reference, self._run(model))

    def loss(self, model: onnx.ModelProto) -> float:
        """Return the loss of AP against FP32 in points, of the annotated faces if there are any."""
        if self._annotations:
            return 100 * (self.by_size()["all"] - self.by_size(model)["all"])
        lost = self.agreement(model).loss
        if lost is None:
            raise ArgumentError("calib", "too few faces to measure a loss; give images with more faces")
        return lost

    def by_size(self, model: onnx.ModelProto | None = None) -> dict[str, float]:
        """Return the AP by face size of a model, or of FP32 for None; empty without annotations."""
        if not self._annotations:
            return {}
        found = self._reference if model is None else self._run(model)
        names, scales = [name for name, _ in self._placed], [scale for _, scale in self._placed]
        figures = ap_by_size(names, scales, found, self._annotations)
        if not figures:
            raise ArgumentError("boxes", "no annotated face in these images that is large enough to count")
        return figures

    def _run(self, model: onnx.ModelProto) -> list[Selection]:
        with tempfile.TemporaryDirectory() as folder:
            return candidates(_stored(model, folder), self.images.batches())

    @cached_property
    def _reference(self) -> list[Selection]:
        return self._run(self._model)

    @cached_property
    def _placed(self) -> Sequence[tuple[str, tuple[float, float]]]:
        return [(item.name, item.scale) for item in self.images]

    @cached_property
    def _threshold(self) -> float:
        return contract.spec_of(self._model, Path("model")).thresholds.score_threshold

    def on(self, limit: int) -> Comparison:
        """Return the comparison on at most ``limit`` of the images."""
        if limit >= self.images.limit:
            return self
        return Comparison(self._model, dataclasses.replace(self.images, limit=limit), self._annotations)


def check_close(
    reference: dict[str, NDArray[np.float32]], result: dict[str, NDArray[np.float32]], precision: str
) -> None:
    """Check, in place of images, that the outputs of a precision on noise are close to FP32's.

    Raises:
        EngineError: If a score differs by more than `MAX_NOISE_DIFFERENCE`, or the deltas on average by more
            than the share `MAX_NOISE_SHARE` of their magnitude.
    """
    apart = float(np.abs(reference[SCORES] - result[SCORES]).max())
    share = _share(result[DELTAS], reference[DELTAS])
    problem = None
    if apart > MAX_NOISE_DIFFERENCE:
        problem = f"scores differ from FP32's by up to {apart:.2f}"
    elif share > MAX_NOISE_SHARE:
        problem = f"deltas differ from FP32's by {share:.0%} on average"
    if problem:
        raise EngineError(
            f"{precision} refused: its {problem} on noise; use bf16, keep more layers in FP16 (keep_fp16), "
            "calibrate again, or go on nevertheless (force)"
        )


def check_finite(model: onnx.ModelProto, precision: str, remedy: str) -> dict[str, NDArray[np.float32]]:
    """Return a model's outputs on noise by name, all finite.

    Raises:
        EngineError: If they are not; the message ends in `remedy`.
    """
    outputs = _on_noise(model, NOISE_SIDE)
    for name, value in outputs.items():
        if wrong := np.count_nonzero(~np.isfinite(value)):
            raise EngineError(
                f"{precision} refused: {wrong} of {value.size} numbers in its {name} are not finite; {remedy}"
            )
    return outputs


def check_optimized(model: onnx.ModelProto, precision: str) -> None:
    """Check that ONNX Runtime gives a model's results whether or not it optimizes the graph.

    A verdict on a quantized model is worth nothing if an optimizer changes its arithmetic, as
    `trt_mogface.backends.onnxruntime.HARMFUL` did.

    Raises:
        EngineError: If an output differs on average by more than the share `MAX_OPTIMIZED_SHARE` of its
            magnitude.
    """
    plain, optimized = (_on_noise(model, SMALL_NOISE_SIDE, optimize=each) for each in (False, True))
    for name, expected in plain.items():
        share = _share(optimized[name], expected)
        if not share <= MAX_OPTIMIZED_SHARE:
            raise EngineError(
                f"{precision} refused: graph optimization by ONNX Runtime changes its {name} by {share:.0%} "
                "on average, so it cannot be judged here; use another version of onnxruntime or fp16, "
                "or go on nevertheless (force)"
            )


def _share(value: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the mean difference from an expected output as a share of its mean magnitude."""
    return float(np.abs(value - expected).mean() / max(float(np.abs(expected).mean()), 1e-6))


def _on_noise(model: onnx.ModelProto, side: int, *, optimize: bool = True) -> dict[str, NDArray[np.float32]]:
    """Return a model's outputs by name."""
    noise = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    with (
        tempfile.TemporaryDirectory() as folder,
        OnnxNetwork(_stored(model, folder), optimize=optimize) as network,
    ):
        outputs = network.run(noise)
        return {name: getattr(outputs, name) for name in network.spec.outputs}


def _stored(model: onnx.ModelProto, folder: str) -> Path:
    path = Path(folder, "model.onnx")
    with whole_file(path, durable=False) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return path
