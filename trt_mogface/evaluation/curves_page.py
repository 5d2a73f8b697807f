"""HTML page of evaluations: a table, and curves of precision over recall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trt_mogface.evaluation.evaluation import COLUMNS, Evaluation
from trt_mogface.evaluation.face_sizes import SIZES
from trt_mogface.evaluation.wider_face import SETTINGS
from trt_mogface.reporting.html import Section, page, plot, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves_page(results: Mapping[str, Evaluation]) -> str:
    """Return an HTML page.

    Args:
        results: Evaluations by label.

    Raises:
        MissingExtraError: If Jinja2 or matplotlib is not installed.
    """
    rows = [(label, *result.cells()) for label, result in results.items()]
    return page(
        "Average precision on WIDER FACE",
        [
            Section(parts=[table(["", *COLUMNS], rows)]),
            Section("Precision over recall", parts=[plot(_figure(results, SETTINGS))]),
            Section(
                "By face size",
                "Faces that count in hard, by their longer side.",
                [plot(_figure(results, tuple(SIZES)))],
            ),
        ],
    )


def _figure(results: Mapping[str, Evaluation], names: tuple[str, ...]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(names), 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
        for label, result in results.items():
            if name in result.curves:
                curve = result.curves[name]
                axes.plot(curve.recall, curve.precision, label=f"{curve.ap:.4f} {label}")
        axes.set(title=name, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        if axes.lines:  # no image may have a face of this size
            axes.legend(fontsize=6, loc="lower left")
    return figure
