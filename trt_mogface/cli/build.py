"""``trt-mogface build``: engines of a model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table

from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.backends.options import check_options
from trt_mogface.cli import options, output
from trt_mogface.cli.build_progress import BuildProgress
from trt_mogface.cli.groups import with_groups
from trt_mogface.cli.images import say_skipped, say_unusable
from trt_mogface.cli.options import OWN, in_accuracy, in_detection, in_model, in_output
from trt_mogface.errors import ArgumentError, OutputError, UsageError
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import find_tensorrt, flavor_name
from trt_mogface.models.cascade import STAGES
from trt_mogface.models.cascade_engine import plan_file
from trt_mogface.models.files import contract_file, is_cascade, model_path, precision_of
from trt_mogface.models.manifest import CASCADE_MANIFEST, ENGINES, manifest_path

if TYPE_CHECKING:
    from engine_build.build import Outcome
    from engine_build.calibration.images import Images
    from engine_build.lowering import Lowered, Lowering
    from engine_build.precision import Precision
    from engine_build.tensorrt.builder import BuilderOptions
    from engine_build.validation.sensitivity import Sensitivity
    from trt_mogface.models.manifest import Profile
    from trt_mogface.spec import DetectorSpec, Thresholds

SHOWN = 10
"""Smallest number of layer groups to print."""

in_tensorrt = options.Panel("TensorRT")
PRECISION_HELP = "fp32, fp16, bf16, int8, fp8; several with commas."
KEEP_HELP = "Layer groups to leave in FP16: the fewest that meet --max-loss, the N worst, or by name."
SHAPES_HELP = "Input shapes BATCHxHEIGHTxWIDTH, or one fixed shape; repeat for more profiles."
TARGET_HELP = "Engine or folder, else a name of its own here; FILE.onnx writes ONNX of the precision instead."


def _precision_names() -> Sequence[str]:
    from engine_build.precision import PRECISIONS

    return PRECISIONS


@dataclass(frozen=True)
class EndToEndGroup:
    """An engine that ends in faces."""

    end_to_end: Annotated[
        bool, in_detection("", "Decode and suppress inside the engine: it returns faces.", "--end-to-end")
    ] = False
    conf: Annotated[
        float | None, in_detection("0..1", "With --end-to-end: score threshold.", show_default=OWN)
    ] = None
    iou: Annotated[
        float | None, in_detection("0..1", "With --end-to-end: IoU threshold.", show_default=OWN)
    ] = None
    max_det: Annotated[
        int | None, in_detection("N", "With --end-to-end: most faces per image.", show_default=OWN)
    ] = None

    def thresholds(self, spec: DetectorSpec) -> Thresholds | None:
        """Return the thresholds that become part of the engine, or None."""
        check_options({"conf": self.conf, "iou": self.iou, "max_det": self.max_det})
        given = {"score_threshold": self.conf, "iou_threshold": self.iou, "max_detections": self.max_det}
        changes = {name: value for name, value in given.items() if value is not None}
        if self.end_to_end:
            return replace(spec.thresholds, **changes)  # type: ignore[arg-type]
        if changes:
            problem = "--conf, --iou and --max-det are for --end-to-end"
            raise UsageError(f"{problem}; other engines take them when they run")
        return None


@dataclass(frozen=True)
class CalibrationGroup:
    """Calibration of INT8 and FP8, and the comparison with FP32."""

    calib: options.Calib = None
    calib_images: Annotated[int, in_accuracy("N", "Largest number of images to use.", min=1)] = 512
    calib_method: Annotated[str, in_accuracy("NAME", "minmax, percentile or entropy.")] = "percentile"
    calib_cache: options.CalibCache = None
    calib_size: Annotated[
        str, in_accuracy("auto|native|WxH", "Size of the images; auto is that of --shapes.")
    ] = "auto"
    sensitivity: Annotated[
        bool, in_accuracy("", "Measure every layer group, and write a report.", "--sensitivity")
    ] = False
    keep_fp16: Annotated[str, in_accuracy("none|auto|N|NAMES", KEEP_HELP)] = "none"
    max_loss: Annotated[
        float | None,
        in_accuracy("POINTS", "Largest loss of AP against FP32.", min=0.0, show_default="5; 0.25 for auto"),
    ] = None
    force: options.Force = False
    boxes: Annotated[
        Path | None, in_accuracy("FILE", "Faces of the images, as in WIDER FACE's bbx_gt.txt.")
    ] = None

    @property
    def is_quantization(self) -> bool:
        """Whether an option is given that only INT8 and FP8 have."""
        return self.sensitivity or self.boxes is not None or self.keep_fp16 != "none"

    def files(self, model: str, weights: Path | None) -> tuple[list[Path | None], Path | None]:
        """Return the files that are read for a model of this name, and the calibration file if written."""
        images = options.calibration_files(self.calib)
        read = options.model_files(model, weights, self.boxes, *images)
        if self.calib is None:
            return [*read, self.calib_cache], None
        return read, self.calib_cache

    def images(self, model: Path, profiles: Sequence[Profile]) -> Images | None:
        """Find the images to calibrate and compare on, if any are given."""
        from engine_build.calibration.images import find_images

        if self.calib is None:
            return None
        sizes = {(width, height) for profile in profiles for _, height, width in profile}
        if self.calib_size != "auto":
            size = options.parse_size("calib_size", self.calib_size)
        else:  # the one size that the engine will see
            size = sizes.pop() if len(sizes) == 1 else None
        return find_images(self.calib, read_spec(model).input, size, self.calib_images)


@dataclass(frozen=True)
class TensorRTGroup:
    """Options of the builder; those of trtexec have its names."""

    shapes: Annotated[
        list[str] | None,
        in_tensorrt("MIN:OPT:MAX", SHAPES_HELP, show_default="1x224x224:1x640x640:8x1280x1280"),
    ] = None
    mem_pool_size: Annotated[
        str | None, in_tensorrt("workspace:MiB", "Largest scratch memory of a layer.")
    ] = None
    builder_optimization_level: Annotated[
        int, in_tensorrt("LEVEL", "From fast to build to fast to run.", min=0, max=5)
    ] = 3
    timing_cache_file: Annotated[
        Path | None, in_tensorrt("FILE", "Cache of layer timings.", show_default="one per GPU and version")
    ] = None
    version_compatible: Annotated[
        bool,
        in_tensorrt("", "Run under later releases of the same major version too.", "--version-compatible"),
    ] = False
    hardware_compatibility_level: Annotated[
        str, in_tensorrt("LEVEL", "none, ampere+ or same-compute-capability.")
    ] = "none"
    compute_capabilities: Annotated[
        str | None,
        in_tensorrt("8.9,12.0", "TensorRT-RTX: GPUs to build for.", show_default="Ampere and newer"),
    ] = None
    use_dla_core: Annotated[int | None, in_tensorrt("N", "Jetson: build for this DLA core.", min=0)] = None
    allow_gpu_fallback: Annotated[
        bool, in_tensorrt("", "Run layers that the DLA lacks on the GPU.", "--allow-gpu-fallback")
    ] = False
    strip_weights: Annotated[
        bool, in_tensorrt("", "Leave out the weights; `refit` puts them in.", "--strip-weights")
    ] = False
    refit: Annotated[bool, in_tensorrt("", "Allow weights to be exchanged later.", "--refit")] = False
    tensorrt: Annotated[
        str | None, in_tensorrt("tensorrt|tensorrt-rtx", "Which one to use if both are installed.")
    ] = None
    verbose: Annotated[bool, in_tensorrt("", "Print TensorRT's log.", "--verbose")] = False

    def options(self) -> BuilderOptions:
        """Return the options of the builder."""
        from engine_build.tensorrt.builder import BuilderOptions, parse_workspace
        from engine_build.tensorrt.profiles import parse_profiles
        from engine_build.tensorrt.target import parse_capabilities

        return BuilderOptions(
            profiles=parse_profiles(self.shapes),
            workspace_mib=parse_workspace(self.mem_pool_size),
            builder_optimization_level=self.builder_optimization_level,
            timing_cache_file=self.timing_cache_file,
            version_compatible=self.version_compatible,
            hardware_compatibility_level=self.hardware_compatibility_level,  # type: ignore[arg-type]
            compute_capabilities=parse_capabilities(self.compute_capabilities),
            use_dla_core=self.use_dla_core,
            allow_gpu_fallback=self.allow_gpu_fallback,
            strip_weights=self.strip_weights,
            refit=self.refit,
        )


@with_groups
def build(
    model: Annotated[str, options.model_argument(metavar="MODEL", help="Model name or contract ONNX file.")],
    *,
    precision: Annotated[
        str | None,
        in_model(
            "LIST",
            PRECISION_HELP,
            show_default="fp16; that of the file if it is lowered",
            autocompletion=options.completion(_precision_names),
        ),
    ] = None,
    weights: options.Weights = None,
    min_face: options.MinFace = None,
    layout: options.InputLayout = options.UINT8,
    detection: EndToEndGroup,
    calibration: CalibrationGroup,
    tensorrt: TensorRTGroup,
    target: Annotated[str | None, in_output("FILE|DIR/", TARGET_HELP, "--output", "-o")] = None,
) -> None:
    """Build TensorRT engines of a model, each with a manifest that states its accuracy.

    An engine that was built from the same inputs is left as it is.  A cascade of networks becomes a folder of
    three engines with one manifest.
    """
    from engine_build.lowering import Lowering, LoweringOptions
    from engine_build.precision import QUANTIZED, parse_precisions

    if is_cascade(model):
        refuse_for_cascades(model, min_face, detection, calibration)
        _build_cascade(model, precision, weights, calibration, tensorrt, target)
        return
    given = precision_of(model)
    own = "fp16" if given == "fp32" else given
    wanted = parse_precisions(own if precision is None else precision)
    if not set(wanted) & set(QUANTIZED) and calibration.is_quantization:
        raise UsageError(
            "--sensitivity, --keep-fp16 and --boxes are for int8 and fp8; add one to --precision"
        )
    input_layout = options.parse_layout(layout)
    builder_options = tensorrt.options()
    folder = Path(target) if target is not None and output.is_folder(target) else None
    path = None if target is None else Path(target)
    if path is not None and folder is None and len(wanted) > 1:
        problem = f"one file cannot hold {len(wanted)} precisions"
        raise OutputError(f"{path}: {problem}; use a folder, {path.parent}/")
    beside = [] if path is None or folder is not None else _beside(path)
    read, written = calibration.files(model, weights)
    place = Path() if path is None else folder  # names in a folder have a digest, no other file has them
    output.check_targets([*beside, written, tensorrt.timing_cache_file], read, folder=place)
    with BuildProgress(output.err) as progress, output.created(folder):
        progress.status(f"reading {model}")
        file = contract_file(model, weights, min_face, for_cpu=False)
        images = calibration.images(file, builder_options.profiles)
        if images is not None:
            say_skipped(images.left_out)
        lowering_options = LoweringOptions(
            model=file,
            calib=images,
            calib_method=calibration.calib_method,  # type: ignore[arg-type]
            calib_cache=calibration.calib_cache,
            keep_fp16=calibration.keep_fp16,
            sensitivity=calibration.sensitivity,
            max_loss=calibration.max_loss,
            boxes=calibration.boxes,
            force=calibration.force,
            end_to_end=detection.thresholds(read_spec(file)),
            layout=input_layout,
        )
        lowering = Lowering(lowering_options, progress.status)
        for each in wanted:
            lowering.check(each)
        if path is not None and path.suffix.lower() == ".onnx" and folder is None:
            show = partial(_write_onnx, lowering.at(wanted[0]), path)
        else:
            show = partial(_show, _engines(lowering, wanted, path, builder_options, tensorrt, progress))
    show()
    if images is not None:
        say_unusable(images.skipped.values())


def refuse_for_cascades(
    model: str, min_face: float | None, detection: EndToEndGroup, calibration: CalibrationGroup
) -> None:
    """Refuse options that engines of a cascade do not have, before anything is read."""
    if min_face is not None:
        problem = f"{model} is a cascade, whose pyramid begins at faces of 20 pixels; omit it"
        raise ArgumentError("min_face", problem, min_face)
    if detection != EndToEndGroup():
        raise UsageError(f"{model}: a cascade of networks cannot end in faces; leave out --end-to-end")
    kept = {name: getattr(calibration, name) for name in ("calib", "calib_images", "calib_method")}
    if calibration != CalibrationGroup(**kept):
        taken = "--calib, --calib-images and --calib-method"
        raise UsageError(f"{model}: a cascade of networks takes {taken} only; omit other options of accuracy")


def _build_cascade(
    model: str,
    precision: str | None,
    weights: Path | None,
    calibration: CalibrationGroup,
    tensorrt: TensorRTGroup,
    target: str | None,
) -> None:
    from engine_build.calibration.images import find_images
    from engine_build.calibration.ranges import METHODS
    from engine_build.cascade import NATIVE, CascadeBuild, check_cascade_precision, image_profile
    from engine_build.precision import parse_precisions

    wanted, builder_options = parse_precisions(precision or "fp16"), tensorrt.options()
    for each in wanted:
        check_cascade_precision(model, each)
    if "int8" in wanted and calibration.calib is None:
        raise ArgumentError("calib", "int8 needs calibration; give images")
    if calibration.calib_method not in METHODS:
        known = f"unknown method (choose from {', '.join(METHODS)})"
        raise ArgumentError("calib_method", known, calibration.calib_method)
    image_profile(model, builder_options)
    folder = None if target is None else Path(target)
    if folder is not None and len(wanted) > 1:
        raise OutputError(f"{folder}: one folder cannot hold {len(wanted)} precisions; leave out --output")
    if folder is not None and folder.suffix.lower() in {*ENGINES, ".onnx"}:
        raise OutputError(f"{folder}: a cascade of networks becomes a folder; use {folder.with_suffix('')}/")
    files = (
        [] if folder is None else [*(plan_file(folder, stage) for stage in STAGES), folder / CASCADE_MANIFEST]
    )
    read = options.model_files(model, weights, *options.calibration_files(calibration.calib))
    output.check_targets([*files, tensorrt.timing_cache_file], read, folder=folder or Path())
    with BuildProgress(output.err) as progress, output.created(folder.parent if folder else None):
        progress.status(f"reading {model}")
        images = None
        if calibration.calib is not None:
            images = find_images(calibration.calib, NATIVE, None, calibration.calib_images)
            say_skipped(images.left_out)
        building = CascadeBuild(
            model_path(model, weights, for_cpu=False),
            builder_options,
            find_tensorrt(flavor_name(tensorrt.tensorrt) if tensorrt.tensorrt else None),
            find_gpu(),
            shlex.join(["trt-mogface", *sys.argv[1:]]),
            progress,
            progress.log if tensorrt.verbose else None,
            progress.status,
            images,
            calibration.calib_method,
        )
        outcomes = [building.engines(each, folder) for each in wanted]
    table = Table("precision", "size", "built in", "agreement with FP32")
    for outcome in outcomes:
        manifest = outcome.manifest
        size = sum(network.plan_bytes for network in manifest.networks.values())
        took = "unchanged" if outcome.unchanged else f"{manifest.seconds:.1f} s"
        table.add_row(manifest.precision, f"{size / 1e6:.1f} MB", took, output.plain(manifest.accuracy))
    output.out.print(table)
    for outcome in outcomes:
        output.say(str(outcome.folder), output.out)


def _beside(path: Path) -> list[Path]:
    """Return the files that are written for one target: an engine has others beside it."""
    from engine_build.validation.report import report_paths

    return [path] if path.suffix.lower() == ".onnx" else [path, manifest_path(path), *report_paths(path)]


def _engines(
    lowering: Lowering,
    precisions: Sequence[Precision],
    path: Path | None,
    builder_options: BuilderOptions,
    tensorrt: TensorRTGroup,
    progress: BuildProgress,
) -> list[Outcome]:
    from engine_build.build import EngineBuild

    building = EngineBuild(
        lowering,
        builder_options,
        find_tensorrt(flavor_name(tensorrt.tensorrt) if tensorrt.tensorrt else None),
        find_gpu(),
        shlex.join(["trt-mogface", *sys.argv[1:]]),
        progress,
        progress.log if tensorrt.verbose else None,
    )
    return [building.engine(each, path) for each in precisions]


def _write_onnx(lowered: Lowered, path: Path) -> None:
    from engine_build.onnx import contract

    contract.save(lowered.model, path)
    output.say(f"{path}: {path.stat().st_size / 1e6:.1f} MB; {lowered.accuracy}", output.out)


def _show(outcomes: list[Outcome]) -> None:
    table = Table("precision", "size", "built in", "multiply-adds", "agreement with FP32")
    for outcome in outcomes:
        manifest = outcome.manifest
        size = f"{manifest.plan_bytes / 1e6:.1f} MB"
        took = "unchanged" if outcome.unchanged else f"{manifest.seconds:.1f} s"
        shares = ", ".join(f"{100 * share:.0f}% {kind}" for kind, share in manifest.multiply_adds.items())
        table.add_row(manifest.precision, size, took, shares, output.plain(manifest.accuracy))
    output.out.print(table)
    for engine, manifest, _, sensitivity in outcomes:
        if sensitivity is not None:
            _show_ranking(sensitivity)
        output.say(f"{engine}{': ' if manifest.sensitivity else ''}{manifest.sensitivity}", output.out)


def _show_ranking(found: Sensitivity) -> None:
    """Print the worst groups; the report beside the engine has all."""
    head = ("group", "drift", "multiply-adds", "left in FP16")
    table = Table(*head, title="layer groups, worst first", title_justify="left")
    for index, group in enumerate(found.groups[: max(SHOWN, found.kept)]):
        kept = "yes" if index < found.kept else ""
        table.add_row(output.plain(group.name), f"{group.drift:.4f}", f"{100 * group.share:.1f}%", kept)
    output.out.print(table)
    sizes = Table("", *found.by_size.get("FP32", {}), title="AP by face size")
    for name, figures in found.by_size.items():
        sizes.add_row(name, *(f"{value:.4f}" for value in figures.values()))
    if found.by_size:
        output.out.print(sizes)
