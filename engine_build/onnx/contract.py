"""Reading, completing and writing contract ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trt_mogface._files import whole_file
from trt_mogface._optional import require
from trt_mogface.errors import ModelError, first_line
from trt_mogface.spec import DELTAS, INPUT, LANDMARKS, METADATA_KEY, SCORES, DetectorSpec

if TYPE_CHECKING:
    import onnx

PRODUCER = "trt-mogface"


def load(path: Path) -> onnx.ModelProto:
    """An ONNX file's model, checked to be well-formed.

    Raises:
        ModelError: Missing, damaged, or with weights in other files, which untrusted input may not name.
        MissingExtraError: onnx is not installed.
    """
    require("onnx", extra="build")
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # protobuf's and the checker's errors share no base class
        raise ModelError(f"{path}: not a valid ONNX file: {first_line(error)}") from error
    return model


def spec_of(model: onnx.ModelProto, path: Path) -> DetectorSpec:
    """The spec in a model's metadata.

    Raises:
        ModelError: There is none, or it cannot be read.
    """
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return DetectorSpec.from_json(entry.value)
    raise ModelError(
        f"{path}: an ONNX file, but without a detector spec: make a contract file with `trt-mogface export`"
    )


def complete(model: onnx.ModelProto, spec: DetectorSpec) -> None:
    """Give a model the contract's input, outputs and spec, in place.

    Args:
        model: Its tensors already bear the contract's names and types.
        spec: Written into the metadata, over any other.
    """
    from onnx import TensorProto, helper

    outputs: dict[str, list[str | int | None]] = {SCORES: ["N", "A"], DELTAS: ["N", "A", 4]}
    if spec.landmarks:
        outputs[LANDMARKS] = ["N", "A", 2 * spec.landmarks]
    graph = model.graph
    del graph.input[:], graph.output[:], graph.value_info[:], model.metadata_props[:]
    graph.name = spec.name
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", "H", "W", 3]))
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()
    )
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    model.producer_name = PRODUCER
    model.producer_version = ""
    model.doc_string = graph.doc_string = ""


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a contract file, whole or not at all.

    Raises:
        OutputError: The place cannot be written.
        ModelError: The model is not well-formed; nothing is written.
    """
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(
            f"{path}: not written, the model is not valid: {str(error).splitlines()[0]}"
        ) from error
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
