"""Pictures of the command line: each that can be used, and at the end what was wrong with the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from trt_mogface.errors import ImageError
from trt_mogface.images import read_image

SOME_FAILED = 1
"""Exit status where some pictures could not be used and the others came out."""

err = Console(stderr=True)


def usable(
    paths: Sequence[Path], doing: str, failures: list[ImageError]
) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Each picture that can be read, uint8 [H, W, 3] in BGR; the others are added to ``failures``.

    Args:
        paths: Files.
        doing: What the progress on the terminal says.
        failures: Filled while going through.
    """
    for path in track(paths, doing, console=err, transient=True, disable=len(paths) == 1):
        try:
            image = read_image(path)
        except ImageError as failure:
            failures.append(failure)
            continue
        yield path, image


def check_some(paths: Sequence[Path], failures: Sequence[ImageError]) -> None:
    """Fail where no picture could be used.

    Raises:
        ImageError: Of the only picture, or that there was none among several; the others are told first.
    """
    if len(failures) == len(paths) == 1:
        raise failures[0]
    if len(failures) == len(paths):
        tell(failures)
        raise ImageError(f"none of the {len(paths)} pictures could be used")


def tell(failures: Sequence[ImageError]) -> int:
    """Say what was wrong with each, a line each; the exit status."""
    for failure in failures:
        err.print(f"trt-mogface: {escape(str(failure))}", soft_wrap=True, highlight=False)
    return SOME_FAILED if failures else 0
