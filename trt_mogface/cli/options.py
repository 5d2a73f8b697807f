"""Options that several verbs share, each written once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from trt_mogface.errors import ArgumentError

Size = tuple[int, int] | Literal["native"] | None
THE_MODELS = "the model's"

model_option = partial(typer.Option, rich_help_panel="Model")
detection_option = partial(typer.Option, rich_help_panel="Detection")
accuracy_option = partial(typer.Option, rich_help_panel="Calibration and accuracy")
hardware_option = partial(typer.Option, rich_help_panel="Hardware")
output_option = partial(typer.Option, rich_help_panel="Output")


def completion(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a shell completion for names, or for the last of several names with commas."""

    def complete(incomplete: str) -> list[str]:
        done, comma, last = incomplete.rpartition(",")
        return [f"{done}{comma}{name}" for name in names() if name.startswith(last)]

    return complete


def model_names() -> Iterable[str]:
    """Return the names that a model option takes."""
    from engine_build.models.registry import recipes

    return recipes()


def parse_size(argument: str, text: str | None) -> Size:
    """Parse ``native`` or ``WxH``; None stays None, the model's own size.

    Raises:
        ArgumentError: If `text` has another form.
    """
    if text is None or text == "native":
        return text  # type: ignore[return-value]
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise ArgumentError(argument, "use native, or WIDTHxHEIGHT such as 640x480", text)
    return int(match[1]), int(match[2])


MODEL_HELP = "Model name, contract ONNX file or engine."
complete_model: Any = completion(model_names)

Model = Annotated[
    str,
    model_option("--model", "--engine", metavar="NAME|FILE", help=MODEL_HELP, autocompletion=complete_model),
]
Weights = Annotated[
    Path | None, model_option(metavar="FILE", help="Trained weights, for a named model without its own.")
]
MinFace = Annotated[
    float | None, model_option(metavar="PX", help="Drop pyramid levels that detect only smaller faces.")
]
NetworkSize = Annotated[
    str | None,
    detection_option(
        "--size",
        metavar="native|WxH",
        show_default=THE_MODELS,
        help="Network input: native is each image's own size, WxH one to scale into.",
    ),
]
Threads = Annotated[
    int | None,
    hardware_option(metavar="N", min=1, show_default="all cores", help="CPU threads of the network."),
]
Device = Annotated[int, hardware_option(metavar="N", min=0, help="GPU that runs an engine.")]
Json = Annotated[
    Path | None, output_option("--json", metavar="FILE|-", help="Write the results as JSON; - is stdout.")
]
Html = Annotated[Path | None, output_option(metavar="FILE", help="Write a page with plots.")]
Calib = Annotated[
    str | None,
    accuracy_option(metavar="IMAGES", help="Calibrate int8 and fp8 on a folder, glob pattern or video."),
]
CalibCache = Annotated[
    Path | None,
    accuracy_option(metavar="FILE", help="Calibration file: written with --calib, read without it."),
]


@dataclass(frozen=True)
class DetectionGroup:
    """How faces are detected and selected."""

    conf: Annotated[
        float | None, detection_option(metavar="0..1", show_default=THE_MODELS, help="Score threshold.")
    ] = None
    iou: Annotated[
        float | None,
        detection_option(metavar="0..1", show_default=THE_MODELS, help="IoU threshold of the suppression."),
    ] = None
    size: NetworkSize = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a `Detector`."""
        return {"conf": self.conf, "iou": self.iou, "size": parse_size("size", self.size)}


@dataclass(frozen=True)
class ReportGroup:
    """Files for the results."""

    json_path: Json = None
    html: Html = None
