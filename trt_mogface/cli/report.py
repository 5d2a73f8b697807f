"""``trt-mogface report``: a page of what ``trt-mogface video`` has recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trt_mogface.cli import options, output
from trt_mogface.cli.images import SOME_FAILED
from trt_mogface.errors import OutputError
from trt_mogface.video.report import best_crops, read_reports
from trt_mogface.video.report_page import report_page

OUTPUTS_HELP = "Files of a jsonl sink, folders of them, or folders of a parquet or crops sink."
TARGET_HELP = "Page to write; - is stdout."


def report(
    outputs: Annotated[list[Path], typer.Argument(metavar="OUT...", help=OUTPUTS_HELP)],
    *,
    target: Annotated[Path, options.in_output("FILE|-", TARGET_HELP, "--output", "-o")],
) -> int:
    """Write a page of the faces, tracks and losses that the verb video has recorded.

    What cannot be read is reported, also on the page; the rest is shown (exit status 1).
    """
    output.check_targets((), outputs, html=target)
    with output.err.status("reading"):
        sources, problems = read_reports(outputs)
        crops = best_crops(outputs, sources)
    if not sources:
        raise OutputError(problems[0] if problems else f"{outputs[0]}: no records; record some with a sink")
    for problem in problems:
        output.say(f"trt-mogface: {problem}")
    output.write(target, report_page(sources, problems, crops))
    if target != output.STDOUT:
        output.say(f"written: {target}")
    return SOME_FAILED if problems else 0
