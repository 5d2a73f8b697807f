"""Contract ONNX files: read, complete and write them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trt_mogface._files import whole_file
from trt_mogface._optional import needs
from trt_mogface.errors import ModelError, first_line
from trt_mogface.spec import DELTAS, INPUT, LANDMARKS, METADATA_KEY, SCORES, DetectorSpec

if TYPE_CHECKING:
    import onnx

PRODUCER = "trt-mogface"


def load(path: Path) -> onnx.ModelProto:
    """Read an ONNX file; refuse one that is damaged, or keeps weights in other files.

    Untrusted input must not name other files.
    """
    with needs("build"):
        import onnx
    try:
        model = onnx.load(str(path), load_external_data=False)
        if any(onnx.external_data_helper.uses_external_data(each) for each in model.graph.initializer):
            raise ModelError(f"{path}: keeps its weights in other files; save it as one file")
        onnx.checker.check_model(model)
        for tensor in model.graph.initializer:
            onnx.numpy_helper.to_array(tensor)  # the checker does not compare dimensions with the bytes
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # protobuf's and the checker's errors share no base class
        raise ModelError(f"{path}: not a valid ONNX file ({first_line(error)})") from error
    if not all(isinstance(text, str) for text in _texts(model)):
        raise ModelError(
            f"{path}: not a valid ONNX file (a name or description is not utf-8); export it again"
        )
    return model


def _texts(model: onnx.ModelProto) -> Iterator[object]:
    """Yield the texts of a model; protobuf gives those that are not UTF-8 as bytes."""
    graph = model.graph
    yield from (model.producer_name, model.doc_string, graph.doc_string)
    yield from (each.name for each in (graph, *graph.input, *graph.output, *graph.initializer))
    for node in graph.node:
        yield from (node.name, node.domain, *node.input, *node.output)


def spec_of(model: onnx.ModelProto, name: str | Path = "model") -> DetectorSpec:
    """Return the spec in a model's metadata; ``name`` is the subject of error messages."""
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return DetectorSpec.from_json(entry.value)
    raise ModelError(
        f"{name}: an ONNX file without a detector spec; make a contract file with `trt-mogface export`"
    )


def complete(model: onnx.ModelProto, spec: DetectorSpec) -> None:
    """Give a model the contract's input, outputs and metadata, in place.

    Its tensors have the contract's names and types already; the spec replaces all other metadata.
    """
    from onnx import TensorProto, helper

    planes = spec.input.layout == "nchw-float32"
    kind = TensorProto.FLOAT if planes else TensorProto.UINT8
    sizes: list[str | int | None] = ["N", 3, "H", "W"] if planes else ["N", "H", "W", 3]
    last: dict[str, list[str | int | None]] = {SCORES: [], DELTAS: [4], LANDMARKS: [2 * spec.landmarks]}
    graph = model.graph
    del graph.input[:], graph.output[:], graph.value_info[:], model.metadata_props[:]
    graph.name = spec.name
    graph.input.append(helper.make_tensor_value_info(INPUT, kind, sizes))
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "A", *last[name]])
        for name in spec.outputs
    )
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    model.producer_name, model.producer_version = PRODUCER, ""
    model.doc_string = graph.doc_string = ""


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a contract file, whole or not at all; refuse a model that is not well-formed."""
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{path}: not written, as the model is not valid ({first_line(error)})") from error
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
