"""``trt-mogface detect``: find the faces in pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trt_mogface.cli import options, output
from trt_mogface.cli.pictures import check_some, tell, usable
from trt_mogface.detections import Detections
from trt_mogface.detector import Detector
from trt_mogface.errors import ImageError, OutputError
from trt_mogface.images import SUFFIXES, find_images
from trt_mogface.models.cards import DEFAULT
from trt_mogface.reporting.drawing import check_format

SHOWN = 30
"""Faces shown in the table of one picture; ``--json`` has them all."""

out = Console()
err = Console(stderr=True)


def detect(
    images: Annotated[list[str], typer.Argument(help="Pictures, folders or glob patterns.")],
    model: Annotated[
        str, typer.Option("--model", "--engine", help="A model name, a contract ONNX file or an engine.")
    ] = DEFAULT,
    weights: options.Weights = None,
    conf: Annotated[float | None, typer.Option(help="Score threshold (the model's).")] = None,
    iou: Annotated[float | None, typer.Option(help="IoU threshold of the suppression (the model's).")] = None,
    min_face: options.MinFace = None,
    size: Annotated[str, typer.Option(help="Network input: native, or WxH to scale into.")] = "native",
    pad: Annotated[
        bool, typer.Option(help="At native size, pad to a multiple of 32, or feed the raw size.")
    ] = True,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE|-", help="Write the faces as JSON.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Draw the faces: a picture file, or a folder for several.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (all).")] = None,
    device: Annotated[int, typer.Option(min=0, help="GPU of an engine.")] = 0,
) -> int:
    """Find the faces in pictures.

    Pictures that cannot be used are listed at the end; the others still come out (exit status 1).
    """
    paths = find_images(images)
    if save is not None:
        _check_save(save, paths)
    output.check_targets([json_path], paths)
    quiet = json_path == output.STDOUT
    results: list[dict[str, Any]] = []
    failures: list[ImageError] = []
    with Detector(
        model,
        weights=weights,
        min_face=min_face,
        size=options.parse_size("--size", size),
        pad=pad,
        conf=conf,
        iou=iou,
        threads=threads,
        device=device,
    ) as detector:
        for path, image in usable(paths, "detecting", failures):
            faces = detector(image)
            results.append({"image": str(path), **faces.to_dict()})
            if not quiet:
                _show(path, faces)
            if save is not None:
                target = _target(save, path)
                faces.save_picture(target, image)
                err.print(f"drawn: {escape(str(target))}", soft_wrap=True, highlight=False)
    check_some(paths, failures)
    if json_path is not None:
        output.write(json_path, json.dumps(results, indent=1) + "\n")
    return tell(failures)


def _show(path: Path, faces: Detections) -> None:
    height, width = faces.image_size
    title = f"{path}: {len(faces)} {'face' if len(faces) == 1 else 'faces'} in {width}x{height}"
    if faces.dropped:
        title += f", {faces.dropped} candidates were not finite"
    out.print(escape(title), soft_wrap=True, highlight=False)
    if not len(faces):
        return
    table = Table()
    for column in ("face", "confidence", "x0", "y0", "x1", "y1"):
        table.add_column(column, justify="right")
    for number, (box, score) in enumerate(zip(faces.xyxy[:SHOWN], faces.confidence), start=1):
        table.add_row(str(number), f"{score:.3f}", *(f"{value:.1f}" for value in box))
    out.print(table)
    if len(faces) > SHOWN:
        out.print(f"... and {len(faces) - SHOWN} more (--json writes them all)")


def _check_save(save: Path, paths: list[Path]) -> None:
    """Refuse before any work is done."""
    if len(paths) > 1 and not save.is_dir():
        raise OutputError(f"{save}: {len(paths)} pictures need a folder that exists: mkdir {save}")
    targets = [_target(save, path) for path in paths]
    if len(set(targets)) < len(targets):
        raise OutputError(f"{save}: two of the pictures have the same name: save them one folder at a time")
    for target in targets:
        check_format(target)
    output.check_targets(targets, paths)


def _target(save: Path, path: Path) -> Path:
    """Where the drawn picture goes; one of a kind that cannot be written becomes a PNG."""
    if not save.is_dir():
        return save
    name = path.name if path.suffix.lower() in SUFFIXES else f"{path.name}.png"
    return save / name
