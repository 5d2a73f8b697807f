"""YuNet (Wu et al. 2023): a detector of 75,000 parameters without anchors, from the authors' ONNX files."""

from __future__ import annotations

from functools import partial

from engine_build.models.one_stage import OneStage, recipe
from engine_build.weights import linked
from trt_mogface.models.cards import ModelCard
from trt_mogface.spec import BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

AUTHORS = "github.com/ShiqiYu/libfacedetection.train"
FOLDER = "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx"
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
            alias=alias,
        ),
        FAMILY,
        None,
        partial(linked, f"{FOLDER}/{file}", sha256),
    )
    for name, network, file, megabytes, alias, sha256 in (
        (
            "yunet",
            "YuNet-n",
            "yunet_n_dynamic.onnx",
            0.3,
            "balanced",
            "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
        ),
        (
            "yunet-s",
            "YuNet-s",
            "yunet_s_dynamic.onnx",
            0.2,
            "fast",
            "daede24002cc8590f457998cc5e6c9e8b82f45f6bd969506a8913cd4ed10a2d3",
        ),
    )
)
