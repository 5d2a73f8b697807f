"""Images of the command line: each one that can be used, and at the end what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from trt_mogface.cli import output
from trt_mogface.errors import ImageError
from trt_mogface.images import find_images, read_image, summarize

SOME_FAILED = 1
"""Exit status if some images failed, or had candidates that were not finite, and the others did not."""


def found(patterns: Sequence[str]) -> list[Path]:
    """Find the images of paths, folders and patterns, and say what was left out."""
    files = find_images(patterns)
    say_skipped(files.skipped)
    return files.paths


def say_skipped(skipped: Mapping[Path, str]) -> None:
    """Say how many files were left out of folders, and why."""
    if skipped:
        output.say(f"trt-mogface: {summarize(skipped)}")


def usable(
    paths: Sequence[Path], task: str, failures: list[ImageError]
) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Yield each image that can be read, uint8 [H, W, 3] in BGR; add the errors of the others to `failures`.

    The progress bar is named `task`.
    """
    # Elsewhere than on a terminal a bar leaves an empty line.
    hidden = len(paths) == 1 or not output.err.is_terminal
    for path in track(paths, task, console=output.err, transient=True, disable=hidden):
        try:
            image = read_image(path)
        except ImageError as failure:  # noqa: PERF203 -- one image is not the others
            failures.append(failure)
        else:
            yield path, image


def not_finite(dropped: int) -> str:
    """Return a number of candidates that were not finite in words."""
    return f"{dropped} {'candidate was' if dropped == 1 else 'candidates were'} not finite"


def report(paths: Sequence[Path], failures: Sequence[ImageError]) -> int:
    """Print a line for each failure and return the exit status; raise if no image could be used."""
    if len(failures) == len(paths) == 1:
        raise failures[0]
    for failure in failures:
        output.say(f"trt-mogface: {failure}")
    if len(failures) == len(paths):
        raise ImageError(f"images: none of the {len(paths)} could be used")
    return SOME_FAILED if failures else 0
