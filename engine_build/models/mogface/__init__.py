"""MogFace (Liu et al., CVPR 2022), as ModelScope publishes it, and the authors' variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from engine_build.models.one_stage import OneStage, by_hand, recipe
from engine_build.models.registry import Recipe
from engine_build.weights import fetch
from trt_mogface.models.cards import ModelCard
from trt_mogface.spec import BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

MODEL_ID = "damo/cv_resnet101_face-detection_cvpr22papermogface"
AUTHORS = "github.com/damo-cv/MogFace"
TERMS = "see the model page"

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.120003, 57.375)
"""Normalization of red, green and blue, on pixels 0..255."""

EXTRA_DIVISOR = 255.0
"""Second divisor, with which the published networks were trained."""

STRIDES = (4, 8, 16, 32, 64, 128)
CELLS_PER_ANCHOR = 4
"""Side of an anchor in strides, before its scale."""

TRAINING_ONLY = (
    r"fpn\.dsfd_modules\.[0-5]\.(weight|bias)",  # these feed a training loss
    r"pred_net\.dsfd_(loc|conf)\..*",
    r"pred_net\.deep_(cls|loc)_head\.conv[234]\.(weight|bias)",  # the published head reuses its conv1
)
"""Patterns of keys of the published checkpoints that inference does not use."""

CONTEXT = (r"fp_context\..*", r"pred_net_1\..*")
"""Patterns of keys of HCAM's context branch, whose scores the authors' tests do not read."""


def _family(anchor_scale: float) -> OneStage:
    red, green, blue = (round(value) for value in MEAN)
    return OneStage(
        DetectorSpec(
            name="mogface",
            levels=tuple(Level(s, (CELLS_PER_ANCHOR * s * anchor_scale,)) for s in STRIDES),
            coding=BoxCoding("ssd", inclusive=True),
            thresholds=Thresholds(score_threshold=0.82, iou_threshold=0.4),  # of ModelScope
            input=InputSpec(pad=(blue, green, red), longest_over=1500, longest_to=1000),
            origin=Origin(AUTHORS, TERMS, ""),
        ),
        mean=MEAN,
        std=(STD[0] * EXTRA_DIVISOR, STD[1] * EXTRA_DIVISOR, STD[2] * EXTRA_DIVISOR),
    )


def _network(name: str) -> nn.Module:
    from engine_build.models.mogface import network

    built: nn.Module = getattr(network, name)()
    return built


def _recipe(
    card: ModelCard, family: OneStage, network: str, weights: Callable[[], Path] | None = None
) -> Recipe:
    given = weights or by_hand(card.name, f"the checkpoint of {card.network}", AUTHORS, TERMS)
    unused = (*TRAINING_ONLY, *CONTEXT) if card.name == "mogface-hcam" else TRAINING_ONLY
    return recipe(card, family, partial(_network, network), given, unused)


FAMILY, LARGE_ANCHORS = _family(0.68), _family(1.0)

PUBLISHED = ModelCard(
    name="mogface",
    network="MogFace, ResNet-101",
    origin=f"ModelScope {MODEL_ID}",
    license=TERMS,
    megabytes=244,
    landmarks=0,
)


def _variant(name: str, network: str, megabytes: float) -> ModelCard:
    return replace(PUBLISHED, name=name, network=network, origin=AUTHORS, megabytes=megabytes)


RECIPES = (
    _recipe(PUBLISHED, FAMILY, "mogface", partial(fetch, MODEL_ID, "pytorch_model.pt")),
    _recipe(_variant("mogface-e", "MogFace-E, ResNet-152", 253), FAMILY, "mogface_e"),
    _recipe(_variant("mogface-ams", "MogFace Ali-AMS, ResNet-50", 145), LARGE_ANCHORS, "baseline"),
    _recipe(_variant("mogface-sse", "MogFace SSE, ResNet-50", 145), LARGE_ANCHORS, "baseline"),
    _recipe(_variant("mogface-hcam", "MogFace HCAM, ResNet-50", 145), LARGE_ANCHORS, "baseline"),
)
