"""A contract model to engines: calibrate, lower the precision, compare with FP32, build, write."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine_build import contract
from engine_build.accuracy.agreement import Agreement
from engine_build.accuracy.annotations import read_annotations
from engine_build.accuracy.choice import choose
from engine_build.accuracy.comparison import Comparison, check_on_noise
from engine_build.accuracy.report import write_report
from engine_build.accuracy.sensitivity import Sensitivity, nodes_matching
from engine_build.cache import sha256_of
from engine_build.calibration.pictures import Pictures
from engine_build.calibration.ranges import Method
from engine_build.calibration.record import Calibration, calibrate, load_calibration, save_calibration
from engine_build.precision import QUANTISED, Precision
from engine_build.precision.prepare import at_precision, normalised
from engine_build.precision.workload import multiply_adds
from engine_build.tensorrt.builder import Options, Progress, build
from engine_build.tensorrt.engine_layers import check_computes_in
from engine_build.tensorrt.target import capabilities, check_options, check_precision, described, timing_cache
from trt_mogface.errors import EngineError, ImageError, UsageError
from trt_mogface.executor import read_spec
from trt_mogface.files import whole_file
from trt_mogface.gpu import Gpu
from trt_mogface.manifest import Manifest, load_manifest, manifest_path
from trt_mogface.spec import DetectorSpec
from trt_mogface.tensorrt import Flavour

if TYPE_CHECKING:
    import onnx

RECIPE = 1
"""Part of every digest; raised when the same inputs would now give another engine."""

WORST_LOSS = 5.0
"""Points of AP against FP32 that an engine may lose before it is refused, where nothing else is asked for."""

AUTO_LOSS = 0.25
"""Points that ``--keep-fp16 auto`` aims below, where nothing else is asked for."""

CHECKED_PICTURES = 24
"""Pictures that every engine is compared with FP32 on, at most."""


@dataclass(frozen=True)
class Request:
    """What to build, apart from the precision.

    Attributes:
        model: The contract ONNX file.
        options: For the builder.
        pictures: To calibrate on and to compare with FP32 on; None for none.
        method: How calibration chooses ranges.
        calibration_file: Written where there are pictures, read where there are none.
        keep_fp16: ``none``, ``auto``, a number of layer groups, or patterns of names with commas.
        sensitivity: Measure the layer groups even if none is kept.
        max_loss: Most points of AP an engine may lose against FP32.
        annotations: Faces of the pictures.
        command: Builds it again.
    """

    model: Path
    options: Options
    pictures: Pictures | None = None
    method: Method = "percentile"
    calibration_file: Path | None = None
    keep_fp16: str = "none"
    sensitivity: bool = False
    max_loss: float | None = None
    annotations: Path | None = None
    command: str = ""


class Outcome(NamedTuple):
    """An engine that was built, or that was there already; with what was measured of its layer groups now."""

    engine: Path
    manifest: Manifest
    unchanged: bool
    sensitivity: Sensitivity | None = None


class Lowered(NamedTuple):
    """The model at a precision, with what was measured of it."""

    model: onnx.ModelProto
    types: dict[str, str]
    sensitivity: Sensitivity | None
    agreement: Agreement | None


class EngineBuild:
    """Engines of one model; what several precisions need is made once.

    Args:
        request: What to build.
        status: Told what is being done.
    """

    def __init__(self, request: Request, status: Callable[[str], None] = lambda _: None) -> None:
        self.request, self._status = request, status

    def engine(
        self,
        precision: Precision,
        flavour: Flavour,
        gpu: Gpu | None,
        output: Path | None = None,
        progress: Progress | None = None,
        log: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Build an engine and write it with its manifest, or find it unchanged.

        Args:
            precision: Of its convolutions.
            flavour: With which TensorRT.
            gpu: Of this machine.
            output: The engine's file; a folder, or None for the current one, leaves the name to the network,
            the precision and a digest, so that two engines never meet.
            progress, log: See `engine_build.tensorrt.builder.build`.

        Raises:
            EngineError: TensorRT cannot build it, or did not do what was asked, or it loses too much.
            ModelError: The model or the calibration file cannot be used.
            ImageError: Pictures or annotations that cannot be used.
            UsageError: A precision the GPU lacks, or what is missing for it.
            OutputError: The place cannot be written.
        """
        started = time.monotonic()
        options = self.request.options
        check_options(flavour, gpu, options)
        check_precision(precision, flavour, gpu, options)
        digest = self._digest(precision, flavour, gpu)
        engine = output or Path()
        ending = f"{precision}-{digest[:8]}.engine"
        known = _unchanged(engine.glob(f"*-{ending}") if engine.is_dir() else [engine], digest)
        if known is not None and not self._owes_calibration(precision):
            return known
        if engine.is_dir():
            engine /= f"{self.spec.name}-{ending}"
        lowered = self.lowered(precision)
        self._status(f"building {precision} with {flavour.name} {flavour.version}")
        timed = dataclasses.replace(options, timing_cache=options.timing_cache or timing_cache(flavour, gpu))
        built = build(flavour, lowered.model.SerializeToString(), timed, progress, log, self.spec.name)
        check_types(lowered.types, built.convolution_types, flavour)
        check_computes_in(built.layers, precision)
        manifest = Manifest(
            spec=self.spec,
            precision=precision,
            multiply_adds=self._shares(built.convolution_types),
            layers=built.layers,
            profiles=options.profiles,
            flavour=flavour.name,
            tensorrt=flavour.version,
            version_compatible=options.version_compatible,
            gpu=described(precision, flavour, gpu, options),
            compute_capabilities=capabilities(flavour, gpu, options),
            driver=gpu.driver if gpu else "",
            onnx_sha256=self._onnx_sha256,
            calibration=str(self._calibration or "") if precision in QUANTISED else "",
            sensitivity=str(lowered.sensitivity or ""),
            accuracy=_accuracy(precision, lowered.agreement),
            plan_sha256=hashlib.sha256(built.plan).hexdigest(),
            plan_bytes=len(built.plan),
            inputs_sha256=digest,
            command=self.request.command,
            built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - started, 1),
        )
        with whole_file(engine) as plan, whole_file(manifest_path(engine)) as passport:
            plan.write_bytes(built.plan)
            passport.write_text(manifest.to_json(), encoding="utf-8")
        if lowered.sensitivity is not None:
            write_report(engine, self.spec.name, precision, lowered.sensitivity)
        return Outcome(engine, manifest, False, lowered.sensitivity)

    def lowered(self, precision: Precision) -> Lowered:
        """The model at a precision, once it has passed its comparison with FP32.

        Raises:
            As `engine`.
        """
        model = self._model(precision)
        quantised = precision in QUANTISED
        if quantised and self._calibration is None:
            raise UsageError(f"{precision} needs calibration: --calib PICTURES, or --calib-cache FILE")
        calibration = self._calibration if quantised else None

        def lower(kept: Collection[str], simulate: bool = False) -> onnx.ModelProto:
            return at_precision(model, precision, calibration, kept, simulate=simulate)

        sensitivity = self._measured(model, lower) if quantised else None
        kept = self._kept(model, sensitivity) if quantised else frozenset()
        agreement = self._checked(precision, model, lower(kept, simulate=True))
        rest = "fp16" if quantised else precision
        types = {name: rest if name in kept else precision for name in self._work}
        return Lowered(lower(kept), dict(types), sensitivity, agreement)

    def onnx_file(self, precision: Precision, output: Path) -> Agreement | None:
        """Write the ONNX file that an engine of this precision is built from.

        Raises:
            As `engine`.
        """
        lowered = self.lowered(precision)
        contract.save(lowered.model, output)
        return lowered.agreement

    @cached_property
    def spec(self) -> DetectorSpec:
        """The model's spec."""
        return read_spec(self.request.model)

    def _model(self, precision: Precision) -> onnx.ModelProto:
        """Read anew each time: a copy kept would weigh as much as the network."""
        return normalised(contract.load(self.request.model), precision)

    @cached_property
    def _onnx_sha256(self) -> str:
        return sha256_of(self.request.model)

    @cached_property
    def _work(self) -> dict[str, int]:
        return multiply_adds(self._model("fp32"))

    @cached_property
    def _calibration(self) -> Calibration | None:
        """From the pictures, or else from the file; None with neither."""
        path, pictures = self.request.calibration_file, self.request.pictures
        model = self._model("int8")
        if pictures is None:
            if path is None:
                return None
            found = load_calibration(path)
            found.check_belongs_to(model, self.spec.name, path)
            return found
        found = calibrate(model, self.spec.name, self.request.method, pictures, self._status)
        if path is not None:
            save_calibration(found, path)
        return found

    def _owes_calibration(self, precision: Precision) -> bool:
        """Whether the calibration file that was asked for is not there."""
        path = self.request.calibration_file
        return precision in QUANTISED and path is not None and not path.is_file()

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
        return choose(model, lower, self._comparison, count, allowed, self._status)

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
        self._status(f"comparing {precision} with FP32")
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
                f"{precision} not built: {agreement.dropped} candidates are not finite where FP32's are: "
                "use --precision bf16, or keep the layers that overflow with --keep-fp16"
            )
        allowed = WORST_LOSS if self.request.max_loss is None else self.request.max_loss
        if agreement.loss is not None and agreement.loss > allowed:
            raise EngineError(
                f"{precision} not built: it loses {agreement.loss:.2f} points of AP against FP32, "
                f"{allowed:g} are allowed ({agreement}): use --keep-fp16 auto, more pictures, or --max-loss"
            )
        return agreement

    def _shares(self, types: dict[str, str]) -> dict[str, float]:
        total = sum(self._work.values())
        shares: dict[str, float] = {}
        for name, kind in types.items():
            shares[kind] = shares.get(kind, 0) + self._work[name] / total
        return {kind: round(share, 4) for kind, share in sorted(shares.items())}

    def _digest(self, precision: Precision, flavour: Flavour, gpu: Gpu | None) -> str:
        """SHA-256 of everything an engine depends on."""
        request = self.request
        options = dataclasses.replace(request.options, timing_cache=None)
        calibrated = precision in QUANTISED
        inputs = (
            *(RECIPE, self._onnx_sha256, precision, options, flavour.name, flavour.version, gpu),
            request.max_loss,
            request.pictures and request.pictures.digest(),
            (request.method, request.keep_fp16, request.sensitivity) if calibrated else None,
            _contents(request.annotations) if calibrated else None,
            _contents(request.calibration_file) if calibrated and request.pictures is None else None,
        )
        return hashlib.sha256(repr(inputs).encode()).hexdigest()


