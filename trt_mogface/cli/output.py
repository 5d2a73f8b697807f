"""Destinations of results: files and folders, checked before any work is done, or standard output."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from trt_mogface._files import check_folder, check_writable, identity, write_text
from trt_mogface._printable import printable
from trt_mogface.errors import OutputError
from trt_mogface.reporting.html import check_packages

STDOUT = Path("-")

out = Console()
err = Console(stderr=True)


def plain(text: str) -> str:
    """Return a text that a console prints as it is, except for control characters, which become escapes."""
    return escape(printable(text))


def say(text: str, console: Console = err) -> None:
    """Print lines as they are: not folded, colored or taken for markup."""
    for line in text.split("\n"):
        console.print(plain(line), soft_wrap=True, highlight=False)


def is_folder(text: str) -> bool:
    """Return whether a destination is a folder: one that exists, or a path that ends in a slash."""
    return text.endswith("/") or os.path.isdir(text)  # noqa: PTH112 -- also answers to impossible names


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
    targets: Iterable[Path | None],
    inputs: Iterable[str | Path | None] = (),
    *,
    html: Path | None = None,
    streams: Sequence[Path | None] = (),
    folder: Path | None = None,
    inside: Iterable[Path] = (),
) -> None:
    """Refuse destinations that cannot be written or are inputs, before any work is done.

    Links, symbolic and hard ones, are the file that they lead to.

    Args:
        targets: Files to write, with those that a verb writes beside them; None and `STDOUT` are accepted.
        inputs: Files that must not be overwritten; None and names of models are accepted.
        html: Page to write, which needs optional packages.
        streams: Further files to write, which may be pipes.
        folder: Folder that is created if it is missing.
        inside: Files to write in it, in folders that are created.

    Raises:
        OutputError: If a file cannot be written, is an input, or is named for two results.
        MissingExtraError: If the packages for a page are not installed.
    """
    streamed = {path for path in streams if path is not None}
    named = [path for path in (*targets, *streams, html) if path is not None]
    places = [path for path in named if path != STDOUT]
    if len(named) - len(places) > 1:
        raise OutputError("-: stdout takes one result only; give the others a file")
    if html is not None:
        check_packages()
    if folder is not None:
        check_folder(folder)
    written: dict[object, Path] = {}
    for place in places:
        if folder != place.parent or folder.is_dir():
            check_writable(place, stream=place in streamed)
    for place in chain(places, inside):
        if os.path.isdir(place):  # noqa: PTH112
            raise OutputError(f"{place}: cannot be written, it is a folder; choose another name")
        file = identity(place)
        if file in written:
            raise OutputError(f"{place}: named for two results; give each a file of its own")
        written[file] = place
    for source in (Path(each) for each in inputs if each is not None):
        overwritten = written.get(identity(source)) if written else None
        if overwritten is not None and source.exists():
            raise OutputError(f"{overwritten}: {_same_as(source, overwritten)}; choose another name")


def _same_as(source: Path, place: Path) -> str:
    return "is one of the inputs itself" if source == place else f"the same file as the input {source}"


def write(path: Path | None, text: str) -> None:
    """Write a text file whole or not at all, or print it; do nothing without a path."""
    if path == STDOUT:
        typer.echo(text, nl=False)
    elif path is not None:
        write_text(path, text)
