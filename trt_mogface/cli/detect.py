"""``trt-mogface detect``: find the faces in images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer
from rich.table import Column, Table

from trt_mogface.cli import options, output
from trt_mogface.cli.groups import with_groups
from trt_mogface.cli.images import SOME_FAILED, found, not_finite, report, usable
from trt_mogface.cli.options import in_detection, in_output
from trt_mogface.detections import Detections
from trt_mogface.detector import Detector
from trt_mogface.errors import ImageError, OutputError
from trt_mogface.models.cards import DEFAULT
from trt_mogface.reporting.drawing import check_format

SHOWN = 30
"""Rows in the table of one image; ``--json`` has all faces."""

SAVE_HELP = "Draw the faces: an image file, or files in DIR."


@with_groups
def detect(
    images: Annotated[list[str], typer.Argument(metavar="IMAGES", help="Images, folders or glob patterns.")],
    *,
    model: options.Model = DEFAULT,
    weights: options.Weights = None,
    min_face: options.MinFace = None,
    detection: options.DetectionGroup,
    pad: Annotated[bool, in_detection("", "At native size, pad images to the model's multiple.")] = True,
    threads: options.Threads = None,
    device: options.Device = 0,
    json_path: options.Json = None,
    save: Annotated[str | None, in_output("FILE|DIR/", SAVE_HELP)] = None,
) -> int:
    """Find the faces in images.

    Images that cannot be used are listed at the end; the results of the others are written (exit status 1).
    Candidates that are not finite are counted; the model is broken (exit status 1).
    """
    paths = found(images)
    drawings, folder = _drawings(save, paths)
    inputs = [*options.model_files(model, weights), *paths]
    output.check_targets([*drawings.values(), json_path], inputs, folder=folder)
    results: list[dict[str, Any]] = []
    failures: list[ImageError] = []
    arguments: dict[str, Any] = {"weights": weights, "min_face": min_face, "pad": pad, "threads": threads}
    arguments |= detection.arguments()
    with Detector(model, device=device, **arguments) as detector, output.created(folder):
        for path, image in usable(paths, "detecting", failures):
            faces = detector(image)
            results.append({"image": str(path), **faces.to_dict()})
            if json_path != output.STDOUT:
                _show(path, faces)
            if path in drawings:
                faces.save_picture(drawings[path], image)
                output.say(f"drawn: {drawings[path]}")
        status = report(paths, failures)
    dropped = sum(result["dropped"] for result in results)
    if dropped:
        output.say(f"trt-mogface: {model}: {not_finite(dropped)}; the model is broken")
        status = SOME_FAILED
    output.write(json_path, json.dumps(results, indent=1) + "\n")
    return status


def _show(path: Path, faces: Detections) -> None:
    height, width = faces.image_size
    title = f"{path}: {len(faces)} {'face' if len(faces) == 1 else 'faces'} in {width}x{height}"
    if faces.dropped:
        title += f", {not_finite(faces.dropped)}"
    output.say(title, output.out)
    if not len(faces):
        return
    head = ("face", "confidence", "x0", "y0", "x1", "y1")
    table = Table(*(Column(name, justify="right") for name in head))
    for number, (box, score) in enumerate(zip(faces.xyxy[:SHOWN], faces.confidence), start=1):
        table.add_row(str(number), f"{score:.3f}", *(f"{value:.1f}" for value in box))
    output.out.print(table)
    if len(faces) > SHOWN:
        output.out.print(f"... and {len(faces) - SHOWN} more (--json writes them all)")


def _drawings(save: str | None, paths: list[Path]) -> tuple[dict[Path, Path], Path | None]:
    """Return the drawing of each image, and the folder that holds them if there is one."""
    if save is None:
        return {}, None
    place = Path(save)
    if not output.is_folder(save) and (len(paths) == 1 or place.suffix):
        if len(paths) > 1:
            raise OutputError(f"{save}: {len(paths)} images need a folder; use {place.with_suffix('')}/")
        drawings, folder = dict.fromkeys(paths, place), None
    else:
        # As a PNG if the image's own format cannot be written.
        suffixes = ("" if cv2.haveImageWriter(path.name) else ".png" for path in paths)
        drawings = {path: place / f"{path.name}{suffix}" for path, suffix in zip(paths, suffixes)}
        folder = place
    if len(set(drawings.values())) < len(paths):
        raise OutputError(f"{save}: two of the images have the same name; save them one folder at a time")
    for drawing in drawings.values():
        check_format(drawing)
    return drawings, folder
