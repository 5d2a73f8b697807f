"""ULFD, Ultra-Light-Fast-Generic-Face-Detector (repository of Linzaer), in its two variants.

ModelScope publishes ``slim``, and feeds it blue where it was trained on red; the authors' order is used here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from engine_build.models.one_stage import OneStage, by_hand, recipe
from engine_build.weights import fetch
from trt_mogface.models.cards import ModelCard
from trt_mogface.spec import BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

if TYPE_CHECKING:
    from torch import nn

    from engine_build.models.ulfd.network import Variant

MODEL_ID = "damo/cv_manual_face-detection_ulfd"
AUTHORS = "github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB"

FAMILY = OneStage(
    DetectorSpec(
        name="ulfd",
        levels=(
            Level(8, (10.0, 16.0, 24.0)),
            Level(16, (32.0, 48.0)),
            Level(32, (64.0, 96.0)),
            Level(64, (128.0, 192.0, 256.0)),
        ),
        coding=BoxCoding("ssd", variances=(0.1, 0.2), spread=True),
        thresholds=Thresholds(0.85, 0.3, top_k=1500, max_detections=750, inclusive_areas=False),
        input=InputSpec(size=(640, 480), resize="stretch", pad=(127, 127, 127)),
        origin=Origin(AUTHORS, "MIT", ""),
    ),
    mean=(127.0, 127.0, 127.0),
    std=(128.0, 128.0, 128.0),
    activation="softmax",
)


def _network(variant: Variant) -> nn.Module:
    from engine_build.models.ulfd.network import Ulfd

    return Ulfd(variant)


RECIPES = (
    recipe(
        ModelCard(
            name="ulfd-slim",
            network="ULFD slim",
            origin=f"ModelScope {MODEL_ID}",
            license="MIT",
            megabytes=1.1,
            landmarks=0,
            note=(
                "ModelScope feeds blue where it was trained on red; this project feeds red. At 640x480 the "
                "exchange turns an AP of 0.879 / 0.818 / 0.549 into 0.851 / 0.789 / 0.508. ModelScope scales "
                "pixels as floats and this project as bytes, which moves boxes by a fifth of a pixel."
            ),
        ),
        FAMILY,
        partial(_network, "slim"),
        partial(fetch, MODEL_ID, "pytorch_model.pt"),
    ),
    recipe(
        ModelCard(
            name="ulfd-rfb",
            network="ULFD RFB",
            origin=AUTHORS,
            license="MIT",
            megabytes=1.2,
            landmarks=0,
        ),
        FAMILY,
        partial(_network, "rfb"),
        by_hand("ulfd-rfb", "version-RFB-640.pth", AUTHORS, "MIT"),
    ),
)
