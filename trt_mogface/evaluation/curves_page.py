"""HTML page of evaluations: a table, and curves of precision over recall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from trt_mogface.evaluation.evaluation import COLUMNS, EVERY_SIZE, Evaluation, ap_cells
from trt_mogface.evaluation.face_sizes import SIZES
from trt_mogface.evaluation.wider_face import SETTINGS
from trt_mogface.reporting.html import Section, bullets, page, plot, plots, table

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

HEIGHT = 3.4


def curves_page(results: Mapping[str, Evaluation], problems: Sequence[str] = ()) -> str:
    """Return an HTML page of evaluations by label.

    Args:
        results: Evaluations by label, at least one.
        problems: Reasons to doubt the figures, such as images that could not be used.

    Raises:
        MissingExtraError: If Jinja2 or matplotlib is not installed.
    """
    rows = [(label, *ap_cells(result.ap)) for label, result in results.items()]
    first = next(iter(results.values()))
    conditions = f"{first.images} images; {first.faces[EVERY_SIZE]} faces count in {EVERY_SIZE}."
    sections = [
        Section(text=conditions, parts=[table("Average precision", ["detector", *COLUMNS], rows)]),
        Section("Precision over recall", parts=[_curves(results, SETTINGS)]),
        Section(
            "By face size",
            f"Faces that count in {EVERY_SIZE}, by their longer side.",
            [_curves(results, SIZES)],
        ),
    ]
    if problems:
        sections.insert(1, Section("Problems", parts=[bullets(problems)]))
    return page("Average precision on WIDER FACE", sections)


def _curves(results: Mapping[str, Evaluation], names: Iterable[str]) -> Markup:
    """Plot the curves of each of these names for which there is a face."""
    found = {name: {label: each for label, each in results.items() if name in each.curves} for name in names}
    return plots(
        [
            plot(
                partial(_draw, results=each, name=name),
                f"{name}: precision over recall",
                _summary(each, name),
                HEIGHT,
            )
            for name, each in found.items()
            if each
        ]
    )


def _summary(results: Mapping[str, Evaluation], name: str) -> str:
    precisions = "; ".join(f"{label} {result.ap[name]:.4f}" for label, result in results.items())
    return f"Curves of precision over recall, {name}. Average precision: {precisions}."


def _draw(axes: Axes, results: Mapping[str, Evaluation], name: str) -> None:
    for label, result in results.items():
        curve = result.curves[name]
        begun = curve.recall > 0  # thresholds above every score have neither precision nor recall
        axes.plot(curve.recall[begun], curve.precision[begun], label=f"{curve.ap:.4f} {label}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid()
