"""Descriptions of layers as the releases of TensorRT print them, each read right."""

from __future__ import annotations

import logging

import pytest

from engine_build.tensorrt.engine_layers import check_computes_in, data_type, layers_in
from tests.support.specs import one_line
from trt_mogface.errors import EngineError
from trt_mogface.models.manifest import UNVERIFIED, Layer

NO_SHAPES = "N/A due to dynamic shapes"

FORMS: dict[str | None, list[str]] = {
    # TensorRT 8.6 to 10 with fixed shapes: order, vectors, type and strides.
    "fp32": [
        "Row major linear FP32",
        "Row major linear FP32 format",
        "Channel major FP32 format",
        "Channel major FP32 format where channel % 4 == 0",
        "Four wide channel vectorized row major FP32 format",
        "Thirty-two wide channel vectorized row major FP32 format",
        "Float",  # TensorRT 10 and later, and TensorRT-RTX
    ],
    "fp16": [
        "Row major linear FP16 format",
        "Row major FP16 format where column stride % 64 == 0",
        "Channel major FP16 format",
        "Channel major FP16 format where channel % 2 == 0",
        "Channel major FP16 format where channel % 4 == 0",
        "Channel major FP16 format where channel % 8 == 0",
        "Channel major FP16 format where channel % 16 == 0",
        "Channel major FP16 format where channel % 8 == 0 with 3 spatial dimensions",
        "Channel major FP16 format where channel == 1 and column stride % 32 == 0",
        "Channel major FP16 format where channel == 4 and column stride % 32 == 0",
        "Channel major FP16 format where C % 8 == 0 and H Stride % 32 == 0",
        "Two wide channel vectorized row major FP16 format",
        "Sixteen wide channel vectorized row major FP16 format",
        "Thirty-two wide channel vectorized row major FP16 format",
        "Thirty-two wide channel vectorized row major FP16 format with 3 spatial dimensions",
        "Half",
    ],
    "bf16": [
        "Row major linear BF16 format",
        "Channel major BF16 format where channel % 8 == 0",
        "BFloat16",
        "BF16",
        "Bf16",
    ],
    "int8": [
        "Row major Int8 format",
        "Row major linear Int8 format",
        "Row major INT8 format where column stride % 64 == 0",
        "Channel major Int8 format",
        "Channel major Int8 format where channel % 4 == 0",
        "Channel major INT8 format where column stride % 32 == 0",
        "Channel major INT8 format where channel == 4 and column stride % 32 == 0",
        "Four wide channel vectorized row major Int8 format",
        "Thirty-two wide channel vectorized row major Int8 format",
        "Thirty-two wide channel vectorized row major Int8 format.",
        "Thirty-two wide channel vectorized row major Int8 format with 3 spatial dimensions",
        "Int8",
    ],
    "fp8": ["Row major linear FP8 format", "Channel major FP8 format where channel % 16 == 0", "FP8", "Fp8"],
    "uint8": ["Row major linear UInt8 format", "UInt8"],
    "int32": ["Row major linear INT32", "Row major linear Int32", "Row major linear INT32 format", "Int32"],
    "int64": ["Row major linear Int64 format", "Int64"],
    "bool": ["Row major linear BOOL", "Row major linear Bool", "Bool"],
    "int4": ["Int4"],
    "fp4": ["FP4"],
    None: [NO_SHAPES, "Unknown format", "N/A", "", "Complex64", "Half or Float"],
}
"""Descriptions by type: TensorRT's headers, its engine explorer, logs of 8.6 to 10, and TensorRT-RTX 1.7."""

CASES = [(kind, form) for kind, forms in FORMS.items() for form in forms]


@pytest.mark.parametrize(("kind", "form"), CASES)
def test_every_form_is_read_alone_and_in_a_layer(kind: str | None, form: str) -> None:
    assert data_type(form) == kind
    tensor = f"Name: a, Location: Device, Dimensions: [1,3,64,64], Format/Datatype: {form}"
    other = "Name: b, Location: Device, Dimensions: [1,8], Format/Datatype: Row major linear Int64 format"
    both = f"Inputs: [ {{ {tensor} }}, {{ {other} }}], Outputs: [ {{ {other} }}]"
    line = f"Name: c, LayerType: CaskPooling, {both}, ParameterType: Pooling, TacticValue: 0x1"
    assert layers_in(f"Layers:\n{line}\n\nBindings:\na") == [Layer("c", "CaskPooling", kind or UNVERIFIED)]


