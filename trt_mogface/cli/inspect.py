"""``trt-mogface inspect``: what a contract ONNX file is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trt_mogface.executor import read_spec
from trt_mogface.pyramid import largest_face
from trt_mogface.spec import DELTAS, INPUT, LANDMARKS, SCORES, DetectorSpec


def inspect(file: Annotated[Path, typer.Argument(help="A contract ONNX file.")]) -> None:
    """Summarise a contract ONNX file: network, inputs and outputs, pyramid, thresholds, origin."""
    spec = read_spec(file)
    summary = Table(show_header=False)
    for name, text in _rows(spec, file).items():
        summary.add_row(name, escape(text))
    pyramid = Table(title="pyramid", title_justify="left")
    for column in ("stride", "anchor sides", "faces up to", "anchors at 640x640"):
        pyramid.add_column(column, justify="right")
    for level in spec.levels:
        rows, columns = level.grid(640, 640)
        pyramid.add_row(
            str(level.stride),
            ", ".join(f"{side:g}" for side in level.sides),
            f"{largest_face(level):.0f} px",
            str(rows * columns * len(level.sides)),
        )
    console = Console()
    console.print(summary)
    console.print(pyramid)


def _rows(spec: DetectorSpec, file: Path) -> dict[str, str]:
    chosen, resize = spec.selection, spec.resize
    outputs = f"{SCORES} [N, A], {DELTAS} [N, A, 4]"
    if spec.landmarks:
        outputs += f", {LANDMARKS} [N, A, {2 * spec.landmarks}]"
    longest = ""
    if resize.longest_over:
        longest = f"; a longer side above {resize.longest_over} px becomes {resize.longest_to} px"
    areas = "inclusive" if chosen.inclusive_areas else "plain"
    return {
        "file": f"{file}, {file.stat().st_size / 1e6:.1f} MB",
        "network": spec.name,
        "input": f"{INPUT} uint8 [N, H, W, 3], BGR; any N, H, W",
        "outputs": f"{outputs}; float32",
        "box coding": f"{spec.coding.kind}, variances {spec.coding.variances}",
        "score threshold": f"{chosen.score_threshold:g}",
        "suppression": f"IoU {chosen.iou_threshold:g}, {areas} areas",
        "limits": f"{chosen.top_k} candidates, {chosen.max_detections} faces",
        "picture size": f"padded to a multiple of {resize.multiple} with BGR {resize.pad}{longest}",
        "weights from": spec.origin.source,
        "licence": spec.origin.licence,
        "weights sha256": spec.origin.weights_sha256,
    }
