"""Images of the command line, one after another: those that can be used, and the reasons for the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import track

from trt_mogface.cli import output
from trt_mogface.cli.sources import Source
from trt_mogface.errors import FAILURES_OF_AN_IMAGE, ImageError, reason_of
from trt_mogface.frame import Image
from trt_mogface.images import summarize

SOME_FAILED = 1
"""Exit status if some images failed, or had candidates that were not finite, and the others did not."""


def say_skipped(skipped: Mapping[Path, str]) -> None:
    """Say how many files were left out of folders, and why."""
    if skipped:
        output.say(f"trt-mogface: {summarize(skipped)}")


def say_unusable(reasons: Collection[str]) -> None:
    """Say which images a calibration could not use."""
    if reasons:
        output.say(f"trt-mogface: {len(reasons)} images could not be used for the calibration:")
    for reason in reasons:
        output.say(f"  {reason}")


class Failures:
    """Images that could not be used: reported at once, and counted for the exit status.

    Args:
        total: Number of images; the error of a single one is that of the command.
        record: Called with the name of the image and the reason.
    """

    def __init__(self, total: int, record: Callable[[str, str], object] | None = None) -> None:
        self._total, self._record = total, record
        self.reasons: list[str] = []

    @contextmanager
    def caught(self, source: Source) -> Iterator[None]:
        """Return a context in which an image may fail, also by a lack of memory."""
        try:
            yield
        except FAILURES_OF_AN_IMAGE as error:
            self._add(source.name, reason_of(error, source.name))

    def status(self) -> int:
        """Return the exit status.

        Raises:
            ImageError: If no image could be used.
        """
        if len(self.reasons) < self._total:
            return SOME_FAILED if self.reasons else 0
        if self._total == 1:
            raise ImageError(self.reasons[0])
        raise ImageError(f"images: none of the {self._total} could be used")

    def _add(self, name: str, reason: str) -> None:
        # As text: the traceback of an exception would keep the contents of the file in memory.
        self.reasons.append(f"{name}: {reason}")
        if self._total > 1:
            output.say(f"trt-mogface: {self.reasons[-1]}")
        if self._record is not None:
            self._record(name, reason)


def usable(sources: Sequence[Source], task: str, failures: Failures) -> Iterator[tuple[Source, Image]]:
    """Yield each image that can be read, uint8 [H, W, 3] in BGR; the others are added to `failures`.

    The progress bar is named `task`.
    """
    # Elsewhere than on a terminal a bar leaves an empty line.
    hidden = len(sources) == 1 or not output.err.is_terminal
    for source in track(sources, task, console=output.err, transient=True, disable=hidden):
        image = None  # that of the last one leaves the memory
        with failures.caught(source):
            image = source.read()
        if image is not None:
            yield source, image


def not_finite(dropped: int) -> str:
    """Return a number of candidates that were not finite in words."""
    return f"{dropped} {'candidate was' if dropped == 1 else 'candidates were'} not finite"
