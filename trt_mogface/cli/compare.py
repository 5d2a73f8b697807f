"""``trt-mogface compare``: differences between two models, engines or precisions on the same images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from trt_mogface.cli import options, output
from trt_mogface.cli.groups import with_groups
from trt_mogface.cli.images import SOME_FAILED, Failures, not_finite, say_skipped, usable
from trt_mogface.cli.sources import find_sources
from trt_mogface.detector import Detector
from trt_mogface.errors import MogFaceError, UsageError
from trt_mogface.evaluation.disagreement import Disagreement, disagreement, in_sum, summary
from trt_mogface.evaluation.disagreement_page import HEAD, ComparedImage, disagreement_page
from trt_mogface.models.files import precision_of
from trt_mogface.models.manifest import is_engine


@with_groups
def compare(
    a: Annotated[str, options.model_argument(metavar="A", help=options.MODEL_HELP)],
    b: Annotated[str, options.model_argument(metavar="B", help="Another one.")],
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGES", help="Images, folders or glob patterns.")
    ] = None,
    *,
    named: Annotated[
        list[str] | None, options.Panel("Options")("IMAGES", "IMAGES, as an option.", "--images")
    ] = None,
    weights: options.Weights = None,
    detection: options.DetectionGroup,
    threads: options.Threads = None,
    providers: options.Providers = None,
    files: options.ReportGroup,
    worst: Annotated[int, options.in_output("N", "Images to show, most different first.", min=0)] = 10,
) -> int:
    """Compare the faces that two models find in the same images.

    A and B may differ in network, precision or backend. Faces are matched one to one if their IoU is at
    least 0.5; the others are faces that only one of the two finds. Images that cannot be used are
    reported, as are candidates that are not finite (exit status 1).
    """
    sources, skipped = find_sources([*(named or []), *(images or [])])
    if not sources:
        raise UsageError("no images to compare on; name files, folders or patterns after A and B")
    if any(source.file is None for source in sources):
        raise UsageError("compare reads images more than once; store those of URLs and stdin in files")
    inputs = [*options.model_files(a, weights), *options.model_files(b), *(source.file for source in sources)]
    output.check_targets([files.json_path], inputs, html=files.html)
    say_skipped(skipped)
    results: list[tuple[str, Disagreement]] = []
    failures = Failures(len(sources))
    shown: list[ComparedImage] = []
    own_a, own_b = _own_options(a, b, weights, threads, options.parse_providers(providers))
    shared = detection.arguments()
    with Detector(a, **shared, **own_a) as detect_a, Detector(b, **shared, **own_b) as detect_b:
        kinds = [precision_of(model) for model in (a, b)]
        sides = {"a": a, "b": b, "precision_a": kinds[0], "precision_b": kinds[1]}
        try:
            for source, image in usable(sources, "comparing", failures):
                with failures.caught(source):
                    faces = detect_a(image), detect_b(image)
                    differing = disagreement(*faces)
                    results.append((source.name, differing))
                    shown = _worst([*shown, ComparedImage(Path(source.name), *faces, differing)], worst)
        except (KeyboardInterrupt, MogFaceError):
            if results:
                _report(sides, results, shown, failures.reasons, files)
            raise
    status = failures.status()
    return _report(sides, results, shown, failures.reasons, files) or status


def _report(
    sides: dict[str, str],
    results: Sequence[tuple[str, Disagreement]],
    shown: Sequence[ComparedImage],
    unusable: Sequence[str],
    files: options.ReportGroup,
) -> int:
    """Print and write the comparison of the images so far; return the exit status."""
    total = in_sum([each for _, each in results])
    status = 0
    for side, dropped in (("a", total.dropped_a), ("b", total.dropped_b)):
        if dropped:
            output.say(f"trt-mogface: {sides[side]}: {not_finite(dropped)}; the model is broken")
            status = SOME_FAILED
    names = [f"{sides[side]} ({sides[f'precision_{side}']})" for side in ("a", "b")]
    if files.json_path != output.STDOUT:
        _show(names, total, len(results), shown)
    if files.html is not None:
        about = total, len(results), shown, unusable
        output.write(files.html, disagreement_page(names[0], names[1], *about))
    numbers = {
        "total": {"images": len(results), **total.to_dict()},
        "images": [{"image": name, **each.to_dict()} for name, each in results],
    }
    output.write(files.json_path, json.dumps({**sides, **numbers}, indent=1) + "\n")
    for target in (files.html, files.json_path):
        if target is not None and target != output.STDOUT:
            output.say(f"written: {target}")
    return status


def _own_options(
    a: str, b: str, weights: Path | None, threads: int | None, providers: list[str] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give weights, threads and providers to the side that takes them, or to both, which refuse them."""
    from engine_build.models.registry import card_of

    cards = [card_of(side) for side in (a, b)]
    takes = {
        "weights": [card is not None and not card.embedded for card in cards],
        "threads": [not is_engine(side) for side in (a, b)],
        "providers": [not is_engine(side) for side in (a, b)],
    }
    own: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name, value in (("weights", weights), ("threads", threads), ("providers", providers)):
        for options_of_side, wanted in zip(own, takes[name]):
            if wanted or not any(takes[name]):
                options_of_side[name] = value
    return own


def _worst(images: list[ComparedImage], limit: int) -> list[ComparedImage]:
    """Return the images that differ most, worst first."""
    differing = [each for each in images if each.found.amount > 0]
    return sorted(differing, key=lambda each: -each.found.amount)[:limit]


def _show(names: Sequence[str], total: Disagreement, images: int, worst: Sequence[ComparedImage]) -> None:
    output.say("A: {}\nB: {}".format(*names), output.out)
    sums = Table(show_header=False)
    for name, text in summary(total, images):
        sums.add_row(name, text)
    output.out.print(sums)
    if not worst:
        return
    figures = (Column(name, justify="right", no_wrap=True) for name in HEAD[1:])
    image = Column(HEAD[0], overflow="fold")  # last, where a long name does least harm
    ranking = Table(*figures, image, title="images, worst first", title_justify="left")
    for each in worst:
        path, *numbers = each.row()
        ranking.add_row(*numbers, output.plain(path))
    output.out.print(ranking)
