"""Other people's ONNX files as contract models, against what the files compute themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine_build.models.adapted import adapted, families
from engine_build.models.one_stage import OneStage
from engine_build.models.registry import recipes
from engine_build.onnx import contract
from tests.support import foreign_files as files
from tests.support.photos import Photo
from tests.support.published_outputs import DECODERS
from trt_mogface.backends.onnxruntime import session
from trt_mogface.errors import DownloadError, ModelError
from trt_mogface.reference.anchors import anchors
from trt_mogface.reference.decode import decode_boxes, decode_landmarks
from trt_mogface.spec import INPUT

Images = NDArray[np.uint8]
Models = Callable[[str], onnx.ModelProto]
Plain = Callable[[str], list[NDArray[Any]]]

FIXED = {
    "ulfd_version-RFB-320.onnx": (1, 240, 320),
    "ulfd_version-RFB-640.onnx": (1, 480, 640),
    "scrfd_500m_kps.onnx": (1, 640, 640),
    "centerface.onnx": (10, 32, 32),
}
"""Batch, height and width of files of one size."""

SIZES = ((1, 480, 640), (2, 96, 160), (3, 32, 32))
FILES = (*FIXED, "yunet_n_dynamic.onnx", "yunet_s_dynamic.onnx", "retinaface.onnx")
FAMILY = {name: name.split("_")[0].removesuffix(".onnx") for name in FILES}
SMALL = {
    "ulfd": "ulfd_version-RFB-320.onnx",
    "scrfd": "scrfd_500m_kps.onnx",
    "yunet": "yunet_s_dynamic.onnx",
    "centerface": "centerface.onnx",
    "retinaface": "retinaface.onnx",
}
"""A small file of each family."""


@pytest.fixture(scope="module")
def read(request: pytest.FixtureRequest) -> Models:
    """A function from a name in `FILES` to a fresh model."""

    def load(name: str) -> onnx.ModelProto:
        if name == "retinaface.onnx":
            return onnx.load_from_string(pytest.importorskip("retinaface.weights").WEIGHTS)
        if name == "centerface.onnx":
            weights = recipes()["centerface"].weights
            assert weights is not None
            try:
                return onnx.load(str(weights()))
            except DownloadError as error:
                pytest.skip(str(error))
        return onnx.load(str(request.getfixturevalue("test_data") / "weights" / name))

    return load


def photos(photo: Photo, size: tuple[int, int, int]) -> Images:
    """Different parts of a photo."""
    batch, height, width = size
    parts = [photo[10 * i :, 25 * i :] for i in range(batch)]
    return np.stack([cv2.resize(part, (width, height)).astype(np.uint8) for part in parts])


def planes(images: Images, family: OneStage) -> NDArray[np.float32]:
    ordered = images[..., ::-1] if family.rgb else images
    values = (ordered - np.array(family.mean, np.float32)) / np.array(family.std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)


def adapt(model: onnx.ModelProto, family: str, path: Path) -> onnx.ModelProto:
    onnx.save(model, str(path))
    made = adapted(path, family)
    contract.save(made, path.with_suffix(".made.onnx"))  # which checks it
    return made


def outputs(model: onnx.ModelProto, images: Images) -> list[NDArray[Any]]:
    return list(session(model.SerializeToString()).run(None, {INPUT: images}))


@pytest.mark.parametrize("name", FILES)
def test_faces_are_those_of_the_file(name: str, read: Models, group: Photo, tmp_path: Path) -> None:
    family = families()[FAMILY[name]]
    made = adapt(read(name), FAMILY[name], tmp_path / name)
    theirs, ours = session(read(name).SerializeToString()), session(made.SerializeToString())
    spec = contract.spec_of(made)
    for size in (FIXED[name],) if name in FIXED else SIZES:
        images = photos(group, size)
        given = {files.image(read(name)).name: planes(images, family)}
        found = dict(zip([each.name for each in theirs.get_outputs()], theirs.run(None, given)))
        scores, boxes, points = DECODERS[FAMILY[name]](found, *size[1:])
        our_scores, deltas, *landmarks = ours.run(None, {INPUT: images})
        every = anchors(spec, *size[1:])
        np.testing.assert_allclose(our_scores, scores, rtol=0, atol=1e-5)
        for i in range(size[0]):
            likely = scores[i] > 0.02
            decoded = decode_boxes(deltas[i], every, spec.coding)
            np.testing.assert_allclose(decoded[likely], boxes[i][likely], rtol=0, atol=0.01)
            if points is not None:
                decoded = decode_landmarks(landmarks[0][i], every, spec.coding)
                np.testing.assert_allclose(decoded[likely], points[i][likely], rtol=0, atol=0.01)
        assert size[1] < 96 or (scores > 0.3).any()


@pytest.mark.parametrize("family", SMALL)
def test_every_size_and_batch_runs(family: str, read: Models, group: Photo, tmp_path: Path) -> None:
    made = adapt(read(SMALL[family]), family, tmp_path / "file.onnx")
    running = session(made.SerializeToString())
    for size in ((2, 205, 333), (1, 1, 1), (3, 33, 64)):
        images = photos(group, size)
        together = running.run(None, {INPUT: images})
        assert together[0].shape == (size[0], len(anchors(contract.spec_of(made), *size[1:])))
        for values, alone in zip(together, running.run(None, {INPUT: images[-1:]})):
            np.testing.assert_allclose(values[-1:], alone, rtol=0, atol=1e-4)


def test_a_file_equals_its_checkpoint(test_data: Path) -> None:
    """Of ULFD RFB both are published; the file is of 640x480 pixels."""
    pytest.importorskip("torch")
    build = recipes()["ulfd-rfb"].build
    made = [build(test_data / "weights" / f"ulfd_version-RFB-640.{kind}") for kind in ("onnx", "pth")]
    images = np.random.default_rng(0).integers(0, 256, (2, 210, 333, 3), np.uint8)
    for found, expected in zip(*(outputs(each, images) for each in made), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=4e-6)


def normalized(family: str, divisor: float = 1, **kinds: bool) -> files.Variant:
    known = families()[family]
    return files.normalizing(known.mean, known.std, divisor, **kinds)


VARIANTS: dict[str, Callable[[str], files.Variant]] = {
    "outputs called by numbers": lambda _: files.outputs_numbered,
    "input called as another's": lambda _: files.input_called("x:0"),
    "the contract's names": lambda _: files.contract_names,
    "weights listed as inputs": lambda _: files.weights_as_inputs,
    "weights in Constant nodes": lambda _: files.weights_in_constants,
    "identities": lambda _: files.identities,
    "channels last": lambda _: files.channels_last,
    "normalization of pixels": normalized,
    "normalization of 0..1": lambda family: normalized(family, 255),
    "channels in reverse order": lambda family: normalized(family, swapped=True),
    "bytes": lambda family: normalized(family, byte=True),
    "a convolution of colors": lambda family: files.color_convolution(
        families()[family].mean, families()[family].std
    ),
    "outputs turned": lambda _: files.turned,
    "outputs in reverse order": lambda _: files.outputs_reversed,
    "only maps": lambda _: files.only_maps,
    "biases apart": lambda _: files.biases_apart,
    "scaled heads": lambda _: files.scaled_heads,
    "double": lambda _: files.in_type(TensorProto.DOUBLE),
    "opset 12": lambda _: files.in_opset(12),
    "opset 18": lambda _: files.in_opset(18),
    "opset 22": lambda _: files.in_opset(22),
}
OTHERS = {
    ("yunet", "batch of 4"): files.sized(4, 3, 96, 160),
    ("yunet", "640x640"): files.sized(1, 3, 640, 640),
    ("retinaface", "batch of 4"): files.sized(4, 3, 64, 96),
    ("retinaface", "opset 9"): files.upsampling_in_opset_9,
    ("scrfd", "320x320"): files.sized(1, 3, 320, 320),
    ("scrfd", "any size"): files.sized("n", 3, "h", "w"),
    ("scrfd", "opset 9"): files.upsampling_in_opset_9,
    ("scrfd", "scaled heads"): files.scaled_heads,
    ("scrfd", "the contract's names"): files.contract_names,
    ("ulfd", "opset 7"): files.in_opset(7),
    ("ulfd", "version 3 of the format"): files.in_format_3,
    ("ulfd", "channels in reverse order"): normalized("ulfd", swapped=True),
    ("centerface", "any size"): files.sized("n", 3, "h", "w"),
    ("centerface", "scaled heads"): files.scaled_heads,
}
CASES = OTHERS | {("retinaface", name): make("retinaface") for name, make in VARIANTS.items()}


@pytest.fixture(scope="module")
def plain(read: Models, group: Photo, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """A function that returns the outputs of the adapted file of a family as it is published."""

    @cache
    def run(family: str) -> list[NDArray[Any]]:
        path = tmp_path_factory.mktemp("plain") / "file.onnx"
        return outputs(adapt(read(SMALL[family]), family, path), photos(group, (2, 97, 131)))

    return run


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_variants_give_the_same_model(
    case: tuple[str, str], read: Models, plain: Plain, group: Photo, tmp_path: Path
) -> None:
    family, expected = case[0], plain(case[0])
    made = adapt(CASES[case](read(SMALL[family])), family, tmp_path / "file.onnx")
    for values, wanted in zip(outputs(made, photos(group, (2, 97, 131))), expected, strict=True):
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-4)


def test_landmarks_may_be_left_out(read: Models, plain: Plain, group: Photo, tmp_path: Path) -> None:
    made = adapt(files.without_landmarks(read(SMALL["scrfd"])), "scrfd", tmp_path / "file.onnx")
    assert contract.spec_of(made).landmarks == 0
    for values, wanted in zip(outputs(made, photos(group, (2, 97, 131))), plain("scrfd")[:2], strict=True):
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["yunet", "ulfd"])
def test_half_precision_becomes_single(
    family: str, read: Models, plain: Plain, group: Photo, tmp_path: Path
) -> None:
    made = adapt(files.in_type(TensorProto.FLOAT16)(read(SMALL[family])), family, tmp_path / "half.onnx")
    assert all(each.data_type != TensorProto.FLOAT16 for each in made.graph.initializer)
    for values, wanted in zip(outputs(made, photos(group, (2, 97, 131))), plain(family), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=0, atol=0.05)


def with_operator(kind: str, domain: str) -> files.Variant:
    """Put an operator behind the first output."""

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        made = files.copied(model)
        first = made.graph.output[0].name
        made.graph.node.append(helper.make_node(kind, [first], ["more"], domain=domain))
        made.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [None]))
        made.opset_import.append(helper.make_opsetid(domain, 1))
        return made

    return change


def with_suppression(model: onnx.ModelProto) -> onnx.ModelProto:
    made = files.copied(model)
    made.graph.initializer.append(numpy_helper.from_array(np.array([100]), "most"))
    nodes = [
        helper.make_node("Transpose", ["conf"], ["by_class"], perm=[0, 2, 1]),
        helper.make_node("NonMaxSuppression", ["loc", "by_class", "most"], ["kept"]),
    ]
    made.graph.node.extend(nodes)
    made.graph.output.append(helper.make_tensor_value_info("kept", TensorProto.INT64, [None, 3]))
    return made


def with_second_input(model: onnx.ModelProto) -> onnx.ModelProto:
    made = files.copied(model)
    made.graph.input.append(helper.make_tensor_value_info("im_info", TensorProto.FLOAT, [1, 3]))
    return made


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    stored = {"step": np.float32(1), "zero": np.uint8(0)}
    return files.preceded(
        lambda new, old: [
            helper.make_node("QuantizeLinear", [new, "step", "zero"], ["integer"]),
            helper.make_node("DequantizeLinear", ["integer", "step", "zero"], [old]),
        ],
        {name: np.asarray(value) for name, value in stored.items()},
    )(model)


def faces_and_background_exchanged(model: onnx.ModelProto) -> onnx.ModelProto:
    made = files.copied(model)
    made.graph.initializer.append(numpy_helper.from_array(np.array([1, 0]), "exchanged"))
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Softmax":
            nodes.append(helper.make_node("Gather", [node.input[0], "exchanged"], ["logits"], axis=2))
            node.input[0] = "logits"
        nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def preparing_otherwise(model: onnx.ModelProto) -> onnx.ModelProto:
    return files.normalizing((10, 20, 30), (40, 50, 60))(model)


def of_a_fixed_length(model: onnx.ModelProto) -> onnx.ModelProto:
    """Multiply each cell of a map by a factor of its own."""
    made = files.sized(1, 3, 64, 96)(model)
    activation = next(node for node in made.graph.node if node.op_type == "LeakyRelu")
    output = activation.output[0]
    activation.output[0] = "before"
    made.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 32, 48), np.float32), "factors"))
    at = list(made.graph.node).index(activation) + 1
    made.graph.node.insert(at, helper.make_node("Mul", ["before", "factors"], [output]))
    return made


REFUSED: dict[str, tuple[files.Variant, str]] = {
    "custom": (with_operator("Fancy", "com.example"), "has custom operators (com.example.Fancy)"),
    "plugin": (with_operator("EfficientNMS_TRT", "TRT"), "has EfficientNMS_TRT inside"),
    "suppression": (with_suppression, "has NonMaxSuppression inside"),
    "two inputs": (with_second_input, "must have one input, the image, not input, im_info"),
    "integers": (quantized, "quantized to integers (QuantizeLinear)"),
    "classes": (faces_and_background_exchanged, "its scores are not those of retinaface"),
    "preparation": (preparing_otherwise, "prepares the image in a way that is not this family's"),
    "fixed length": (of_a_fixed_length, "cannot be freed of its size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_cannot_be_adapted_are_refused(name: str, read: Models, tmp_path: Path) -> None:
    change, problem = REFUSED[name]
    onnx.save(change(read("retinaface.onnx")), str(tmp_path / "file.onnx"))
    with pytest.raises(ModelError) as refusal:
        adapted(tmp_path / "file.onnx", "retinaface")
    assert str(refusal.value).startswith(f"{tmp_path / 'file.onnx'}: {problem}")


def test_other_anchors_are_seen_in_decoded_boxes(read: Models, tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    onnx.save(read(SMALL["ulfd"]), str(path))
    family = families()["ulfd"]
    levels = tuple(dataclasses.replace(each, sides=each.sides[::-1]) for each in family.spec.levels)
    with pytest.raises(ModelError, match="boxes in its output boxes are not those of ulfd"):
        family.from_onnx(path, dataclasses.replace(family.spec, levels=levels))


@pytest.mark.parametrize("family", ["scrfd", "centerface"])
def test_a_file_of_another_family_is_named_as_what_it_is(family: str, read: Models, tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    onnx.save(read(SMALL["ulfd"]), str(path))
    with pytest.raises(ModelError, match=f"not a model of {family}, but of ulfd"):
        adapted(path, family)


def test_weights_of_another_family_are_named_as_what_they_are(read: Models, tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    onnx.save(read("retinaface.onnx"), str(path))
    with pytest.raises(ModelError, match="not a model of ulfd-rfb, but of retinaface"):
        recipes()["ulfd-rfb"].build(path)


def decoded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace ULFD's boxes, corners from 0 to 1, by the corner and the sides in pixels of 320x240 images."""
    made = files.renamed(model, {"boxes": "corners"})
    stored = {
        "pixels": np.array([320, 240], np.float32),
        "low": np.array([0, 1]),
        "high": np.array([2, 3]),
    }
    made.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in stored.items())
    made.graph.node.extend(
        [
            helper.make_node("Gather", ["corners", "low"], ["lows"], axis=2),
            helper.make_node("Gather", ["corners", "high"], ["highs"], axis=2),
            helper.make_node("Sub", ["highs", "lows"], ["sides"]),
            helper.make_node("Mul", ["lows", "pixels"], ["low_pixels"]),
            helper.make_node("Mul", ["sides", "pixels"], ["side_pixels"]),
            helper.make_node("Concat", ["low_pixels", "side_pixels"], ["boxes"], axis=2),
        ]
    )
    made.graph.output[1].name = "boxes"
    return made


