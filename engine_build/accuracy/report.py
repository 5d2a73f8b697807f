"""The sensitivity report beside an engine: JSON for programs, one HTML page with a plot for people."""

from __future__ import annotations

import dataclasses
import html
import io
import json
from pathlib import Path

from engine_build.accuracy.sensitivity import Sensitivity
from trt_mogface.files import write_text

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px sans-serif; max-width: 60em; margin: 2em auto }}
td, th {{ padding: .1em .8em; text-align: right }}
td:first-child, th:first-child {{ text-align: left }}
.kept {{ font-weight: bold }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
{plot}
<h2>Layer groups, worst first</h2>
<table><tr><th>group<th>drift<th>share of multiply-adds<th>in FP16</tr>
{rows}
</table>
{sizes}
"""


def write_report(engine: Path, network: str, precision: str, found: Sensitivity) -> None:
    """Write ``NAME.engine.sensitivity.json`` and ``.html``.

    Raises:
        OutputError: The place cannot be written.
    """
    stem = f"{engine.name}.sensitivity"
    fields = {"network": network, "precision": precision, "summary": str(found), **dataclasses.asdict(found)}
    write_text(engine.with_name(f"{stem}.json"), json.dumps(fields, indent=1) + "\n")
    write_text(engine.with_name(f"{stem}.html"), _page(f"{network} in {precision.upper()}", found))


def _page(title: str, found: Sensitivity) -> str:
    rows = "\n".join(
        f"<tr{' class=kept' if i < found.kept else ''}><td>{html.escape(group.name)}<td>{group.drift:.4f}"
        f"<td>{100 * group.share:.1f}%<td>{'yes' if i < found.kept else ''}</tr>"
        for i, group in enumerate(found.groups)
    )
    return PAGE.format(
        title=html.escape(title),
        summary=html.escape(str(found)),
        plot=_plot(found),
        rows=rows,
        sizes=_sizes(found),
    )


def _sizes(found: Sensitivity) -> str:
    if not found.by_size:
        return ""
    labels = list(found.by_size["FP32"])
    head = "".join(f"<th>{html.escape(label)}" for label in labels)
    rows = "".join(
        f"<tr><td>{name}{''.join(f'<td>{figures[label]:.4f}' for label in labels)}</tr>\n"
        for name, figures in found.by_size.items()
    )
    return f"<h2>AP by face size</h2>\n<table><tr><th>{head}</tr>\n{rows}</table>"


def _plot(found: Sensitivity) -> str:
    """Drift of each group as bars, those left in FP16 apart, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.8 + 0.18 * len(found.groups)), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:red" if i < found.kept else "tab:blue" for i in range(len(found.groups))]
    axes.barh([group.name for group in found.groups], [group.drift for group in found.groups], color=colours)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=6)
    axes.set_xlabel("drift with this group alone quantised (red: left in FP16)")
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    text = svg.getvalue()
    return text[text.index("<svg") :]
