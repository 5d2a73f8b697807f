"""Options that several verbs share, each written once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from trt_mogface._names import split_list
from trt_mogface.errors import ArgumentError
from trt_mogface.models.manifest import is_engine, manifest_path
from trt_mogface.spec import Layout

if TYPE_CHECKING:
    from trt_mogface.reference.passes import Scales

Size = tuple[int, int] | Literal["native"] | None
OWN = "the model's"

UINT8 = "uint8-nhwc"
LAYOUTS: dict[str, Layout] = {UINT8: "nhwc-uint8", "float-nchw": "nchw-float32"}
"""Layouts of the network input by the name of the option."""


class Panel(NamedTuple):
    """Panel of the help text; called with metavar, text and flags, it makes an option."""

    title: str

    def __call__(self, metavar: str, text: str, *flags: str, **settings: Any) -> Any:
        """Return an option for `Annotated`; a flag without a value has the metavar ``""``."""
        return typer.Option(*flags, metavar=metavar, help=text, rich_help_panel=self.title, **settings)


in_model = Panel("Model")
in_detection = Panel("Detection")
in_accuracy = Panel("Calibration and accuracy")
in_hardware = Panel("Hardware")
in_output = Panel("Output")


def completion(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a shell completion for names, or for the last of several names with commas."""

    def complete(incomplete: str) -> list[str]:
        done, comma, last = incomplete.rpartition(",")
        return [f"{done}{comma}{name}" for name in names() if name.startswith(last)]

    return complete


def model_names() -> Iterable[str]:
    """Return the names that a model option takes."""
    from engine_build.models.registry import aliases, cards

    return [*cards(), *aliases()]


def parse_size(argument: str, text: str | None) -> Size:
    """Parse ``native``, ``WxH`` or the side of a square; None stays None, the model's own size."""
    if text is None or text == "native":
        return text  # type: ignore[return-value]
    match = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text)
    if match is None:
        raise ArgumentError(argument, "use native, WIDTHxHEIGHT such as 640x480, or 640 for a square", text)
    return int(match[1]), int(match[2] or match[1])


def parse_layout(text: str) -> Layout:
    """Parse the name of a layout of the network input."""
    if text not in LAYOUTS:
        raise ArgumentError("input", f"unknown layout (choose from {', '.join(LAYOUTS)})", text)
    return LAYOUTS[text]


def parse_providers(text: str | None) -> list[str] | None:
    """Parse names of execution providers, separated by commas; None stays None, the CPU."""
    return None if text is None else split_list(text)


def check_device(device: int | None, model: str | Path, providers: list[str] | None = None) -> None:
    """Refuse the number of a GPU for a model that runs on the CPU, before any work.

    Raises:
        ArgumentError: If `device` is given, and `model` is not an engine and has no `providers`.
    """
    if device is not None and providers is None and not is_engine(model):
        raise ArgumentError("device", f"names a GPU, and {model} runs on the CPU; omit it", device)


def model_files(model: str | Path | None, *more: Path | None) -> list[Path | None]:
    """Return the files that a model option names: it, the manifest of an engine, and `more`."""
    if model is None:
        return [*more]
    return [Path(model), manifest_path(Path(model)), *more]


def calibration_files(calib: str | None) -> list[Path]:
    """Return the images, or the video, that ``--calib`` names."""
    from trt_mogface.images import find_images

    return [] if calib is None else find_images([calib]).paths


def parse_scales(text: str) -> Scales:
    """Parse ``native``, ``full`` or a number of passes."""
    from trt_mogface.backends.options import check_options  # needs OpenCV, unlike some verbs

    scales: Any = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else text
    check_options({"scales": scales})
    return scales  # type: ignore[no-any-return]


named_model = partial(in_model.__call__, autocompletion=completion(model_names))
model_argument = partial(typer.Argument, autocompletion=completion(model_names))
MODEL_HELP = "Model name, contract ONNX file, engine or folder of a cascade."

Model = Annotated[str, named_model("NAME|FILE", MODEL_HELP, "--model", "--engine")]
Weights = Annotated[Path | None, in_model("FILE|DIR", "Trained weights, for a named model without its own.")]
MinFace = Annotated[float | None, in_model("PX", "Drop pyramid levels that detect only smaller faces.")]
INPUT_HELP = "Type and layout of the network input; DeepStream's nvinfer needs float-nchw."
InputLayout = Annotated[
    str,
    in_model("|".join(LAYOUTS), INPUT_HELP, "--input", autocompletion=completion(lambda: LAYOUTS)),
]
SIZE_HELP = "Network input: native is each image's own size, WxH one to scale into, N a square."
NetworkSize = Annotated[str | None, in_detection("native|WxH|N", SIZE_HELP, "--size", show_default=OWN)]
SCALES_HELP = "Passes: native is one, full adds reduced copies for large faces, N is their number."
NumberOfScales = Annotated[str, in_detection("native|full|N", SCALES_HELP, "--scales")]
Threads = Annotated[
    int | None, in_hardware("N", "CPU threads of the network.", min=1, show_default="all cores")
]
Device = Annotated[int | None, in_hardware("N", "GPU that runs an engine.", min=0, show_default="0")]
PROVIDERS_HELP = "ONNX Runtime's execution providers, such as CUDAExecutionProvider; best first."
Providers = Annotated[str | None, in_hardware("LIST", PROVIDERS_HELP, show_default="the CPU")]
Json = Annotated[Path | None, in_output("FILE|-", "Write the results as JSON; - is stdout.", "--json")]
JsonLines = Annotated[
    Path | None, in_output("FILE|-", "The same as JSON Lines, a line for each image.", "--jsonl")
]
RESUME_HELP = "Continue: skip the images that the results have already."
Html = Annotated[Path | None, in_output("FILE", "Write a page with plots.")]
Calib = Annotated[str | None, in_accuracy("IMAGES", "Calibrate and compare on a folder, pattern or video.")]
CalibCache = Annotated[
    Path | None, in_accuracy("FILE", "Calibration: written with --calib, read without it.")
]

Force = Annotated[
    bool, in_accuracy("", "Go on where a check of the calibration file or of accuracy fails.", "--force")
]


@dataclass(frozen=True)
class DetectionGroup:
    """How faces are detected and selected."""

    conf: Annotated[float | None, in_detection("0..1", "Score threshold.", show_default=OWN)] = None
    iou: Annotated[float | None, in_detection("0..1", "IoU threshold.", show_default=OWN)] = None
    size: NetworkSize = None
    scales: NumberOfScales = "full"

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a `Detector`."""
        size, scales = parse_size("size", self.size), parse_scales(self.scales)
        return {"conf": self.conf, "iou": self.iou, "size": size, "scales": scales}


@dataclass(frozen=True)
class ReportGroup:
    """Files for the results."""

    json_path: Json = None
    html: Html = None