def test_boxes_may_be_decoded_in_other_forms(
    read: Models, plain: Plain, group: Photo, tmp_path: Path
) -> None:
    made = adapt(decoded(read(SMALL["ulfd"])), "ulfd", tmp_path / "file.onnx")
    for values, wanted in zip(outputs(made, photos(group, (2, 97, 131))), plain("ulfd"), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-5)


def squashed(kind: str) -> files.Variant:
    """Put a function behind the boxes that the family does not have."""

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        made = files.renamed(model, {"bbox_8": "raw_8"})
        made.graph.node.append(helper.make_node(kind, ["raw_8"], ["bbox_8"]))
        for value in made.graph.output:
            value.name = "bbox_8" if value.name == "raw_8" else value.name
        return made

    return change


@pytest.mark.parametrize("kind", ["Exp", "Relu"])
@pytest.mark.parametrize("turn", [files.copied, files.turned], ids=["rows", "columns"])
def test_a_function_behind_the_boxes_is_seen(
    kind: str, turn: files.Variant, read: Models, tmp_path: Path
) -> None:
    path = tmp_path / "file.onnx"
    onnx.save(turn(files.sized(1, 3, 96, 160)(squashed(kind)(read(SMALL["yunet"])))), str(path))
    with pytest.raises(ModelError, match="boxes in its output bbox_8 are not those of yunet"):
        adapted(path, "yunet")


def with_function(model: onnx.ModelProto) -> onnx.ModelProto:
    """Call a function of the file's own for one activation."""
    made = files.copied(model)
    body = [helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.1)]
    opsets = list(made.opset_import)
    made.functions.append(helper.make_function("own", "Activate", ["x"], ["y"], body, opsets))
    made.opset_import.append(helper.make_opsetid("own", 1))
    node = next(each for each in made.graph.node if each.op_type == "LeakyRelu")
    assert node.attribute[0].f == pytest.approx(0.1)
    node.CopyFrom(helper.make_node("Activate", node.input, node.output, domain="own"))
    return made


def test_functions_are_inlined(read: Models, plain: Plain, group: Photo, tmp_path: Path) -> None:
    made = adapt(with_function(read("retinaface.onnx")), "retinaface", tmp_path / "file.onnx")
    for values, wanted in zip(outputs(made, photos(group, (2, 97, 131))), plain("retinaface"), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-5)