def test_lines_of_the_releases() -> None:
    """TensorRT 8.6 and 10 name format and type together, TensorRT-RTX 1.7 apart and with constants."""
    message = """Layers:
Name: Reformatting CopyNode for Input Tensor 0 to conv, LayerType: Reformat, Inputs: [ { Name: images, Location: Device, Dimensions: [1,3,640,960], Format/Datatype: Row major linear FP32 }], Outputs: [ { Name: x, Location: Device, Dimensions: [1,3,640,960], Format/Datatype: Row major Int8 format }], ParameterType: Reformat, Origin: QDQ, TacticValue: 0x00000000000003ea
Name: a + b, LayerType: CaskConvolution, Inputs: [ { Name: x, Location: Device, Dimensions: [4,64,56,56], Format/Datatype: Thirty-two wide channel vectorized row major Int8 format }], Outputs: [ { Name: y, Location: Device, Dimensions: [4,64,56,56], Format/Datatype: Thirty-two wide channel vectorized row major Int8 format }]
Name: d, LayerType: Reformat, Inputs: [ { Name: x, Location: Device, Dimensions: [-1,25088], Format/Datatype: N/A due to dynamic shapes }], Outputs: [ { Name: y, Location: Device, Dimensions: [-1,128,14,14], Format/Datatype: Half }], TacticValue: 0x0
Name: e, LayerType: CaskConvolution, Inputs: [ { Name: x, Location: Device, Dimensions: [-1,64,-1,-1], Format/Datatype: N/A due to dynamic shapes }], Outputs: [ { Name: y, Location: Device, Dimensions: [-1,64,-1,-1], Format/Datatype: N/A due to dynamic shapes }], ParameterType: Convolution, Weights: {"Type": "Half", "Count": 9408}, Bias: {"Type": "Float", "Count": 64}
Name: s, LayerType: shape_call, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0, Metadata:
Name: k, LayerType: kgen, Inputs: [ { Name: images, Dimensions: [-1,-1,-1,3], Strides: [-1,-1,3,1], StrideOrder: [3,2,1,0], Datatype: UInt8, Format: (Linear) Row major linear format }], Constants: [ { Name: z, Dimensions: [1,3,1,1], Datatype: Float, Format: (NHWC) Channel major format }], Outputs: [ { Name: y, Dimensions: [-1,4,-1,-1], Datatype: Half, Format: (NHWC) Channel major format }], TacticName: t, StreamId: 0
"""  # noqa: E501 -- TensorRT's own lines
    found = {layer.name[:13]: layer.type for layer in layers_in(message)}
    assert found == {
        "Reformatting ": "fp32",
        "a + b": "int8",
        "d": UNVERIFIED,
        "e": "fp16",  # by its weights
        "s": "",  # reads nothing
        "k": "uint8",
    }


def layers(*types: str) -> list[Layer]:
    return [Layer(f"layer{i}", "kgen", kind) for i, kind in enumerate(types)]


def test_only_a_known_wrong_type_refuses(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "trt_mogface"):
        check_computes_in([], "int8")
        check_computes_in(layers("", ""), "int8")
        check_computes_in(layers("uint8", "int8", "fp16"), "int8")
        check_computes_in(layers("uint8", "int8", UNVERIFIED), "int8")
        with pytest.raises(EngineError, match=r"int8 was requested, but .* compute in fp16, uint8") as caught:
            check_computes_in(layers("uint8", "fp16", ""), "int8")
        one_line(caught.value)
        assert not caplog.messages
        check_computes_in(layers("int32", UNVERIFIED, UNVERIFIED, ""), "int8")
    (message,) = caplog.messages
    assert message.startswith("int8 is unverified: TensorRT does not describe the types of 2 of 4 layers")
