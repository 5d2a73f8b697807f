"""SCRFD, TinyMog and DamoFD against the published backbones and head, and a public file."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engine_build.models.scrfd import FAMILY
from engine_build.onnx import contract
from trt_mogface import Detector
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.frame import Image
from trt_mogface.reference.resize import Placement, paint, place_letterbox

torch = pytest.importorskip("torch", reason="the networks need torch")

from engine_build.models.scrfd.networks import NETWORKS  # noqa: E402
from tests.support.made_weights import made_weights  # noqa: E402
from tests.support.published_scrfd import published, published_faces, published_head  # noqa: E402

STRUCTURES = {
    "damofd-0.5g": (
        "SuperConvK3BNRELU(3,32,2,1)SuperResIDWE1K3(32,32,2,8,1)SuperResIDWE1K7(32,64,2,40,1)"
        "SuperResIDWE1K7(64,120,2,40,2)SuperResIDWE1K5(120,160,2,120,1)"
    ),
    "damofd-2.5g": (
        "SuperConvK3BNRELU(3,24,2,2)SuperResK3K3(24,32,2,24,4)SuperResK3K3(32,56,2,16,4)"
        "SuperResK5K5(56,88,2,8,5)SuperResK1K5K1(88,128,2,8,4)"
    ),
    "damofd-10g": (
        "SuperConvK3BNRELU(3,56,2,2)SuperResK1K3K1(56,80,2,40,5)SuperResK1K5K1(80,112,2,32,5)"
        "SuperResK1K3K1(112,168,2,16,4)SuperResK7K7(168,256,2,8,1)"
    ),
    "damofd-34g": (
        "SuperConvK3BNRELU(3,56,2,2)SuperResK1K3K1(56,224,2,80,5)SuperResK1K3K1(224,488,2,40,6)"
        "SuperResK1K3K1(488,624,2,72,4)SuperResK1K7K1(624,816,2,24,3)"
    ),
}
MOBILE = {
    "in_channels": 16,
    "feat_channels": 64,
    "stacked_convs": 2,
    "dw_conv": True,
    "strides_share": False,
    "norm_cfg": {"type": "BN"},
    "scale_mode": 0,
}
HEADS: dict[str, dict[str, Any]] = {
    "damofd-0.5g": {"in_channels": 16, "feat_channels": 64, "stacked_convs": 2, "dw_conv": True},
    "damofd-2.5g": {"in_channels": 24, "feat_channels": 64, "stacked_convs": 2},
    "damofd-10g": {"in_channels": 56, "feat_channels": 80, "stacked_convs": 3},
    "damofd-34g": {"in_channels": 128, "feat_channels": 256, "stacked_convs": 2},
    "scrfd-2.5g": {"in_channels": 24, "feat_channels": 64, "stacked_convs": 2},
    "scrfd-10g": {"in_channels": 56, "feat_channels": 80, "stacked_convs": 3},
    "scrfd-500m": MOBILE,
    "tinymog": MOBILE,
}
MILLIONS = {
    "damofd-0.5g": 0.27,
    "damofd-2.5g": 0.45,
    "damofd-10g": 1.28,
    "damofd-34g": 6.29,
    "scrfd-500m": 0.63,
}
"""Published numbers of parameters."""


def network(name: str) -> Any:
    ours = NETWORKS[name]().eval()
    ours.load_state_dict(made_weights(ours), strict=False)
    return ours


def planes(batch: int = 2, height: int = 97, width: int = 131) -> Any:
    return torch.from_numpy(
        np.random.default_rng(0).normal(size=(batch, 3, height, width)).astype(np.float32)
    )


@pytest.mark.parametrize("name", STRUCTURES)
def test_searched_backbones_equal_the_published_ones(name: str) -> None:
    ours = network(name).backbone
    theirs = published("backbones.master_net").MasterNet(plainnet_struct=STRUCTURES[name]).eval()
    theirs.load_state_dict(ours.state_dict())
    x = planes()
    with torch.no_grad():
        found, expected = ours(x), x
        for block, feature in zip(theirs.block_list, found):
            expected = block(expected)
            assert torch.equal(feature, expected)


def test_the_mobile_backbone_equals_the_published_one() -> None:
    ours = network("tinymog").backbone
    stages = {"stage_planes": [16, 16, 40, 72, 152, 288], "stage_blocks": [2, 3, 2, 6]}
    theirs = published("backbones.mobilenet").MobileNetV1(block_cfg=stages).eval()
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        for feature, expected in zip(ours(planes()), theirs(planes()), strict=True):
            assert torch.equal(feature, expected)


def head_of(name: str) -> Any:
    """Return the published head of a detector."""
    groups = 32 if name == "damofd-34g" else 16
    given = {"strides_share": True, "scale_mode": 2, "norm_cfg": {"type": "GN", "num_groups": groups}}
    return published_head(**(given | HEADS[name])).eval()


@pytest.mark.parametrize("name", HEADS)
def test_heads_equal_the_published_one(name: str) -> None:
    ours, theirs = network(name), head_of(name)
    state = {f"bbox_head.{key}": value for key, value in theirs.state_dict().items()}
    assert state.keys() - {f"bbox_head.{key}" for key in ours.bbox_head.state_dict()} == {
        "bbox_head.integral.project"
    }
    theirs.load_state_dict(ours.bbox_head.state_dict(), strict=False)
    with torch.no_grad():
        levels = ours.neck(ours.backbone(planes())[-3:])
        expected = chain.from_iterable(zip(*theirs(levels)))
        for found, wanted in zip(ours.bbox_head(levels), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MILLIONS)
def test_parameters_are_as_published(name: str) -> None:
    assert sum(each.numel() for each in NETWORKS[name]().parameters()) / 1e6 == pytest.approx(
        MILLIONS[name], abs=0.01
    )


def test_the_whole_network_equals_a_public_file(test_data: Path, tmp_path: Path) -> None:
    path = test_data / "weights" / "scrfd_500m_kps.onnx"
    ours = NETWORKS["scrfd-500m"]().eval()
    take_weights(ours, path)
    outputs = []
    images = np.random.default_rng(0).integers(0, 256, (2, 97, 131, 3), np.uint8)
    for number, made in enumerate(
        (FAMILY.from_onnx(path, FAMILY.spec), FAMILY.from_network(ours, FAMILY.spec))
    ):
        contract.save(made, tmp_path / f"{number}.onnx")
        with OnnxNetwork(tmp_path / f"{number}.onnx") as running:
            outputs.append(running.run(images))
    for found, expected in zip(*outputs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


SIDE, PHOTOS, CANDIDATES = 192, 3, 60


@pytest.mark.parametrize("name", HEADS)
def test_faces_equal_the_published_ones(name: str, test_data: Path, tmp_path: Path) -> None:
    """Photos to faces against the published ``get_bboxes``: the same faces in the same order.

    MobileNet's detectors have trained weights.  Weights of the others are made up, and the threshold leaves a
    few dozen candidates.  The tests above hold the maps to those of the published networks.
    """
    photos = sorted(chain(*((test_data / each).glob("*.jpg") for each in ("demo_images", "dlib_faces"))))
    if HEADS[name] is MOBILE:
        ours, threshold = NETWORKS[name]().eval(), 0.3
        take_weights(ours, test_data / "weights" / "scrfd_500m_kps.onnx")
    else:
        ours, photos = network(name), photos[:PHOTOS]
        scores = torch.cat([each.flatten() for each in maps_of(ours, photos[0])[0][::3]]).sigmoid()
        threshold = float(scores.sort(descending=True).values[CANDIDATES - 1 : CANDIDATES + 1].mean())
    contract.save(FAMILY.from_network(ours, FAMILY.spec), tmp_path / "model.onnx")
    head, count = head_of(name), 0
    with Detector(tmp_path / "model.onnx", size=(SIDE, SIDE), conf=threshold, scales="native") as detect:
        for photo in photos:
            maps, placement = maps_of(ours, photo)
            boxes, points = published_faces(head, maps, threshold, placement.content, placement.scale[0])
            found = detect(picture(photo))
            np.testing.assert_allclose(found.confidence, boxes[:, 4], rtol=0, atol=1e-5)
            np.testing.assert_allclose(found.xyxy, boxes[:, :4], rtol=0, atol=0.01)
            assert found.landmarks is not None
            np.testing.assert_allclose(found.landmarks.reshape(-1, 10), points, rtol=0, atol=0.01)
            count += len(boxes)
    assert count >= 10


def picture(photo: Path) -> Image:
    image = cv2.imread(str(photo))
    assert image is not None
    return image.astype(np.uint8, copy=False)


def maps_of(network: Any, photo: Path) -> tuple[list[Any], Placement]:
    """Return a network's maps of a photo, and its position in the network input."""
    image = picture(photo)
    height, width = image.shape[:2]
    placement = place_letterbox(height, width, (SIDE, SIDE))
    canvas = np.empty((SIDE, SIDE, 3), np.uint8)
    paint(image, placement, FAMILY.spec.input.pad, canvas)
    rgb = (canvas[..., ::-1].astype(np.float32) - 127.5) / 128
    with torch.no_grad():
        return network(torch.from_numpy(rgb.transpose(2, 0, 1)[None].copy())), placement


def take_weights(network: Any, path: Path) -> None:
    """Give SCRFD-500M the weights of its public file, whose batch normalizations are folded.

    Those of the network become identities.
    """
    model = onnx.load(str(path))
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    theirs = [node.input[1:] for node in model.graph.node if node.op_type == "Conv"]
    _take(network, [[stored[name] for name in names] for names in theirs])


def _take(network: Any, convolutions: list[list[Any]]) -> None:
    """Give the convolutions of a network, in the order of the file, weights and biases."""
    order: list[Any] = []
    hooks = [
        each.register_forward_hook(lambda module, *_: order.append(module))
        for each in network.modules()
        if isinstance(each, torch.nn.Conv2d)
    ]
    with torch.no_grad():
        network(planes(1, 64, 64))
    for hook in hooks:
        hook.remove()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0
    remaining = list(convolutions)
    for module in order:
        fits = (i for i, each in enumerate(remaining) if each[0].shape == tuple(module.weight.shape))
        given = remaining.pop(next(fits))
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(given[0].copy()))
            module.bias = torch.nn.Parameter(torch.from_numpy(given[1].copy()))
    assert not remaining
