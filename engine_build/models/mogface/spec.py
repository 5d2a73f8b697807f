"""What the published MogFace does with its outputs, as a `DetectorSpec`."""

from __future__ import annotations

from trt_mogface.spec import BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

MEAN = (103.53, 116.28, 123.675)
STD = (57.375, 57.120003, 58.395)
"""Blue, green, red, on pixels 0..255."""

EXTRA_DIVISOR = 255.0
"""The published code divides a second time; the weights were trained so."""

STRIDES = (4, 8, 16, 32, 64, 128)
ANCHOR_SCALE = 0.68
CELLS_PER_ANCHOR = 4
"""An anchor's side is 0.68 x 4 strides."""

MODEL_ID = "damo/cv_resnet101_face-detection_cvpr22papermogface"


def mogface_spec(weights_sha256: str) -> DetectorSpec:
    """The spec of MogFace ResNet-101 with the thresholds of ModelScope's ``MogFaceDetector``."""
    blue, green, red = (round(value) for value in MEAN)
    return DetectorSpec(
        name="mogface",
        levels=tuple(Level(s, (CELLS_PER_ANCHOR * s * ANCHOR_SCALE,)) for s in STRIDES),
        coding=BoxCoding("ssd", inclusive=True),
        thresholds=Thresholds(score_threshold=0.82, iou_threshold=0.4),
        input=InputSpec(pad=(blue, green, red), longest_over=1500, longest_to=1000),
        origin=Origin(
            source=f"ModelScope {MODEL_ID}",
            license="see the model page",
            weights_sha256=weights_sha256,
        ),
    )
