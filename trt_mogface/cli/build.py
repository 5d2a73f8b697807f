"""``trt-mogface build``: engines of a contract ONNX file."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trt_mogface._optional import require
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.cli import build_options, options
from trt_mogface.cli.build_progress import BuildProgress
from trt_mogface.errors import OutputError, UsageError
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import find_tensorrt, flavor_name

if TYPE_CHECKING:
    from engine_build.build import Outcome
    from engine_build.calibration.images import Images
    from engine_build.precision import Precision
    from engine_build.validation.sensitivity import Sensitivity
    from trt_mogface.models.manifest import Profile
    from trt_mogface.spec import DetectorSpec, Thresholds

SHOWN = 10
"""Layer groups printed, at least."""

out = Console()
err = Console(stderr=True)


def build(
    model: build_options.Model,
    output: build_options.Output = None,
    precision: build_options.PrecisionList = "fp16",
    weights: options.Weights = None,
    min_face: options.MinFace = None,
    shapes: build_options.Shapes = None,
    end_to_end: build_options.EndToEnd = False,
    conf: build_options.Conf = None,
    iou: build_options.Iou = None,
    max_det: build_options.MaxDet = None,
    calib: build_options.Calib = None,
    calib_images: build_options.CalibImages = 512,
    calib_method: build_options.CalibMethod = "percentile",
    calib_cache: build_options.CalibCache = None,
    calib_size: build_options.CalibSize = "auto",
    sensitivity: build_options.Sensitivity = False,
    keep_fp16: build_options.KeepFp16 = "none",
    max_loss: build_options.MaxLoss = None,
    boxes: build_options.Boxes = None,
    mem_pool_size: build_options.MemPoolSize = None,
    builder_optimization_level: build_options.OptimizationLevel = 3,
    timing_cache_file: build_options.TimingCacheFile = None,
    version_compatible: build_options.VersionCompatible = False,
    hardware_compatibility_level: build_options.HardwareCompatibility = "none",
    compute_capabilities: build_options.ComputeCapabilities = None,
    use_dla_core: build_options.UseDlaCore = None,
    allow_gpu_fallback: build_options.AllowGpuFallback = False,
    strip_weights: build_options.StripWeights = False,
    refit: build_options.Refit = False,
    tensorrt: build_options.Tensorrt = None,
    verbose: build_options.Verbose = False,
) -> None:
    """Build TensorRT engines of a model, with their accuracy against FP32 in a manifest beside each.

    An engine that is there already, built from the same inputs, is left as it is.
    """
    wanted = _module("precision").parse_precisions(precision)
    if not set(wanted) & set(_module("precision").QUANTIZED) and (
        sensitivity or boxes or keep_fp16 != "none"
    ):
        raise UsageError(
            "--sensitivity, --keep-fp16 and --boxes are for int8 and fp8: name one in --precision"
        )
    profiles = _module("tensorrt.profiles").parse_profiles(shapes)
    settings = _module("tensorrt.builder").BuilderOptions(
        profiles=profiles,
        workspace_mib=_module("tensorrt.builder").parse_workspace(mem_pool_size),
        builder_optimization_level=builder_optimization_level,
        timing_cache_file=timing_cache_file,
        version_compatible=version_compatible,
        hardware_compatibility_level=hardware_compatibility_level,
        compute_capabilities=_module("tensorrt.target").parse_capabilities(compute_capabilities),
        use_dla_core=use_dla_core,
        allow_gpu_fallback=allow_gpu_fallback,
        strip_weights=strip_weights,
        refit=refit,
    )
    with BuildProgress(err) as progress:
        progress.status(f"reading {model}")
        file = _contract_file(model, weights, min_face)
        request = _module("lowering").LoweringOptions(
            model=file,
            calib=_images(calib, file, _calibration_size(calib_size, profiles), calib_images),
            calib_method=calib_method,
            calib_cache=calib_cache,
            keep_fp16=keep_fp16,
            sensitivity=sensitivity,
            max_loss=max_loss,
            boxes=boxes,
            end_to_end=_end_to_end(read_spec(file), end_to_end, conf, iou, max_det),
        )
        lowering = _module("lowering").Lowering(request, progress.status)
        if output is not None and output.suffix == ".onnx":
            outcomes = []
            lowered = lowering.at(_only_one(wanted, output))
            _module("onnx.contract").save(lowered.model, output)
        else:
            building = _module("build").EngineBuild(
                lowering,
                settings,
                find_tensorrt(flavor_name(tensorrt) if tensorrt else None),
                find_gpu(),
                shlex.join(["trt-mogface", *sys.argv[1:]]),
                progress,
                progress.log if verbose else None,
            )
            place = _place(output, len(wanted))
            outcomes = [building.engine(each, place) for each in wanted]
    if outcomes:
        _show(outcomes)
    elif output is not None:
        size = output.stat().st_size / 1e6
        _tell(out, f"{output}: {size:.1f} MB; {lowered.accuracy}")
    if request.calib is not None and request.calib.skipped:
        _tell(err, f"{len(request.calib.skipped)} images could not be used:")
        for reason in request.calib.skipped.values():
            _tell(err, f"  {reason}")


def _module(name: str) -> ModuleType:
    """A module of the offline half, which has packages of its own."""
    return require(f"engine_build.{name}", extra="build")


def _contract_file(model: str, weights: Path | None, min_face: float | None) -> Path:
    file: Path = _module("models.registry").exported_file(model, weights, min_face)
    return file


def _end_to_end(
    spec: DetectorSpec, wanted: bool, conf: float | None, iou: float | None, max_det: int | None
) -> Thresholds | None:
    """The thresholds that go into the engine; None where none do."""
    given = {"score_threshold": conf, "iou_threshold": iou, "max_detections": max_det}
    changes = {name: value for name, value in given.items() if value is not None}
    if changes and not wanted:
        raise UsageError(
            "--conf, --iou and --max-det are for --end-to-end; other engines are given them when they run"
        )
    if not wanted:
        return None
    changed = dataclasses.replace(spec.thresholds, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(spec, thresholds=changed).thresholds  # a spec checks its own thresholds


def _calibration_size(text: str, profiles: tuple[Profile, ...]) -> tuple[int, int] | None:
    """What the pictures are scaled into: the size that the engine will see."""
    if text != "auto":
        return options.parse_size("--calib-size", text)
    sizes = {shape[1:] for profile in profiles for shape in profile}
    if len(sizes) > 1:
        return None
    height, width = sizes.pop()
    return width, height


def _images(pattern: str | None, file: Path, size: tuple[int, int] | None, limit: int) -> Images | None:
    if pattern is None:
        return None
    found: Images = _module("calibration.images").find_images(pattern, read_spec(file).input, size, limit)
    return found


def _only_one(wanted: list[Precision], output: Path) -> Precision:
    if len(wanted) > 1:
        raise UsageError(f"{output}: one file cannot hold {len(wanted)} precisions: name one")
    return wanted[0]


def _place(output: Path | None, count: int) -> Path | None:
    """The engine's file as asked for; None or a folder leave the name to the engine."""
    if output is None or output.is_dir():
        return output
    if count > 1:
        raise OutputError(f"{output}: {count} engines need a folder that exists: mkdir {output}")
    if not output.parent.is_dir():
        raise OutputError(f"{output}: there is no such folder: mkdir -p {output.parent}")
    return output


