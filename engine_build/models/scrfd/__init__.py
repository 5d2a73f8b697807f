"""SCRFD (Guo et al. 2022), and the detectors with its pyramid and head: TinyMog and DamoFD."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from engine_build.models.one_stage import OneStage, by_hand, recipe
from engine_build.models.registry import Recipe
from engine_build.weights import fetch
from trt_mogface.models.cards import ModelCard
from trt_mogface.spec import UNLIMITED, BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

if TYPE_CHECKING:
    from torch import nn

AUTHORS = "github.com/deepinsight/insightface"
RESEARCH = "non-commercial research"
NOTE = "ModelScope feeds arrays as they are, blue first, and files red first; this project feeds red first."
HUB = "damo/cv_ddsar_face-detection_iclr23-damofd"

FAMILY = OneStage(
    DetectorSpec(
        name="scrfd",
        levels=(Level(8, (16.0, 32.0)), Level(16, (64.0, 128.0)), Level(32, (256.0, 512.0))),
        coding=BoxCoding("distance", center=0.0),
        thresholds=Thresholds(0.3, 0.45, UNLIMITED, UNLIMITED, inclusive_areas=False, clip=True),
        input=InputSpec(size=(640, 640), pad=(128, 128, 128)),
        origin=Origin("", "", ""),
        landmarks=5,
    ),
    mean=(127.5, 127.5, 127.5),
    std=(128.0, 128.0, 128.0),
    in_strides=True,
)

UNUSED = (r"bbox_head\.integral\.project",)
"""Pattern of a constant of the published head that its distances do not use."""


def _network(name: str) -> nn.Module:
    from engine_build.models.scrfd import networks

    return networks.NETWORKS[name]()


def _published(name: str, network: str, megabytes: float, model_id: str, file: str, terms: str) -> Recipe:
    points = FAMILY.spec.landmarks
    card = ModelCard(name, network, f"ModelScope {model_id}", terms, megabytes, points, note=NOTE)
    return recipe(card, FAMILY, partial(_network, name), partial(fetch, model_id, file), UNUSED)


def _by_hand(name: str, network: str, megabytes: float, file: str) -> Recipe:
    card = ModelCard(name, network, AUTHORS, RESEARCH, megabytes, FAMILY.spec.landmarks)
    return recipe(card, FAMILY, partial(_network, name), by_hand(name, file, AUTHORS, RESEARCH), UNUSED)


RECIPES = (
    _published(
        "tinymog",
        "SCRFD-0.5G, MobileNetV1",
        2.5,
        "damo/cv_manual_face-detection_tinymog",
        "pytorch_model.pt",
        "see the model page",
    ),
    *(
        _published(
            f"damofd-{size.lower()}", f"DamoFD-{size}", megabytes, model_id, "pytorch_model.pt", "Apache-2.0"
        )
        for size, megabytes, model_id in (
            ("0.5G", 1.1, HUB),
            ("2.5G", 1.8, f"{HUB}-2.5G"),
            ("10G", 5.1, f"{HUB}-10G"),
            ("34G", 25.2, f"{HUB}-34G"),
        )
    ),
    _by_hand("scrfd-500m", "SCRFD-0.5G, MobileNetV1", 2.5, "scrfd_500m_bnkps.onnx"),
    _by_hand("scrfd-2.5g", "SCRFD-2.5G, ResNet", 3.3, "scrfd_2.5g_bnkps.onnx"),
    _published(
        "scrfd-10g",
        "SCRFD-10G, ResNet",
        16.9,
        "damo/cv_resnet_facedetection_scrfd10gkps",
        "pytorch_model.bin",
        RESEARCH,
    ),
)