def check_types(asked: dict[str, str], given: dict[str, str], flavour: Flavour) -> None:
    """Refuse a network whose convolutions are not of the types that were asked for.

    Args:
        asked: Type by convolution.
        given: As read back from the parsed network.
        flavour: For the message.

    Raises:
        EngineError: It names the first that differs.
    """
    wrong = [name for name, kind in asked.items() if given.get(name) != kind]
    if wrong:
        first = wrong[0]
        raise EngineError(
            f"{flavour.name} {flavour.version} computes {len(wrong)} of {len(asked)} convolutions in another "
            f"type than asked, such as {first!r}: {given.get(first, 'not there')}, not {asked[first]}"
        )


def _unchanged(engines: Iterable[Path], digest: str) -> Outcome | None:
    """The engine that was built from the same inputs, if it is there whole.

    Its contents are hashed when it is loaded, not here: finding that nothing is to be done should be quick.
    """
    for engine in engines:
        with suppress(EngineError, OSError):
            manifest = load_manifest(engine)
            if manifest.inputs_sha256 == digest and manifest.plan_bytes == engine.stat().st_size:
                return Outcome(engine, manifest, unchanged=True)
    return None


def _accuracy(precision: Precision, agreement: Agreement | None) -> str:
    if precision == "fp32":
        return "the reference"
    return str(agreement or "compared on noise alone: no pictures were given")


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _contents(path: Path | None) -> str | None:
    return sha256_of(path) if path is not None and path.is_file() else None
