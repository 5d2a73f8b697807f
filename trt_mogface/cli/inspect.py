"""``trt-mogface inspect``: facts about a contract ONNX file, an engine or a cascade."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from trt_mogface.backends.onnxruntime import read_any_spec
from trt_mogface.cli import output
from trt_mogface.models.cascade import (
    STAGES,
    CascadeManifest,
    is_cascade_folder,
    load_cascade,
    network_file,
)
from trt_mogface.models.cascade_engine import CascadeEngine, check_plans, load_cascade_engine
from trt_mogface.models.manifest import (
    Layer,
    Manifest,
    check_plan,
    is_cascade_engine,
    is_engine,
    load_manifest,
)
from trt_mogface.models.precision import LOWEST_FIRST, Precision, read_precisions
from trt_mogface.spec import INPUT, UNLIMITED, DetectorSpec


def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Contract ONNX file, engine or folder of a cascade.")
    ],
) -> None:
    """Summarize a contract ONNX file, an engine or a cascade.

    An engine's layers and their types are listed too.
    """
    if is_cascade_folder(file):
        _print_rows(_cascade_rows(load_cascade(file), file))
        return
    if is_cascade_engine(file):
        engines = load_cascade_engine(file)
        check_plans(file, engines)
        _print_rows(_cascade_engine_rows(engines, file))
        for stage, network in engines.networks.items():
            _print_layers(network.layers, f"layers of {stage}")
        return
    if not is_engine(file):
        spec, end_to_end = read_any_spec(file)
        about = {
            "file": f"{file}, {file.stat().st_size / 1e6:.1f} MB",
            "precision": _shares(read_precisions(file)),
        }
        _print_rows(about | _spec_rows(spec, end_to_end=end_to_end))
        _print_pyramid(spec)
        return
    manifest = load_manifest(file)
    check_plan(file, manifest)
    _print_rows(_engine_rows(manifest, file) | _spec_rows(manifest.spec, end_to_end=manifest.end_to_end))
    _print_pyramid(manifest.spec)
    _print_layers(manifest.layers, "layers")


def _print_layers(layers: Sequence[Layer], title: str) -> None:
    columns = (Column(name, overflow="fold") for name in ("layer", "kind", "reads"))
    table = Table(*columns, title=title, title_justify="left")
    for layer in layers:
        table.add_row(output.plain(layer.name), output.plain(layer.kind), output.plain(layer.type))
    output.out.print(table)


def _cascade_rows(manifest: CascadeManifest, folder: Path) -> dict[str, str]:
    thresholds, files = manifest.thresholds, [network_file(folder, stage) for stage in STAGES]
    return {
        "folder": f"{folder}, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB",
        "network": f"{manifest.name}, a cascade of {', '.join(file.name for file in files)}",
        "score threshold": f"{thresholds.score_threshold:g}",
        "suppression": f"{thresholds.iou_threshold:g} of the smaller box",
        "weights from": manifest.origin.source,
        "license": manifest.origin.license,
        "weights sha256": manifest.origin.weights_sha256,
    }


def _cascade_engine_rows(manifest: CascadeEngine, folder: Path) -> dict[str, str]:
    thresholds, networks = manifest.thresholds, manifest.networks
    return {
        "folder": f"{folder}, {sum(each.plan_bytes for each in networks.values()) / 1e6:.1f} MB",
        "network": f"{manifest.name}, a cascade of {', '.join(f'{stage}.engine' for stage in STAGES)}",
        "precision": manifest.precision,
        "accuracy": manifest.accuracy,
        "images": f"{manifest.profile} (batch x height x width)",
        "score threshold": f"{thresholds.score_threshold:g}",
        "suppression": f"{thresholds.iou_threshold:g} of the smaller box",
        "runs with": f"{manifest.flavor} {manifest.tensorrt}"
        + (" or a later release of it" if manifest.version_compatible else ""),
        "runs on": manifest.gpu,
        "built": f"{manifest.built}, in {manifest.seconds:.1f} s; driver {manifest.driver or 'none'}",
        "command": manifest.command,
        "weights from": manifest.origin.source,
        "license": manifest.origin.license,
    }


def _shares(products: Mapping[str, Precision]) -> str:
    """Return the precisions of a file's convolutions in words, the lowest first."""
    counts = Counter(products.values())
    found = [each for each in LOWEST_FIRST if counts[each]] or ["fp32"]
    return f"{found[0]}; convolutions: {', '.join(f'{counts[each]} {each}' for each in found)}"


