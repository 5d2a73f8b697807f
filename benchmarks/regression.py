"""Compare recorded ratios with those of an earlier commit.

Compares ratios of two measurements of one run, never times.  In benchmarks/results, keys that begin with
``ratio`` or ``share`` are better the higher, keys that begin with ``cost`` the lower, and ``ap`` contains
average precisions, better the higher.

    python -m benchmarks.regression [--base REV] [--tolerance 0.15]
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks._lib.results import RESULTS

HIGHER, LOWER = ("ratio", "share"), ("cost",)
AP = "ap"
AP_TOLERANCE = 0.002
"""Allowed loss of AP: results differ that much between releases of libraries."""


class Figure(NamedTuple):
    """A comparable figure: its path in the file, its value, and whether higher is better."""

    place: str
    value: float
    higher: bool


class Change(NamedTuple):
    """A figure before and now, and its loss as a fraction (of AP: absolute)."""

    place: str
    before: float
    now: float
    worse: float
    allowed: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", default="HEAD")
    parser.add_argument("--tolerance", type=float, default=0.15)
    given = parser.parse_args()
    changes: list[Change] = []
    for path in sorted(RESULTS.rglob("*.json")):
        before = committed(path, given.base)
        if before is not None:
            name = str(path.relative_to(RESULTS).with_suffix(""))
            changes += compared(name, before, json.loads(path.read_text()), given.tolerance)
    table = Table("figure", given.base, "now", "worse by")
    worse = [change for change in changes if change.worse > change.allowed]
    for change in worse:
        table.add_row(change.place, f"{change.before:.4g}", f"{change.now:.4g}", f"{change.worse:.1%}")
    console = Console()
    if worse:
        console.print(table)
    console.print(f"{len(changes)} figures compared with {given.base}, {len(worse)} worse than allowed")
    return 1 if worse else 0


def committed(path: Path, revision: str) -> Any:
    """Return a result of a revision; None if it had none."""
    done = subprocess.run(
        ["git", "show", f"{revision}:./{path.name}"],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def compared(name: str, before: Any, now: Any, tolerance: float) -> list[Change]:
    """Compare the figures that both have."""
    known = {figure.place: figure for figure in figures(before["figures"], name)}
    changes = []
    for place, value, higher in figures(now["figures"], name):
        if place not in known:
            continue
        old = known[place].value
        is_ap = f"/{AP}/" in place
        lost = (old - value if higher else value - old) / (1 if is_ap else abs(old) or 1)
        changes.append(Change(place, old, value, lost, AP_TOLERANCE if is_ap else tolerance))
    return changes


def figures(content: Any, place: str) -> Iterator[Figure]:
    """Yield all comparable figures below a place."""
    if isinstance(content, list):
        for index, each in enumerate(content):
            yield from figures(each, f"{place}/{index}")
    elif isinstance(content, dict):
        for key, value in content.items():
            inside = f"{place}/{key}"
            if isinstance(value, (dict, list)):
                yield from figures(value, inside)
            elif isinstance(value, (int, float)):
                if key.startswith(HIGHER) or f"/{AP}/" in inside:
                    yield Figure(inside, float(value), True)
                elif key.startswith(LOWER):
                    yield Figure(inside, float(value), False)


if __name__ == "__main__":
    raise SystemExit(main())
