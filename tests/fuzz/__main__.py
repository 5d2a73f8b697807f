"""Fuzz everything that the product reads: ``python -m tests.fuzz --help``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from itertools import islice
from pathlib import Path

os.environ.setdefault(
    "OPENCV_LOG_LEVEL", "SILENT"
)  # as `trt_mogface.cli.app.main`, before OpenCV is imported

from tests.fuzz.campaign import NOTE, cases, run
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import Case


def main() -> int:
    """Run, and return 1 if a rule was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Fuzz the inputs of trt-mogface."
    )
    parser.add_argument("--count", type=int, default=2000, help="number of cases")
    parser.add_argument("--seed", type=int, default=0, help="seed of all mutations")
    parser.add_argument("--time", type=float, help="seconds after which to stop")
    parser.add_argument(
        "--target", action="append", choices=sorted(TARGETS), help="only this; may be repeated"
    )
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="folder for failing inputs")
    parser.add_argument("--replay", type=Path, action="append", help="folder of a failing input to try again")
    options = parser.parse_args()
    if options.replay:
        with tempfile.TemporaryDirectory() as folder:
            found = [_replayed(path, Path(folder)) for path in options.replay]
            tallies = run(iter(found), keep=options.keep)
    else:
        chosen = [target for name, target in TARGETS.items() if name in (options.target or TARGETS)]
        found_cases = islice(cases(chosen, options.seed), options.count)
        tallies = run(found_cases, seconds=options.time, keep=options.keep)
    return int(any(tally.failed for tally in tallies.values()))


def _replayed(path: Path, folder: Path) -> Case:
    copy = folder / path.name
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns(NOTE))
    return Case(TARGETS[path.name.split("-")[0]], folder=copy)


if __name__ == "__main__":
    sys.exit(main())
