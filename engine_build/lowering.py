"""A contract model at a precision: calibrated, with layers kept in FP16, and compared with FP32."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from typing_extensions import ParamSpec

from engine_build.calibration.images import Images
from engine_build.calibration.ranges import METHODS, Method
from engine_build.calibration.record import Calibration, calibrate, load_calibration, save_calibration
from engine_build.onnx import contract
from engine_build.onnx.end_to_end import append_detection
from engine_build.onnx.pixels import float_planes
from engine_build.precision import QUANTIZED, Precision
from engine_build.precision.prepare import at_precision, named, normalized
from engine_build.precision.quantize import convolutions
from engine_build.validation.agreement import Agreement
from engine_build.validation.annotations import Annotations, assign, read_annotations
from engine_build.validation.choice import choose
from engine_build.validation.comparison import Comparison, check_close, check_finite, check_optimized
from engine_build.validation.sensitivity import Sensitivity, nodes_matching
from engine_build.workload.convolutions import work_by_convolution
from trt_mogface._names import split_list
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.errors import ArgumentError, EngineError, ImageError, ModelError
from trt_mogface.models.precision import read_precision, read_precisions
from trt_mogface.spec import DetectorSpec, Layout, Thresholds

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

P = ParamSpec("P")

log = logging.getLogger("trt_mogface")

MAX_LOSS = 5.0
"""Default limit of the loss against FP32, in points of AP, beyond which a precision is refused."""

AUTO_LOSS = 0.25
"""Default limit of the loss, in points of AP, where layers are kept in FP16 automatically."""

CHECKED_IMAGES = 24
"""Largest number of images on which a precision is compared with FP32."""


@dataclass(frozen=True)
class LoweringOptions:
    """Options of a lowering, at whatever precision.

    Attributes:
        model: Contract ONNX file.
        calib: Images to calibrate on and to compare with FP32 on; None for none.
        calib_method: Method that chooses the ranges, one of `engine_build.calibration.ranges.METHODS`.
        calib_cache: Calibration file, written if there are images, else read; None for none.
        keep_fp16: Convolutions of INT8 and FP8 to keep in FP16: ``none``, ``auto``, a number of layer groups,
            or patterns of names separated by commas.
        sensitivity: Whether to measure the layer groups even if none is kept.
        max_loss: Largest loss of AP against FP32 in points; None for `MAX_LOSS` (`AUTO_LOSS` with ``auto``).
        boxes: File of the faces in the images, see `engine_build.validation.annotations`; None for none.
        force: Whether to go on where a check of the calibration file or of the accuracy fails.
        end_to_end: Thresholds of a detection that becomes part of the model; None for the contract's outputs.
        layout: Input that the model gets; ``nchw-float32`` leaves out the first two nodes.

    Raises:
        ArgumentError: If the calibration method is unknown.
    """

    model: Path
    calib: Images | None = None
    calib_method: Method = "percentile"
    calib_cache: Path | None = None
    keep_fp16: str = "none"
    sensitivity: bool = False
    max_loss: float | None = None
    boxes: Path | None = None
    force: bool = False
    end_to_end: Thresholds | None = None
    layout: Layout = "nhwc-uint8"

    def __post_init__(self) -> None:
        if self.calib_method not in METHODS:
            known = f"unknown method (choose from {', '.join(METHODS)})"
            raise ArgumentError("calib_method", known, self.calib_method)

    @property
    def kept_groups(self) -> int | None:
        """Number of layer groups to keep in FP16, if ``keep_fp16`` is a number."""
        return int(self.keep_fp16) if re.fullmatch(r"[0-9]{1,6}", self.keep_fp16) else None


class Lowered(NamedTuple):
    """A model at a precision, with the measurements of it.

    Attributes:
        precision: Precision of the convolutions.
        given: Precision of the model that was lowered.
        model: ONNX model, of the contract or ending in faces.
        spec: Spec of the model, with the thresholds of its detection if it has one.
        types: Data type of each convolution, by its name.
        sensitivity: Sensitivity of the layer groups, if measured.
        agreement: Agreement with FP32; None without images.
    """

    precision: Precision
    given: Precision
    model: onnx.ModelProto
    spec: DetectorSpec
    types: dict[str, str]
    sensitivity: Sensitivity | None
    agreement: Agreement | None

    @property
    def accuracy(self) -> str:
        """Comparison with FP32 in one line."""
        if self.precision == "fp32":
            return "the reference"
        if self.given != "fp32":
            return f"not compared with FP32: the model was given in {self.given}"
        return str(self.agreement or "compared on noise only: no images were given")


class Lowering:
    """One model at several precisions, which share the calibration and the measurements of FP32.

    ``status`` is called with a line on the current step.
    """

    def __init__(self, options: LoweringOptions, status: Callable[[str], None] = lambda _: None) -> None:
        self.options, self.status = options, status

    def at(self, precision: Precision) -> Lowered:
        """Return the model at a precision, after it has passed the comparison with FP32.

        A model that was given in a lower precision stays as it is.

        Raises:
            ArgumentError: If an option that the precision needs is missing, or fits nothing in the model, or
                the model was given in another precision than FP32 and the requested one.
            EngineError: If outputs are not finite, in FP32 too, or the loss is too large.
            ModelError: If the model or the calibration file is unusable.
            ImageError: If the images or the annotations are unusable.
            OutputError: If the calibration file cannot be written.
        """
        self.check(precision)
        if self.given != "fp32":
            return self._as_given()
        _ = self._annotations  # refused before hours of calibration
        model = self._model(precision)
        quantized = precision in QUANTIZED
        calibration = self.calibration if quantized else None
        if quantized and calibration is None:
            problem = f"{precision} needs calibration; give images, or a calibration file (calib_cache)"
            raise ArgumentError("calib", problem)

        def lower(kept: Collection[str]) -> onnx.ModelProto:
            return at_precision(model, precision, calibration, kept)

        sensitivity = self._measured(model, lower) if quantized else None
        kept = self._kept(model, sensitivity) if quantized else frozenset()
        lowered = lower(kept)
        runnable = at_precision(model, precision, simulate=True) if precision == "bf16" else lowered
        agreement = self._checked(precision, runnable)
        rest = "fp16" if quantized else precision
        types: dict[str, str] = {
            node.name: rest if node.name in kept else precision for node in convolutions(model)
        }
        return Lowered(precision, "fp32", lowered, self._ended(lowered), types, sensitivity, agreement)

    def check(self, precision: Precision) -> None:
        """Refuse a model that reads float planes, or that has another precision than FP32 already.

        Raises:
            ModelError: If the model reads float planes.
            ArgumentError: If `precision` is another one, or an option of a lowering is set.
        """
        given, unset = self.given, LoweringOptions(self.options.model)
        if self.spec.input.layout != "nhwc-uint8":
            raise ModelError(
                f"{unset.model}: reads float planes already; build from the model that reads bytes, with the "
                "input float-nchw"
            )
        if given == "fp32":
            return
        if precision != given:
            problem = f"{unset.model} computes in {given} and cannot be lowered again"
            raise ArgumentError("precision", f"{problem}; use {given}, or the FP32 file", precision)
        for name in ("calib", "calib_cache", "keep_fp16", "sensitivity", "max_loss", "boxes"):
            if getattr(self.options, name) != getattr(unset, name):
                raise ArgumentError(name, f"is for models in FP32; {unset.model} computes in {given} already")

    def _as_given(self) -> Lowered:
        """Return a model that was lowered before; there is no FP32 to compare it with."""
        given, model = self.given, named(contract.load(self.options.model))
        if given != "bf16":  # which ONNX Runtime lacks on CPUs
            self.status(f"checking {given}")
            check_finite(model, given, "repair the model, or use another precision")
        if given in QUANTIZED:
            self._unless_forced(check_optimized, model, given)
        by_output = read_precisions(self.options.model)
        types: dict[str, str] = {
            node.name: by_output[node.output[0]]
            for node in model.graph.node
            if node.op_type == "Conv" and node.output[0] in by_output
        }
        return Lowered(given, given, model, self._ended(model), types, None, None)

    def _unless_forced(self, check: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Make a check, whose failure is only a warning if the user says so."""
        try:
            check(*args, **kwargs)
        except EngineError as error:
            if not self.options.force:
                raise
            log.warning("%s", error)

    def _ended(self, model: onnx.ModelProto) -> DetectorSpec:
        """Give the model its input and its detection, if they are other than the contract's, in place.

        Returns:
            Spec of the result.
        """
        spec, end = self.spec, self.options.end_to_end
        if self.options.layout == "nchw-float32":
            float_planes(model)
            spec = contract.spec_of(model)
        return spec if end is None else append_detection(model, spec, end)

    @cached_property
    def given(self) -> Precision:
        """Precision of the model as it was given."""
        return read_precision(self.options.model)

    @cached_property
    def spec(self) -> DetectorSpec:
        """Spec of the model."""
        return read_spec(self.options.model)

    def _model(self, precision: Precision) -> onnx.ModelProto:
        """Read the model anew: a copy in memory would weigh as much as the network."""
        return normalized(contract.load(self.options.model), precision)

    @cached_property
    def work(self) -> dict[str, int]:
        """Multiply-adds by name of the convolution."""
        return work_by_convolution(self._model("fp32"))

    @cached_property
    def calibration(self) -> Calibration | None:
        """Calibration on the images, else from the file; None with neither."""
        path, images = self.options.calib_cache, self.options.calib
        if images is None:
            if path is None:
                return None
            found = load_calibration(path, force=self.options.force)
            found.check_belongs_to(self._model("int8"), self.spec.name, path)
            return found
        model = self._model("int8")
        found = calibrate(model, self.spec.name, self.options.calib_method, images, self.status)
        if path is not None:
            save_calibration(found, path)
        return found

    @cached_property
    def _annotations(self) -> Annotations | None:
        images, boxes = self.options.calib, self.options.boxes
        if boxes is None:
            return None
        if images is None:
            raise ArgumentError("boxes", "are the faces of the images of calib; give those too", boxes)
        annotations = read_annotations(boxes)
        # Frames of a video have names of their own.
        return assign(annotations, images.files) if images.files else annotations

    @cached_property
    def _comparison(self) -> Comparison | None:
        images = self.options.calib
        return None if images is None else Comparison(self._model("fp32"), images, self._annotations)

    @cached_property
    def _checked_images(self) -> Comparison | None:
        """Comparison on few images, whose results of FP32 all precisions share."""
        return None if self._comparison is None else self._comparison.on(CHECKED_IMAGES)

    @cached_property
    def _noise(self) -> dict[str, NDArray[np.float32]]:
        """Outputs of FP32 on noise by name, which all precisions share."""
        return check_finite(self._model("fp32"), "fp32", "repair the model")

    def _measured(
        self, model: onnx.ModelProto, lower: Callable[[Collection[str]], onnx.ModelProto]
    ) -> Sensitivity | None:
        options = self.options
        automatic = options.keep_fp16 == "auto"
        if not (options.sensitivity or automatic or options.kept_groups is not None):
            return None
        if self._comparison is None:
            raise ArgumentError("calib", "images are needed to measure layer groups (keep_fp16, sensitivity)")
        count = None if automatic else options.kept_groups or 0
        allowed = AUTO_LOSS if options.max_loss is None else options.max_loss
        return choose(model, lower, self._comparison, count, allowed, self.status)

    def _kept(self, model: onnx.ModelProto, sensitivity: Sensitivity | None) -> frozenset[str]:
        keep = self.options.keep_fp16
        if keep not in ("none", "auto") and self.options.kept_groups is None:
            return nodes_matching(model, split_list(keep))
        return sensitivity.kept_nodes if sensitivity else frozenset()

    def _checked(self, precision: Precision, lowered: onnx.ModelProto) -> Agreement | None:
        """Compare with FP32, and refuse outputs that are not finite and losses that are too large."""
        if precision == "fp32":
            _ = self._noise  # refused if not finite
            return None
        if precision in QUANTIZED:
            self._unless_forced(check_optimized, lowered, precision)
        self.status(f"comparing {precision} with FP32")
        comparison = self._checked_images
        if comparison is None:
            reference = self._noise
            remedy = "use bf16, or keep the layers that overflow in FP16 (keep_fp16)"
            result = check_finite(lowered, precision, remedy)
            self._unless_forced(check_close, reference, result, precision)
            return None
        agreement = comparison.agreement(lowered)
        if not agreement.images:
            images = comparison.images
            first = next(iter(images.skipped.values()), "")
            raise ImageError(f"{images.sources[0].parent}: none of these images can be used ({first})")
        if agreement.dropped:
            raise EngineError(
                f"{precision} refused: {agreement.dropped} candidates are not finite; "
                "use bf16, or keep the layers that overflow in FP16 (keep_fp16)"
            )
        allowed = MAX_LOSS if self.options.max_loss is None else self.options.max_loss
        if agreement.loss is not None and agreement.loss > allowed:
            raise EngineError(
                f"{precision} refused: it loses {agreement.loss:.2f} points of AP against FP32, "
                f"{allowed:g} are allowed ({agreement}); "
                "keep layers in FP16 (keep_fp16), or allow more (max_loss)"
            )
        return agreement
