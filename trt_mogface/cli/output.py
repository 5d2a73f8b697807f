"""Where verbs write what they found: files, checked before any work is done, or standard output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from trt_mogface._files import write_text
from trt_mogface.errors import OutputError
from trt_mogface.reporting.html import check_packages

STDOUT = Path("-")

Json = Annotated[
    Optional[Path],  # noqa: UP045 -- evaluated when this module loads, also on Python 3.10
    typer.Option("--json", metavar="FILE|-", help="Write the figures as JSON."),
]


def check_targets(
    targets: Sequence[Path | None], inputs: Sequence[Path] = (), *, html: Path | None = None
) -> None:
    """Refuse places that cannot be written, before any work is done.

    Args:
        targets: Files to be written; None and `STDOUT` are fine.
        inputs: Files that must not be overwritten.
        html: A page, which needs packages of its own.

    Raises:
        OutputError: A missing folder, an input, or one place for two.
        MissingExtraError: The packages that make an HTML page are missing, and one is wanted.
    """
    places = [path for path in (*targets, html) if path is not None and path != STDOUT]
    originals = {path.resolve() for path in inputs}
    for place in places:
        if not place.parent.is_dir():
            raise OutputError(f"{place}: cannot be written, there is no such folder: mkdir -p {place.parent}")
        if place.resolve() in originals:
            raise OutputError(f"{place}: is one of the inputs itself: choose another name")
    if html is not None:
        check_packages()
    if len({place.resolve() for place in places}) < len(places):
        raise OutputError(f"{places[0]}: named for two results: give each a file of its own")


def write(path: Path, text: str) -> None:
    """Write a text file whole or not at all, or print it.

    Raises:
        OutputError: See `trt_mogface._files.write_text`.
    """
    if path == STDOUT:
        typer.echo(text, nl=False)
    else:
        write_text(path, text)
