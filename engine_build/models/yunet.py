"""YuNet (Wu et al. 2023): a detector of 75,000 parameters without anchors, from the authors' ONNX files."""

from __future__ import annotations

from engine_build.models.one_stage import OneStage, by_hand, recipe
from trt_mogface.models.cards import ModelCard
from trt_mogface.spec import BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

AUTHORS = "github.com/ShiqiYu/libfacedetection.train"
LICENSE = "Apache-2.0"

FAMILY = OneStage(
    DetectorSpec(
        name="yunet",
        levels=(Level(8, (8.0,), 64.0), Level(16, (16.0,), 128.0), Level(32, (32.0,), 1024.0)),
        coding=BoxCoding("ssd", center=0.0),
        thresholds=Thresholds(0.6, 0.45, inclusive_areas=False),
        input=InputSpec(),
        origin=Origin(AUTHORS, LICENSE, ""),
        landmarks=5,
    ),
    mean=(0.0, 0.0, 0.0),
    rgb=False,
    score_maps=2,
)

RECIPES = tuple(
    recipe(
        ModelCard(
            name=name,
            network=network,
            origin=AUTHORS,
            license=LICENSE,
            megabytes=megabytes,
            landmarks=FAMILY.spec.landmarks,
        ),
        FAMILY,
        None,
        by_hand(name, f"onnx/{file}", AUTHORS, LICENSE),
    )
    for name, network, file, megabytes in (
        ("yunet", "YuNet-n", "yunet_n_dynamic.onnx", 0.3),
        ("yunet-s", "YuNet-s", "yunet_s_dynamic.onnx", 0.2),
    )
)
