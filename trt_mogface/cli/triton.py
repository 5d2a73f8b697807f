"""``trt-mogface triton``: a model repository for a Triton server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from trt_mogface.cli import options, output
from trt_mogface.cli.groups import with_groups
from trt_mogface.cli.options import DetectionGroup, Panel, in_output
from trt_mogface.errors import ArgumentError

in_serving = Panel("Serving")
VERSION_HELP = "Number of the version."


@with_groups
def triton(
    model: Annotated[
        str, options.model_argument(metavar="MODEL", help="Engine, contract ONNX file or model name.")
    ],
    *,
    weights: options.Weights = None,
    min_face: options.MinFace = None,
    detection: DetectionGroup,
    name: Annotated[str | None, in_serving("NAME", "Name on the server.", show_default=options.OWN)] = None,
    version: Annotated[int | None, in_serving("N", VERSION_HELP, min=1, show_default="the next")] = None,
    batch: Annotated[int, in_serving("N", "Largest batch of the network.", min=1)] = 8,
    max_delay_ms: Annotated[float, in_serving("MS", "Longest wait of a request for others.", min=0.0)] = 2.0,
    instances: Annotated[int, in_serving("N", "Instances on each device.", min=1)] = 1,
    queue: Annotated[int, in_serving("N", "Waiting requests; Triton rejects more.", min=1)] = 64,
    cache: Annotated[bool, in_serving("", "Answer repeated images from Triton's cache.", "--cache")] = False,
    warmup: Annotated[
        str | None, in_serving("WxH", "Run an image of this size before the model is ready.")
    ] = None,
    target: Annotated[
        Path, in_output("DIR", "Model repository; other models and versions stay.", "--output", "-o")
    ],
) -> None:
    """Write a model into a Triton model repository, as a new version.

    An engine that ends in faces is run by Triton itself; any other model by a Python model.
    """
    from engine_build.triton import TritonOptions, write_model

    detector: Any = {**detection.arguments(), "weights": weights, "min_face": min_face}
    size = options.parse_size("warmup", warmup)
    if size == "native":
        raise ArgumentError("warmup", "use WIDTHxHEIGHT such as 640x480", warmup)
    served = TritonOptions(name, version, batch, max_delay_ms, instances, queue, cache, size, detector)
    with output.err.status(f"writing {model}"), output.created(target):
        written = write_model(target, model, served)
    output.say(f"{written.folder / str(written.version)}", output.out)
    start = f"tritonserver --model-repository={target} {written.option}".rstrip()
    output.say(f"start Triton with: {start}")
