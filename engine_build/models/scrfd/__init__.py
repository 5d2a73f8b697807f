"""SCRFD (Guo et al. 2022) and the detectors that share its head: TinyMog and DamoFD."""

from __future__ import annotations

from engine_build.models.one_stage import OneStage, by_hand, recipe
from trt_mogface.models.cards import ModelCard
from trt_mogface.spec import UNLIMITED, BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

AUTHORS = "github.com/deepinsight/insightface"
LICENSE = "non-commercial research"

FAMILY = OneStage(
    DetectorSpec(
        name="scrfd",
        levels=(Level(8, (16.0, 32.0)), Level(16, (64.0, 128.0)), Level(32, (256.0, 512.0))),
        coding=BoxCoding("distance", center=0.0),
        thresholds=Thresholds(0.3, 0.45, UNLIMITED, UNLIMITED, inclusive_areas=False, clip=True),
        input=InputSpec(size=(640, 640), pad=(128, 128, 128)),
        origin=Origin(AUTHORS, LICENSE, ""),
        landmarks=5,
    ),
    mean=(127.5, 127.5, 127.5),
    std=(128.0, 128.0, 128.0),
    in_strides=True,
)

RECIPES = (
    recipe(
        ModelCard("scrfd-500m", "SCRFD-0.5G", AUTHORS, LICENSE, 2.5, 5),
        FAMILY,
        None,
        by_hand("scrfd-500m", "scrfd_500m_bnkps.onnx", AUTHORS, LICENSE),
    ),
)