def _print_rows(rows: dict[str, str]) -> None:
    summary = Table(show_header=False)
    for name, text in rows.items():
        summary.add_row(name, output.plain(text))
    output.out.print(summary)


def _print_pyramid(spec: DetectorSpec) -> None:
    head = ("stride", "anchor sides", "faces up to", "anchors at 640x640")
    columns = (Column(name, justify="right") for name in head)
    pyramid = Table(*columns, title="pyramid", title_justify="left")
    for level in spec.levels:
        rows, cells = level.grid(640, 640)
        sides, largest = ", ".join(f"{side:g}" for side in level.sides), f"{level.largest_face:.0f} px"
        pyramid.add_row(str(level.stride), sides, largest, str(rows * cells * len(level.sides)))
    output.out.print(pyramid)


def _engine_rows(manifest: Manifest, file: Path) -> dict[str, str]:
    shares = ", ".join(f"{100 * share:.1f}% {kind}" for kind, share in manifest.multiply_adds.items())
    return {
        "file": f"{file}, {manifest.plan_bytes / 1e6:.1f} MB",
        "precision": f"{manifest.precision}; multiply-adds {shares}",
        "accuracy": manifest.accuracy,
        "calibration": manifest.calibration or "none",
        "sensitivity": manifest.sensitivity or "not measured",
        "shapes": ", ".join(map(str, manifest.profiles)) + " (batch x height x width)",
        "runs with": f"{manifest.flavor} {manifest.tensorrt}"
        + (" or a later release of it" if manifest.version_compatible else ""),
        "runs on": manifest.gpu,
        "built": f"{manifest.built}, in {manifest.seconds:.1f} s; driver {manifest.driver or 'none'}",
        "ONNX sha256": manifest.onnx_sha256,
        "plan sha256": manifest.plan_sha256,
        "command": manifest.command,
    }


def _spec_rows(spec: DetectorSpec, *, end_to_end: bool = False) -> dict[str, str]:
    thresholds = spec.thresholds
    if end_to_end:
        count = thresholds.most_faces
        outputs = f"faces: num_detections [N], boxes [N, {count}, 4], scores [N, {count}]"
        outputs += f", landmarks [N, {count}, {spec.landmarks}, 2]" if spec.landmarks else ""
    else:
        shapes = {name: map(str, shape[2:]) for name, shape in spec.output_shapes(1, 32, 32).items()}
        outputs = ", ".join(f"{name} [{', '.join(['N', 'A', *rest])}]" for name, rest in shapes.items())
    nchw = spec.input.layout == "nchw-float32"
    return {
        "network": spec.name,
        "input": f"{INPUT} " + ("float32 [N, 3, H, W], BGR 0..255" if nchw else "uint8 [N, H, W, 3], BGR"),
        "outputs": f"{outputs}; float32",
        "box coding": f"{spec.coding.kind}, variances {spec.coding.variances}",
        "score threshold": f"{thresholds.score_threshold:g}",
        "suppression": f"IoU {thresholds.iou_threshold:g}, "
        f"{'inclusive' if thresholds.inclusive_areas else 'plain'} areas",
        "limits": f"{_limit(thresholds.top_k)} candidates, {_limit(thresholds.max_detections)} faces",
        "image size": _image_size(spec),
        "weights from": spec.origin.source,
        "license": spec.origin.license,
        "weights sha256": spec.origin.weights_sha256,
    }


def _limit(value: int) -> str:
    return "all" if value == UNLIMITED else str(value)


def _image_size(spec: DetectorSpec) -> str:
    rule = spec.input
    if rule.size is not None:
        return f"{rule.resize} into {rule.size[0]}x{rule.size[1]}, BGR {rule.pad}"
    longest = ""
    if rule.longest_over:
        longest = f"; a longer side above {rule.longest_over} px becomes {rule.longest_to} px"
    return f"its own, padded to a multiple of {rule.multiple} with BGR {rule.pad}{longest}"
