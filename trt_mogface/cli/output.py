"""Destinations of results: files and folders, checked before any work is done, or standard output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from trt_mogface._files import write_text
from trt_mogface.errors import OutputError
from trt_mogface.reporting.html import check_packages

STDOUT = Path("-")

out = Console()
err = Console(stderr=True)


def say(text: str, console: Console = err) -> None:
    """Print a line as it is: not folded, colored or taken for markup."""
    console.print(escape(text), soft_wrap=True, highlight=False)


def is_folder(text: str) -> bool:
    """Return whether a destination is a folder: one that exists, or a path that ends in a slash."""
    return text.endswith("/") or Path(text).is_dir()


@contextmanager
def created(folder: Path | None) -> Iterator[None]:
    """Create a folder for results, and remove it again if a failure leaves it empty."""
    if folder is None or folder.is_dir():
        yield
        return
    folder.mkdir(parents=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # it holds results
            folder.rmdir()
        raise


def check_targets(
    targets: Sequence[Path | None],
    inputs: Sequence[Path] = (),
    *,
    html: Path | None = None,
    folder: Path | None = None,
) -> None:
    """Refuse destinations that cannot be written, before any work is done.

    Args:
        targets: Files to write; None and `STDOUT` are accepted.
        inputs: Files that must not be overwritten.
        html: Page to write, which needs optional packages.
        folder: Parent of files that is created if it is missing.
    """
    places = [path for path in (*targets, html) if path is not None and path != STDOUT]
    originals = {path.resolve() for path in inputs}
    for place in places:
        if not place.parent.is_dir() and place.parent != folder:
            raise OutputError(f"{place}: cannot be written, no such folder; mkdir -p {place.parent}")
        if place.resolve() in originals:
            raise OutputError(f"{place}: is one of the inputs itself; choose another name")
    if html is not None:
        check_packages()
    if len({place.resolve() for place in places}) < len(places):
        raise OutputError(f"{places[0]}: named for two results; give each a file of its own")


def write(path: Path | None, text: str) -> None:
    """Write a text file whole or not at all, or print it; do nothing without a path."""
    if path == STDOUT:
        typer.echo(text, nl=False)
    elif path is not None:
        write_text(path, text)
