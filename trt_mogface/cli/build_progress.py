"""Progress of a build, as a Rich progress bar on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from trt_mogface.cli import output, signals


class BuildProgress:
    """Shows the steps of a build, and the phases of TensorRT while it builds.

    Exceptions cannot pass through TensorRT's C++, so signals are only recorded while TensorRT works.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        self._bar = Progress(*columns, console=console, transient=True)
        self._main = self._bar.add_task("", total=None)
        self._phases: dict[str, TaskID] = {}
        self._ended: Callable[[], bool] = lambda: False

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
        """Show the current step."""
        self._bar.update(self._main, description=output.plain(text))

    def log(self, message: str) -> None:
        """Print a line of TensorRT's log."""
        self._console.print(output.plain(message), soft_wrap=True, highlight=False)

    @contextmanager
    def building(self) -> Iterator[None]:
        """Return a context in which a signal stops TensorRT at its next step, and is raised afterwards."""
        with signals.deferred() as self._ended:
            yield

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """Start a phase, with a bar of its own."""
        indent = "  " if parent else ""
        self._phases[phase] = self._bar.add_task(f"{indent}{output.plain(phase)}", total=steps)

    def step(self, phase: str, step: int) -> bool:
        """Record a completed step; False stops TensorRT."""
        self._bar.update(self._phases[phase], completed=step)
        return not self._ended()

    def finish(self, phase: str) -> None:
        """End a phase."""
        self._bar.remove_task(self._phases.pop(phase))
