"""``trt-mogface compare``: what two models, engines or precisions make of the same pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine_build.models.registry import recipes
from trt_mogface.backends.registry import is_engine
from trt_mogface.cli import options, output
from trt_mogface.cli.pictures import check_some, tell, usable
from trt_mogface.detector import Detector
from trt_mogface.errors import ImageError, UsageError
from trt_mogface.evaluation.disagreement import Disagreement, disagreement, in_sum, summary
from trt_mogface.evaluation.disagreement_page import HEAD, Picture, disagreement_page
from trt_mogface.images import find_images

out = Console()
err = Console(stderr=True)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A model name, a contract ONNX file or an engine.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    pictures: Annotated[
        list[str] | None, typer.Argument(metavar="PICTURES", help="Pictures, folders or glob patterns.")
    ] = None,
    images: Annotated[
        list[str] | None, typer.Option(metavar="PICTURES", help="The same, said by name.")
    ] = None,
    weights: options.Weights = None,
    conf: Annotated[
        float | None, typer.Option(help="Score threshold of both, instead of each model's own.")
    ] = None,
    iou: Annotated[float | None, typer.Option(help="IoU threshold of both's suppression, likewise.")] = None,
    size: Annotated[
        str, typer.Option(help="Network input of both: native, or WxH to scale into.")
    ] = "native",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads, of models that run there; all by default.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with plots and the worst pictures.")
    ] = None,
    json_path: output.Json = None,
    worst: Annotated[int, typer.Option(min=0, help="Pictures shown, those of most disagreement.")] = 10,
) -> int:
    """Compare the faces that two models find in the same pictures.

    A and B may differ in network, precision or backend.  Faces are matched one to one where their IoU is at
    least 0.5; the others are faces that one alone finds.  Pictures that cannot be used are listed at the end
    (exit status 1).
    """
    paths = find_images([*(images or []), *(pictures or [])])
    if not paths:
        raise UsageError("no pictures to compare on: name files, folders or patterns after A and B")
    output.check_targets([json_path], [Path(a), Path(b), *paths], html=html)
    results: list[tuple[Path, Disagreement]] = []
    failures: list[ImageError] = []
    shown: list[Picture] = []
    own_a, own_b = _own_options(a, b, weights, threads)
    given: dict[str, Any] = {"size": options.parse_size("--size", size), "conf": conf, "iou": iou}
    with Detector(a, **given, **own_a) as detect_a, Detector(b, **given, **own_b) as detect_b:
        for path, image in usable(paths, "comparing", failures):
            faces_a, faces_b = detect_a(image), detect_b(image)
            found = disagreement(faces_a, faces_b)
            results.append((path, found))
            shown = _worst([*shown, Picture(path, faces_a, faces_b, found)], worst)
    check_some(paths, failures)
    total = in_sum([found for _, found in results])
    if json_path != output.STDOUT:
        _show(a, b, total, len(results), shown)
    if html is not None:
        reasons = [str(each) for each in failures]
        _write(html, disagreement_page(a, b, total, len(results), shown, reasons))
    if json_path is not None:
        _write(json_path, json.dumps({"a": a, "b": b, **_numbers(total, results)}, indent=1) + "\n")
    return tell(failures)


def _own_options(
    a: str, b: str, weights: Path | None, threads: int | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and threads for the side that takes some; for both where neither does, to be refused there."""
    known = recipes()
    takes = {
        "weights": [side in known and known[side].weights is not None for side in (a, b)],
        "threads": [not is_engine(side) for side in (a, b)],
    }
    own: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name, value in (("weights", weights), ("threads", threads)):
        for options_of_side, wanted in zip(own, takes[name]):
            if wanted or not any(takes[name]):
                options_of_side[name] = value
    return own


def _worst(pictures: list[Picture], most: int) -> list[Picture]:
    """Those of most disagreement, worst first, the earlier first of equals; none without any."""
    differing = [each for each in pictures if each.found.amount > 0]
    return sorted(differing, key=lambda each: -each.found.amount)[:most]


def _show(a: str, b: str, total: Disagreement, pictures: int, worst: Sequence[Picture]) -> None:
    out.print(f"A: {escape(a)}\nB: {escape(b)}", soft_wrap=True, highlight=False)
    sums = Table(show_header=False)
    for name, text in summary(total, pictures):
        sums.add_row(name, text)
    out.print(sums)
    if not worst:
        return
    ranking = Table(title="pictures, worst first", title_justify="left")
    for column in HEAD[1:]:
        ranking.add_column(column, justify="right", no_wrap=True)
    ranking.add_column(HEAD[0], overflow="fold")  # last, where a long name does least harm
    for each in worst:
        name, *numbers = each.row()
        ranking.add_row(*numbers, escape(name))
    out.print(ranking)


def _numbers(total: Disagreement, results: list[tuple[Path, Disagreement]]) -> dict[str, Any]:
    return {
        "total": {"pictures": len(results), **total.to_dict()},
        "pictures": [{"image": str(path), **found.to_dict()} for path, found in results],
    }


def _write(path: Path, text: str) -> None:
    output.write(path, text)
    if path == output.STDOUT:
        return
    err.print(f"written: {escape(str(path))}", soft_wrap=True, highlight=False)
