"""A contract model at a precision: calibrated, layers chosen for FP16, compared with FP32."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine_build.calibration.pictures import Pictures
from engine_build.calibration.ranges import Method
from engine_build.calibration.record import Calibration, calibrate, load_calibration, save_calibration
from engine_build.onnx import contract
from engine_build.onnx.end_to_end import append_detection
from engine_build.precision import QUANTIZED, Precision
from engine_build.precision.prepare import at_precision, normalized
from engine_build.validation.agreement import Agreement
from engine_build.validation.annotations import read_annotations
from engine_build.validation.choice import choose
from engine_build.validation.comparison import Comparison, check_on_noise
from engine_build.validation.sensitivity import Sensitivity, nodes_matching
from engine_build.workload.convolutions import multiply_adds
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.errors import EngineError, ImageError, UsageError
from trt_mogface.spec import DetectorSpec, Thresholds

if TYPE_CHECKING:
    import onnx

WORST_LOSS = 5.0
"""Points of AP against FP32 that a precision may lose before it is refused, where nothing is asked for."""

AUTO_LOSS = 0.25
"""Points that ``--keep-fp16 auto`` aims below, where nothing else is asked for."""

CHECKED_PICTURES = 24
"""Pictures that every precision is compared with FP32 on, at most."""


@dataclass(frozen=True)
class Request:
    """What is wanted of a model, whatever its precision.

    Attributes:
        model: The contract ONNX file.
        pictures: To calibrate on and to compare with FP32 on; None for none.
        method: How calibration chooses ranges.
        calibration_file: Written where there are pictures, read where there are none.
        keep_fp16: ``none``, ``auto``, a number of layer groups, or patterns of names with commas.
        sensitivity: Measure the layer groups even if none is kept.
        max_loss: Most points of AP that may be lost against FP32.
        annotations: Faces of the pictures.
        end_to_end: Thresholds of the detection that the model is to end in; None for the contract's outputs.
    """

    model: Path
    pictures: Pictures | None = None
    method: Method = "percentile"
    calibration_file: Path | None = None
    keep_fp16: str = "none"
    sensitivity: bool = False
    max_loss: float | None = None
    annotations: Path | None = None
    end_to_end: Thresholds | None = None


class Lowered(NamedTuple):
    """The model at a precision, with what was measured of it.

    Attributes:
        precision: Which one.
        model: ONNX, of the contract, or ending in faces.
        spec: Its spec, with the thresholds of such an end.
        types: The type of each convolution, by its name.
        sensitivity: Of its layer groups, where that was asked for.
        agreement: With FP32; None where there were no pictures.
    """

    precision: Precision
    model: onnx.ModelProto
    spec: DetectorSpec
    types: dict[str, str]
    sensitivity: Sensitivity | None
    agreement: Agreement | None

    @property
    def accuracy(self) -> str:
        """One line on how it compares with FP32."""
        if self.precision == "fp32":
            return "the reference"
        return str(self.agreement or "compared on noise alone: no pictures were given")


class Lowering:
    """One model at several precisions; what they share is made once.

    Args:
        request: What is wanted.
        status: Told what is being done.
    """

    def __init__(self, request: Request, status: Callable[[str], None] = lambda _: None) -> None:
        self.request, self.status = request, status

    def at(self, precision: Precision) -> Lowered:
        """The model at a precision, once it has passed its comparison with FP32.

        Raises:
            EngineError: It is broken, or loses too much.
            ModelError: The model or the calibration file cannot be used.
            ImageError: Pictures or annotations that cannot be used.
            UsageError: What is missing for this precision.
            OutputError: The calibration file cannot be written.
        """
        model = self._model(precision)
        quantized = precision in QUANTIZED
        if quantized and self.calibration is None:
            raise UsageError(f"{precision} needs calibration: --calib PICTURES, or --calib-cache FILE")
        calibration = self.calibration if quantized else None

        def lower(kept: Collection[str], simulate: bool = False) -> onnx.ModelProto:
            return at_precision(model, precision, calibration, kept, simulate=simulate)

        sensitivity = self._measured(model, lower) if quantized else None
        kept = self._kept(model, sensitivity) if quantized else frozenset()
        agreement = self._checked(precision, model, lower(kept, simulate=True))
        rest = "fp16" if quantized else precision
        types = {name: rest if name in kept else precision for name in self.work}
        lowered, spec = lower(kept), self.spec
        if self.request.end_to_end is not None:
            spec = append_detection(lowered, spec, self.request.end_to_end)
        return Lowered(precision, lowered, spec, dict(types), sensitivity, agreement)

    @cached_property
    def spec(self) -> DetectorSpec:
        """The model's spec."""
        return read_spec(self.request.model)

    def _model(self, precision: Precision) -> onnx.ModelProto:
        """Read anew each time: a copy kept would weigh as much as the network."""
        return normalized(contract.load(self.request.model), precision)

    @cached_property
    def work(self) -> dict[str, int]:
        """Multiply-adds by convolution."""
        return multiply_adds(self._model("fp32"))

    @cached_property
    def calibration(self) -> Calibration | None:
        """From the pictures, or else from the file; None with neither."""
        path, pictures = self.request.calibration_file, self.request.pictures
        model = self._model("int8")
        if pictures is None:
            if path is None:
                return None
            found = load_calibration(path)
            found.check_belongs_to(model, self.spec.name, path)
            return found
        found = calibrate(model, self.spec.name, self.request.method, pictures, self.status)
        if path is not None:
            save_calibration(found, path)
        return found

    @cached_property
    def _comparison(self) -> Comparison | None:
        if self.request.pictures is None:
            return None
        annotations = self.request.annotations
        return Comparison(
            self._model("fp32"),
            self.request.pictures,
            None if annotations is None else read_annotations(annotations),
        )

    def _measured(
        self, model: onnx.ModelProto, lower: Callable[[Collection[str]], onnx.ModelProto]
    ) -> Sensitivity | None:
        keep = self.request.keep_fp16
        number = _number(keep)
        if not (self.request.sensitivity or keep == "auto" or number is not None):
            return None
        if self._comparison is None:
            raise UsageError(f"--keep-fp16 {keep} and --sensitivity measure on pictures: give --calib")
        count = None if keep == "auto" else number or 0
        allowed = AUTO_LOSS if self.request.max_loss is None else self.request.max_loss
        return choose(model, lower, self._comparison, count, allowed, self.status)

    def _kept(self, model: onnx.ModelProto, sensitivity: Sensitivity | None) -> frozenset[str]:
        keep = self.request.keep_fp16
        if keep not in ("none", "auto") and _number(keep) is None:
            return nodes_matching(model, keep.split(","))
        return sensitivity.kept_nodes if sensitivity else frozenset()

    def _checked(
        self, precision: Precision, model: onnx.ModelProto, lowered: onnx.ModelProto
    ) -> Agreement | None:
        """Compare with FP32, and refuse what is broken or loses too much."""
        if precision == "fp32":
            return None
        self.status(f"comparing {precision} with FP32")
        if self._comparison is None:
            check_on_noise(model, lowered)
            return None
        agreement = self._comparison.on(CHECKED_PICTURES).agreement(lowered)
        if not agreement.pictures:
            pictures = self._comparison.pictures
            first = next(iter(pictures.skipped.values()), "")
            raise ImageError(f"{pictures.sources[0].parent}: none of these pictures can be used ({first})")
        if agreement.dropped > 0:
            raise EngineError(
                f"{precision} refused: {agreement.dropped} candidates are not finite where FP32's are: "
                "use --precision bf16, or keep the layers that overflow with --keep-fp16"
            )
        allowed = WORST_LOSS if self.request.max_loss is None else self.request.max_loss
        if agreement.loss is not None and agreement.loss > allowed:
            raise EngineError(
                f"{precision} refused: it loses {agreement.loss:.2f} points of AP against FP32, "
                f"{allowed:g} are allowed ({agreement}): use --keep-fp16 auto, more pictures, or --max-loss"
            )
        return agreement


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None
