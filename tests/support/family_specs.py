"""Specs of the detector family, from its published constants, independently of `engine_build`."""

from __future__ import annotations

import dataclasses

from trt_mogface.spec import (
    UNLIMITED,
    BoxCoding,
    DetectorSpec,
    InputSpec,
    Level,
    Origin,
    Thresholds,
)

ORIGIN = Origin("published constants", "see the model page", "0" * 64)


def _named(spec: DetectorSpec, *names: str) -> dict[str, DetectorSpec]:
    return {name: dataclasses.replace(spec, name=name) for name in names}


def _mogface(scale: float) -> DetectorSpec:
    return DetectorSpec(
        name="mogface",
        levels=tuple(Level(stride, (4 * stride * scale,)) for stride in (4, 8, 16, 32, 64, 128)),
        coding=BoxCoding("ssd", inclusive=True),
        thresholds=Thresholds(0.82, 0.4),
        input=InputSpec(pad=(104, 116, 124), longest_over=1500, longest_to=1000),
        origin=ORIGIN,
    )


def _retinaface(*sides: tuple[float, ...]) -> DetectorSpec:
    return DetectorSpec(
        name="retinaface",
        levels=tuple(Level(stride, each) for stride, each in zip((8, 16, 32), sides)),
        coding=BoxCoding("ssd", variances=(0.1, 0.2)),
        thresholds=Thresholds(0.9, 0.4),
        input=InputSpec(pad=(104, 117, 123), longest_over=1500, longest_to=1000),
        origin=ORIGIN,
        landmarks=5,
    )


ULFD = DetectorSpec(
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
    origin=ORIGIN,
)

SCRFD = DetectorSpec(
    name="scrfd",
    levels=(Level(8, (16.0, 32.0)), Level(16, (64.0, 128.0)), Level(32, (256.0, 512.0))),
    coding=BoxCoding("distance", center=0.0),
    thresholds=Thresholds(0.3, 0.45, UNLIMITED, UNLIMITED, inclusive_areas=False, clip=True),
    input=InputSpec(size=(640, 640), pad=(128, 128, 128)),
    origin=ORIGIN,
    landmarks=5,
)

YUNET = DetectorSpec(
    name="yunet",
    levels=(Level(8, (8.0,), 64.0), Level(16, (16.0,), 128.0), Level(32, (32.0,), 1024.0)),
    coding=BoxCoding("ssd", center=0.0),
    thresholds=Thresholds(0.6, 0.45, inclusive_areas=False),
    input=InputSpec(),
    origin=ORIGIN,
    landmarks=5,
)

CENTERFACE = DetectorSpec(
    name="centerface",
    levels=(Level(4, (4.0,), 1024.0),),
    coding=BoxCoding("ssd"),
    thresholds=Thresholds(0.5, 0.3, inclusive_areas=True, clip=True),
    input=InputSpec(strict=True),
    origin=ORIGIN,
    landmarks=5,
)

FAMILY = {
    **_named(_mogface(0.68), "mogface", "mogface-e"),
    **_named(_mogface(1.0), "mogface-ams", "mogface-sse", "mogface-hcam", "baseline"),
    **_named(_retinaface((16, 32), (64, 128), (256, 512)), "retinaface-r50", "retinaface-mnet025"),
    **_named(_retinaface((10, 20), (32, 64), (128, 256)), "retinaface-mnet025-1mb"),
    **_named(ULFD, "ulfd-slim", "ulfd-rfb"),
    **_named(SCRFD, "tinymog", "damofd-0.5g", "damofd-2.5g", "damofd-10g", "damofd-34g"),
    **_named(SCRFD, "scrfd-500m", "scrfd-2.5g", "scrfd-10g"),
    **_named(YUNET, "yunet-n", "yunet-s"),
    "centerface": CENTERFACE,
}
"""Every detector that has a contract file, by name."""
