"""A run through all targets: rounds of cases, progress, and the failing inputs."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

from tests.fuzz.targets import Target
from tests.fuzz.worker import Case, Outcome, Worker

NOTE = "finding.txt"
"""File beside a failing input, with the broken rules and the command that repeats it."""

EVERY = 10.0
"""Seconds between lines of progress."""


@dataclass
class Tally:
    """Counts of one target: cases, those that some use accepted, and problems by kind."""

    cases: int = 0
    accepted: int = 0
    failed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count a case."""
        self.cases += 1
        self.accepted += outcome.accepted > 0
        self.failed += bool(outcome.problems)
        self.kinds.update({problem.kind for problem in outcome.problems})


def cases(targets: Sequence[Target], seed: int) -> Iterator[Case]:
    """Yield cases without end, of each target as many a round as its share."""
    numbers = count()
    while True:
        for target in targets:
            yield from (Case(target, seed, number) for number in islice(numbers, target.share))


def run(
    found: Iterator[Case], *, seconds: float | None = None, keep: Path, name: str = "python -m tests.fuzz"
) -> Mapping[str, Tally]:
    """Run cases, print progress, and keep the failing inputs; a finding ends nothing.

    Args:
        found: Cases.
        seconds: Time after which no further case begins; None for none.
        keep: Folder for failing inputs.
        name: Command that runs this program, for the notes.
    """
    tallies: dict[str, Tally] = {}
    started = shown = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, Worker(Path(scratch) / "worker") as worker:
        for case in found:
            outcome = worker.run(case)
            tallies.setdefault(case.target.name, Tally()).add(outcome)
            if outcome.problems and case.folder is None:
                _keep(case, outcome, keep, name)
            now = time.monotonic()
            if now - shown > EVERY:
                shown = now
                print(_line(tallies, now - started), flush=True)
            if seconds is not None and now - started > seconds:
                break
    print(_table(tallies, time.monotonic() - started), flush=True)
    return tallies


def _keep(case: Case, outcome: Outcome, keep: Path, name: str) -> None:
    folder = keep / f"{case.target.name}-{case.seed}-{case.number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    case.write(folder)
    lines = [f"{name} --replay {folder}", *(f"{each.kind}\n{each.detail}" for each in outcome.problems)]
    (folder / NOTE).write_text("\n\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def _line(tallies: Mapping[str, Tally], seconds: float) -> str:
    parts = [
        f"{name} {tally.cases}" + (f" ({tally.failed} failed)" if tally.failed else "")
        for name, tally in tallies.items()
    ]
    return f"{seconds:6.0f} s, {sum(tally.cases for tally in tallies.values())} cases: {', '.join(parts)}"


def _table(tallies: Mapping[str, Tally], seconds: float) -> str:
    lines = [f"{'target':14}{'cases':>9}{'accepted':>10}{'failed':>8}"]
    for name, tally in tallies.items():
        lines.append(f"{name:14}{tally.cases:9}{tally.accepted:10}{tally.failed:8}")
        lines += [f"  {number:6} x {kind}" for kind, number in tally.kinds.most_common()]
    total = [
        sum(getattr(tally, part) for tally in tallies.values()) for part in ("cases", "accepted", "failed")
    ]
    return "\n".join([*lines, f"{'in all':14}{total[0]:9}{total[1]:10}{total[2]:8}  in {seconds:.0f} s"])
