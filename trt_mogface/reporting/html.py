"""Self-contained HTML pages: sections of text, tables, plots and photos; see `check_packages`.

The pages are Jinja2 templates, because they loop and every value has to be escaped.  The folder ``templates``
also has the style sheet and the scripts.  A page contains both, so that it is one file that requests nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface._optional import require
from trt_mogface.reporting.matplotlib import matplotlib
from trt_mogface.reporting.plots import HEIGHT, Draw, printable, svg

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")
STYLE = "page.css"
SCRIPTS = ("sort.js", "zoom.js")

JPEG_QUALITY = 85

NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?%?")
BLANK = ("", "-")
"""Cells without a value."""

CONTROL = {code: f"\\x{code:02x}" for code in (*range(9), 11, 12, *range(14, 32), 127)}
"""Characters that HTML does not allow, and what stands for them."""


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        heading, text: Plain text; markup in it is escaped.
        parts: Results of the functions of this module.
        anchor: Name for links to the section, unique in the page; without one it has a number.
        is_listed: Whether the table of contents lists it; else it is part of the section before it.
    """

    heading: str = ""
    text: str = ""
    parts: Sequence[Markup] = ()
    anchor: str = ""
    is_listed: bool = True


@dataclass(frozen=True)
class Box:
    """A box on a photo.

    Attributes:
        kind: Class in the style sheet: ``both``, ``only-a`` or ``only-b``.
        xyxy: Corners in fractions of the photo's width and height.
        label: Text above the box, shown where the box is large enough.
    """

    kind: str
    xyxy: tuple[float, float, float, float]
    label: str


def check_packages() -> None:
    """Refuse to start work whose report cannot be written.

    Raises:
        MissingExtraError: If a package for pages and plots is not installed.
    """
    for module in ("jinja2", "markupsafe"):
        require(module, extra="reports")
    matplotlib()


def page(title: str, sections: Iterable[Section]) -> str:
    """Return a whole HTML page, which can be written as UTF-8 whatever file names are in it."""
    scripts = [_asset(name) for name in SCRIPTS]
    found = _render("page.html", title=title, sections=list(sections), style=_asset(STYLE), scripts=scripts)
    return printable(str(found)).translate(CONTROL)


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    marked: Iterable[int] = (),
    total: Sequence[object] = (),
) -> Markup:
    """Return a table that is sorted by a click on a heading.

    Args:
        caption: Name of the table, unique in the page.
        head: Names of the columns.
        rows: Cells, text or a `link`.
        marked: Numbers of the rows that stand out.
        total: Cells of a last row, which stays last.
    """
    lines = [list(row) for row in rows]
    numeric = [_is_numeric([row[column] for row in lines]) for column in range(len(head))]
    return _render(
        "table.html", caption=caption, head=head, rows=lines, marked=set(marked), total=total, numeric=numeric
    )


def facts(caption: str, rows: Iterable[Sequence[object]]) -> Markup:
    """Return a table of names and values."""
    return _render("facts.html", caption=caption, rows=list(rows))


def bullets(texts: Iterable[str]) -> Markup:
    """Return a list of texts."""
    return _render("bullets.html", texts=list(texts))


def legend(kinds: Sequence[tuple[str, str]]) -> Markup:
    """Return the kinds of `Box` with their names, each with a switch that hides them."""
    return _render("legend.html", kinds=kinds)


def plots(figures: Sequence[Markup]) -> Markup:
    """Return results of `plot`, side by side where there is room."""
    return _render("plots.html", figures=figures)


def photos(figures: Sequence[Markup]) -> Markup:
    """Return results of `photo` as small pictures, side by side where there is room."""
    return _render("photos.html", figures=figures)


def link(text: str, anchor: str) -> Markup:
    """Return a link to a section of the page."""
    return _render("link.html", text=text, anchor=anchor)


def plot(draw: Draw, caption: str, summary: str, height: float = HEIGHT) -> Markup:
    """Return a figure of matplotlib as inline SVG.

    Args:
        draw: Draws onto the axes; see `trt_mogface.reporting.plots.svg`.
        caption: Text below the plot, unique in the page.
        summary: Text instead of the plot, for those who cannot see it.
        height: Height of the axes in inches.
    """
    drawn = svg(draw, height, salt=caption)
    head = _render("svg.html", summary=summary)
    return _render("plot.html", svg=_markup(drawn.replace("<svg", str(head), 1)), caption=caption)


def photo(image: NDArray[np.uint8], boxes: Iterable[Box], alternative: str, caption: str = "") -> Markup:
    """Return a photo that can be enlarged, with boxes over it that stay sharp.

    Args:
        image: uint8 [H, W, 3], BGR.
        boxes: Boxes, the last on top.
        alternative: Text instead of the photo.
        caption: Text below it.
    """
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    data = base64.b64encode(encoded.tobytes()).decode()
    height, width = image.shape[:2]
    size = {"width": width, "height": height}
    return _render(
        "photo.html", data=data, boxes=list(boxes), alternative=alternative, caption=caption, **size
    )


def _is_numeric(cells: Iterable[object]) -> bool:
    texts = [str(cell) for cell in cells]
    return any(text not in BLANK for text in texts) and all(
        text in BLANK or NUMBER.fullmatch(text) for text in texts
    )


@dataclass(frozen=True)
class Asset:
    """A style sheet or script: its text, and its digest for the page's content security policy."""

    text: Markup
    digest: str


@cache
def _asset(name: str) -> Asset:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Asset(_markup(text), f"sha256-{digest}")


@cache
def _environment() -> Environment:
    jinja2: Any = require("jinja2", extra="reports")
    environment: Environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment


def _render(template: str, **values: object) -> Markup:
    return _markup(_environment().get_template(template).render(**values))


def _markup(text: str) -> Markup:
    """Mark a text as HTML, which is not escaped again."""
    markup: Markup = require("markupsafe", extra="reports").Markup(text)
    return markup
