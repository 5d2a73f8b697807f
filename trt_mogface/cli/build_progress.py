"""What a build is doing, as a Rich progress bar on a terminal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class BuildProgress:
    """Follows the steps of a build, and TensorRT's own phases where it builds.

    Exceptions cannot pass through TensorRT's C++, which is why Ctrl-C is only noted while it works.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._main = self._bar.add_task("", total=None)
        self._phases: dict[str, TaskID] = {}
        self._interrupted = False

    def __enter__(self) -> BuildProgress:
        if self._console.is_terminal:  # elsewhere a bar would leave an empty line
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def status(self, text: str) -> None:
        """What is being done."""
        self._bar.update(self._main, description=escape(text))

    def log(self, message: str) -> None:
        """A line of TensorRT's log."""
        self._console.print(escape(message), soft_wrap=True, highlight=False)

    @contextmanager
    def building(self) -> Iterator[None]:
        """Around TensorRT's work: Ctrl-C stops it at its next step, and is raised once it has stopped."""
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            if self._interrupted:
                raise KeyboardInterrupt from None

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase begins; phases within phases have bars of their own."""
        indent = "  " if parent else ""
        self._phases[phase] = self._bar.add_task(f"{indent}{escape(phase)}", total=steps)

    def step(self, phase: str, step: int) -> bool:
        """A step is done; False stops TensorRT."""
        self._bar.update(self._phases[phase], completed=step)
        return not self._interrupted

    def finish(self, phase: str) -> None:
        """A phase is over."""
        self._bar.remove_task(self._phases.pop(phase))

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
