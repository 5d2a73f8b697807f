"""Networks that end in faces: the inputs and attributes of the node MogFaceDetect."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from engine_build.lowering import Lowered, Lowering, LoweringOptions
from engine_build.onnx import contract
from engine_build.onnx.end_to_end import append_detection, attributes
from tests.support.onnx_files import default_model
from tests.support.photos import Photo
from tests.support.specs import MOGFACE, small_spec
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.detector import Detector
from trt_mogface.errors import ArgumentError, ModelError
from trt_mogface.models.cards import embedded_file
from trt_mogface.reference.select import select
from trt_mogface.spec import UNLIMITED, BoxCoding, DetectorSpec, Level, Thresholds

MODEL = "retinaface-mnet025"


def lowered(precision: Any = "fp32", **changes: Any) -> Lowered:
    path = embedded_file(MODEL)
    spec = contract.spec_of(contract.load(path), path)
    thresholds = dataclasses.replace(spec.thresholds, **changes)
    return Lowering(LoweringOptions(path, end_to_end=thresholds)).at(precision)


def node_of(model: onnx.ModelProto) -> onnx.NodeProto:
    node: onnx.NodeProto = model.graph.node[-1]
    assert node.op_type == "MogFaceDetect"
    return node


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The node's attributes, read back by onnx."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def spec_of_node(node: onnx.NodeProto, template: DetectorSpec) -> DetectorSpec:
    """A spec from the node's attributes; the rest is that of another."""
    said = attributes_of(node)
    levels = [text.split(":") for text in said["levels"].split(";")]
    return dataclasses.replace(
        template,
        levels=tuple(Level(int(stride), tuple(map(float, sides.split(",")))) for stride, sides in levels),
        coding=BoxCoding(
            said["coding"],
            tuple(said["variances"]),
            float(said["center"]),
            bool(said["inclusive"]),
            bool(said["spread"]),
        ),
        landmarks=said["landmarks"],
        thresholds=Thresholds(
            said["score_threshold"],
            said["iou_threshold"],
            said["top_k"],
            said["max_detections"],
            bool(said["inclusive_areas"]),
            bool(said["clip"]),
        ),
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_the_node_is_given_and_told_makes_the_detectors_faces(precision: str, group: Photo) -> None:
    image = group[:320, :416]
    made = lowered(precision, score_threshold=0.5)
    node = node_of(made.model)
    # The graph up to the node, which ONNX Runtime does not know.
    cut = onnx.ModelProto()
    cut.CopyFrom(made.model)
    del cut.graph.node[-1], cut.graph.output[:]
    cut.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in node.input)
    session = onnxruntime().InferenceSession(cut.SerializeToString(), providers=["CPUExecutionProvider"])
    *network, pixels = session.run(list(node.input), {"images": image[None]})
    assert pixels.shape == (1, *image.shape[:2], 1)
    spec = spec_of_node(node, made.spec)
    faces = select(
        *(value[0] for value in network), spec=spec, size=pixels.shape[1:3], thresholds=spec.thresholds
    )
    with Detector(embedded_file(MODEL), conf=0.5, pad=False) as detect:
        expected = detect(image)
    assert len(faces.scores) == len(expected) > 0
    if precision == "fp32":
        np.testing.assert_allclose(faces.scores, expected.confidence, atol=1e-6)
        np.testing.assert_allclose(faces.boxes, expected.xyxy, atol=1e-3)
    else:
        np.testing.assert_allclose(faces.boxes, expected.xyxy, atol=1)


def test_the_model_is_well_formed_and_has_the_outputs_that_were_promised() -> None:
    made = lowered(max_detections=100)
    onnx.checker.check_model(made.model, full_check=True)
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in made.model.graph.output
    }
    assert shapes == {
        "num_detections": ["N"],
        "boxes": ["N", 100, 4],
        "scores": ["N", 100],
        "landmarks": ["N", 100, 5, 2],
    }
    assert [value.name for value in made.model.graph.input] == ["images"]


def test_the_metadata_has_the_thresholds_of_the_node() -> None:
    made = lowered(score_threshold=0.25, iou_threshold=0.5)
    spec = contract.spec_of(made.model, Path("made.onnx"))
    assert spec == made.spec
    assert (spec.thresholds.score_threshold, spec.thresholds.iou_threshold) == (0.25, 0.5)


def test_a_node_has_no_more_faces_than_candidates() -> None:
    assert attributes_of(node_of(lowered(top_k=10).model))["max_detections"] == 10


@pytest.mark.parametrize(
    "spec",
    [MOGFACE, small_spec("ssd", landmarks=5), small_spec("distance"), small_spec("spread", clip=True)],
)
def test_doubles_survive_in_text(spec: DetectorSpec) -> None:
    odd = dataclasses.replace(
        spec,
        levels=(Level(4, (10.88, 0.1 + 0.2)), Level(12, (1e-3, 65536.0))),
        coding=dataclasses.replace(spec.coding, center=1 / 3),
    )
    node = helper.make_node("MogFaceDetect", [], [], **attributes(odd))
    back = spec_of_node(node, odd)
    assert back.levels == odd.levels
    assert back.coding.center == odd.coding.center
    assert back.landmarks == odd.landmarks
    assert back.thresholds.inclusive_areas == odd.thresholds.inclusive_areas
    assert back.thresholds.clip == odd.thresholds.clip
    assert (back.coding.kind, back.coding.inclusive, back.coding.spread) == (
        odd.coding.kind,
        odd.coding.inclusive,
        odd.coding.spread,
    )


def test_more_candidates_than_the_kernels_take_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"top_k 8193: must be at most 8192"):
        lowered(top_k=8193)


def test_without_a_limit_the_node_takes_the_most_candidates() -> None:
    made = lowered(top_k=UNLIMITED, max_detections=UNLIMITED)
    said = attributes_of(node_of(made.model))
    assert said["top_k"] == said["max_detections"] == 8192
    assert made.spec.thresholds.top_k == 8192


def test_impossible_thresholds_are_refused() -> None:
    with pytest.raises(ModelError, match="thresholds"):
        lowered(score_threshold=1.5)


def test_without_it_the_outputs_stay_those_of_the_contract() -> None:
    model = Lowering(LoweringOptions(embedded_file(MODEL))).at("fp32").model
    assert [value.name for value in model.graph.output] == ["scores", "deltas", "landmarks"]


def test_a_model_of_older_age_is_told_of_the_domain_once() -> None:
    model = default_model()
    spec = contract.spec_of(model, Path("made.onnx"))
    append_detection(model, spec, spec.thresholds)
    assert [each.domain for each in model.opset_import].count("trt-mogface") == 1