def _show(outcomes: list[Outcome]) -> None:
    table = Table()
    for column in ("precision", "size", "built in", "multiply-adds", "agreement with FP32"):
        table.add_column(column)
    for outcome in outcomes:
        manifest = outcome.manifest
        took = "unchanged" if outcome.unchanged else f"{manifest.seconds:.1f} s"
        table.add_row(
            manifest.precision,
            f"{manifest.plan_bytes / 1e6:.1f} MB",
            took,
            ", ".join(f"{100 * share:.0f}% {kind}" for kind, share in manifest.multiply_adds.items()),
            escape(manifest.accuracy),
        )
    out.print(table)
    for engine, manifest, _, sensitivity in outcomes:
        if sensitivity is not None:
            _show_ranking(sensitivity)
        _tell(out, f"{engine}{': ' if manifest.sensitivity else ''}{manifest.sensitivity}")


def _show_ranking(found: Sensitivity) -> None:
    """The worst groups; the report beside the engine has all."""
    table = Table(title="layer groups, worst first", title_justify="left")
    for column in ("group", "drift", "multiply-adds", "left in FP16"):
        table.add_column(column)
    for index, group in enumerate(found.groups[: max(SHOWN, found.kept)]):
        kept = "yes" if index < found.kept else ""
        table.add_row(escape(group.name), f"{group.drift:.4f}", f"{100 * group.share:.1f}%", kept)
    out.print(table)
    sizes = Table(title="AP by face size", title_justify="left")
    for column in ("", *found.by_size.get("FP32", {})):
        sizes.add_column(column)
    for name, figures in found.by_size.items():
        sizes.add_row(name, *(f"{value:.4f}" for value in figures.values()))
    if found.by_size:
        out.print(sizes)


def _tell(console: Console, text: str) -> None:
    console.print(escape(text), soft_wrap=True, highlight=False)
