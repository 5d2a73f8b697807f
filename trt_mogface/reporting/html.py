"""Self-contained HTML reports: sections of text, tables, plots and images; see `check_packages`."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_mogface._optional import require

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

TEMPLATE = """<!doctype html>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 15px sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .15em .8em; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left }
.marked td { font-weight: bold }
img, svg { max-width: 100%; height: auto }
</style>
<h1>{{ title }}</h1>
{% for section in sections %}
{% if section.heading %}<h2>{{ section.heading }}</h2>{% endif %}
{% if section.text %}<p>{{ section.text }}</p>{% endif %}
{% for part in section.parts %}{{ part }}
{% endfor %}
{% endfor %}
"""

TABLE = """<table><tr>{% for name in head %}<th>{{ name }}{% endfor %}</tr>
{% for row in rows %}<tr{% if loop.index0 in marked %} class="marked"{% endif %}>
{%- for value in row %}<td>{{ value }}{% endfor %}</tr>
{% endfor %}</table>"""

JPEG_QUALITY = 85


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        heading, text: Plain text; markup in it is escaped.
        parts: Results of `table`, `plot` and `picture`.
    """

    heading: str = ""
    text: str = ""
    parts: Sequence[Markup] = ()


def check_packages() -> None:
    """Refuse to start work whose report cannot be written.

    Raises:
        MissingExtraError: If a package for pages and plots is not installed.
    """
    for module in ("jinja2", "markupsafe", "matplotlib"):
        require(module, extra="reports")


def page(title: str, sections: Iterable[Section]) -> str:
    """Return a whole HTML page."""
    return str(_render(TEMPLATE, title=title, sections=list(sections)))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], marked: Iterable[int] = ()) -> Markup:
    """Return a table; rows with a number in `marked` stand out."""
    return _render(TABLE, head=head, rows=list(rows), marked=set(marked))


def plot(figure: Figure) -> Markup:
    """Return a figure of matplotlib as inline SVG."""
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    text = svg.getvalue()
    return _markup(text[text.index("<svg") :])


def picture(image: NDArray[np.uint8], alternative: str = "") -> Markup:
    """Return an image, uint8 [H, W, 3] in BGR, as inline JPEG."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    data = base64.b64encode(encoded.tobytes()).decode()
    return _render(
        '<img src="data:image/jpeg;base64,{{ data }}" alt="{{ alt }}">', data=data, alt=alternative
    )


def _render(template: str, **values: object) -> Markup:
    environment = require("jinja2", extra="reports").Environment(autoescape=True, trim_blocks=True)
    return _markup(environment.from_string(template).render(**values))


def _markup(text: str) -> Markup:
    """Mark a text as HTML, which is not escaped again."""
    markup: Markup = require("markupsafe", extra="reports").Markup(text)
    return markup
