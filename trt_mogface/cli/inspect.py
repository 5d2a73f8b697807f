"""``trt-mogface inspect``: what a contract ONNX file or an engine is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.models.manifest import ENGINES, Manifest, check_plan, load_manifest, manifest_path
from trt_mogface.spec import DELTAS, INPUT, LANDMARKS, SCORES, DetectorSpec


def inspect(file: Annotated[Path, typer.Argument(help="A contract ONNX file, or an engine.")]) -> None:
    """Summarize a contract ONNX file or an engine: what it is, from what, for what, and how good.

    Of an engine also the layers with their types.
    """
    if file.suffix in ENGINES or manifest_path(file).is_file():
        _inspect_engine(file)
    else:
        spec = read_spec(file)
        _print_rows(_onnx_rows(spec, file))
        _print_pyramid(spec)


def _inspect_engine(file: Path) -> None:
    manifest = load_manifest(file)
    check_plan(file, manifest)  # is it the plan that the manifest describes?
    _print_rows(_engine_rows(manifest, file) | _spec_rows(manifest.spec, end_to_end=manifest.end_to_end))
    _print_pyramid(manifest.spec)
    table = Table(title="layers", title_justify="left")
    for column in ("layer", "kind", "reads"):
        table.add_column(column, overflow="fold")
    for layer in manifest.layers:
        table.add_row(escape(layer.name), escape(layer.kind), escape(layer.type))
    Console().print(table)


def _print_rows(rows: dict[str, str]) -> None:
    summary = Table(show_header=False)
    for name, text in rows.items():
        summary.add_row(name, escape(text))
    Console().print(summary)


def _print_pyramid(spec: DetectorSpec) -> None:
    pyramid = Table(title="pyramid", title_justify="left")
    for column in ("stride", "anchor sides", "faces up to", "anchors at 640x640"):
        pyramid.add_column(column, justify="right")
    for level in spec.levels:
        rows, columns = level.grid(640, 640)
        pyramid.add_row(
            str(level.stride),
            ", ".join(f"{side:g}" for side in level.sides),
            f"{level.largest_face:.0f} px",
            str(rows * columns * len(level.sides)),
        )
    Console().print(pyramid)


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


def _onnx_rows(spec: DetectorSpec, file: Path) -> dict[str, str]:
    return {"file": f"{file}, {file.stat().st_size / 1e6:.1f} MB"} | _spec_rows(spec)


def _spec_rows(spec: DetectorSpec, *, end_to_end: bool = False) -> dict[str, str]:
    chosen, resize = spec.thresholds, spec.input
    most = chosen.most_faces
    if end_to_end:
        outputs = f"faces: num_detections [N], boxes [N, {most}, 4], scores [N, {most}]"
        landmarks = f", landmarks [N, {most}, {spec.landmarks}, 2]"
    else:
        outputs = f"{SCORES} [N, A], {DELTAS} [N, A, 4]"
        landmarks = f", {LANDMARKS} [N, A, {2 * spec.landmarks}]"
    outputs += landmarks if spec.landmarks else ""
    longest = ""
    if resize.longest_over:
        longest = f"; a longer side above {resize.longest_over} px becomes {resize.longest_to} px"
    areas = "inclusive" if chosen.inclusive_areas else "plain"
    return {
        "network": spec.name,
        "input": f"{INPUT} uint8 [N, H, W, 3], BGR; any N, H, W",
        "outputs": f"{outputs}; float32",
        "box coding": f"{spec.coding.kind}, variances {spec.coding.variances}",
        "score threshold": f"{chosen.score_threshold:g}",
        "suppression": f"IoU {chosen.iou_threshold:g}, {areas} areas",
        "limits": f"{chosen.top_k} candidates, {chosen.max_detections} faces",
        "picture size": f"padded to a multiple of {resize.multiple} with BGR {resize.pad}{longest}",
        "weights from": spec.origin.source,
        "license": spec.origin.license,
        "weights sha256": spec.origin.weights_sha256,
    }
