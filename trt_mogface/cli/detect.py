"""``trt-mogface detect``: find the faces in images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer
from rich.table import Column, Table

from trt_mogface.cli import options, output
from trt_mogface.cli.groups import with_groups
from trt_mogface.cli.images import SOME_FAILED, Failures, not_finite, say_skipped, usable
from trt_mogface.cli.options import in_detection, in_output
from trt_mogface.cli.records import ARRAY, LINES, Format, keep, opened, recorded, write_all
from trt_mogface.cli.sources import STDIN, Source, find_sources, relative_names
from trt_mogface.detections import Detections
from trt_mogface.detector import Detector
from trt_mogface.errors import OutputError, UsageError
from trt_mogface.frame import Image
from trt_mogface.models.cards import DEFAULT
from trt_mogface.reporting.drawing import check_format

SHOWN = 30
"""Rows in the table of one image; ``--json`` has all faces."""

IMAGES_HELP = "Images, folders, glob patterns, URLs, or - for stdin."
SAVE_HELP = "Draw the faces: an image file, or files in DIR."


@with_groups
def detect(
    images: Annotated[list[str], typer.Argument(metavar="IMAGES", help=IMAGES_HELP)],
    *,
    model: options.Model = DEFAULT,
    weights: options.Weights = None,
    min_face: options.MinFace = None,
    detection: options.DetectionGroup,
    pad: Annotated[bool, in_detection("", "At native size, pad images to the model's multiple.")] = True,
    clip: Annotated[bool, in_detection("", "Cut boxes at the edges of the image.", "--clip")] = False,
    threads: options.Threads = None,
    device: options.Device = None,
    providers: options.Providers = None,
    json_path: options.Json = None,
    jsonl: options.JsonLines = None,
    save: Annotated[str | None, in_output("FILE|DIR/", SAVE_HELP)] = None,
    resume: Annotated[bool, in_output("", options.RESUME_HELP, "--resume")] = False,
) -> int:
    """Find the faces in images.

    Images that cannot be used are reported, also in the results; the others are not affected (exit status 1).
    Candidates that are not finite are counted; the model is broken (exit status 1).
    Results are written as they are found and are complete JSON whenever the command ends.
    """
    sources, skipped = find_sources(images)
    drawings, folder = _drawings(save, sources)
    targets = [(json_path, ARRAY), (jsonl, LINES)]
    inputs = [*options.model_files(model, weights), *(source.file for source in sources)]
    alone = [] if folder else drawings.values()
    inside = drawings.values() if folder else []
    output.check_targets(alone, inputs, streams=[json_path, jsonl], folder=folder, inside=inside)
    say_skipped(skipped)
    left = _left(sources, targets, drawings) if resume else sources
    arguments: dict[str, Any] = {"weights": weights, "min_face": min_face, "pad": pad, "threads": threads}
    arguments["clip"] = clip
    arguments |= {"providers": options.parse_providers(providers), **detection.arguments()}
    with (
        Detector(model, device=device, **arguments) as detector,
        output.created(folder),
        opened(targets, append=resume) as writers,
    ):

        def record_failure(name: str, reason: str) -> None:
            write_all(writers, {"image": name, "error": reason})

        failures, dropped = Failures(len(sources), record_failure), 0
        for source, image in usable(left, "detecting", failures):
            with failures.caught(source):
                faces = detector(image)
                dropped += faces.dropped
                if source.name in drawings:
                    _draw(faces, drawings[source.name], image)
                write_all(writers, {"image": source.name, **faces.to_dict()})
                if output.STDOUT not in (json_path, jsonl):
                    _show(source.name, faces)
        status = failures.status()
        if dropped:
            output.say(f"trt-mogface: {model}: {not_finite(dropped)}; the model is broken")
            status = SOME_FAILED
        return status


def _left(
    sources: Sequence[Source], targets: Sequence[tuple[Path | None, Format]], drawings: Mapping[str, Path]
) -> list[Source]:
    """Return the images that the results of an earlier run lack, and reduce these to the others."""
    files = [(path, form) for path, form in targets if path is not None]
    if not files or any(path == output.STDOUT for path, _ in files):
        raise UsageError("--resume continues a file of --json or --jsonl; name one")
    if any(source.name == STDIN for source in sources):
        raise UsageError("--resume knows images by their names, which stdin has not; name files")
    done = set.intersection(*(recorded(path) for path, _ in files))
    done -= {name for name, drawing in drawings.items() if not drawing.exists()}
    for path, form in files:
        keep(path, form, done)
    left = [source for source in sources if source.name not in done]
    if len(left) < len(sources):
        output.say(f"{len(sources) - len(left)} of {len(sources)} images are recorded already")
    return left


def _draw(faces: Detections, drawing: Path, image: Image) -> None:
    drawing.parent.mkdir(parents=True, exist_ok=True)
    faces.save_picture(drawing, image)
    output.say(f"drawn: {drawing}")


def _show(name: str, faces: Detections) -> None:
    height, width = faces.image_size
    title = f"{name}: {len(faces)} {'face' if len(faces) == 1 else 'faces'} in {width}x{height}"
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


def _drawings(save: str | None, sources: Sequence[Source]) -> tuple[dict[str, Path], Path | None]:
    """Return the drawing of each image by its name, and the folder that holds them if there is one."""
    if save is None:
        return {}, None
    place = Path(save)
    if not output.is_folder(save) and (len(sources) == 1 or place.suffix):
        if len(sources) > 1:
            raise OutputError(f"{save}: {len(sources)} images need a folder; use {place.with_suffix('')}/")
        check_format(place)
        return {sources[0].name: place}, None
    drawings = {}
    for source, relative in zip(sources, relative_names(sources)):
        suffix = "" if cv2.haveImageWriter(relative) else ".png"  # the image's own format, if it can be
        drawings[source.name] = place / f"{relative}{suffix}"
    return drawings, place
