"""A manifest of an engine that does not exist, and its plan."""

from __future__ import annotations

import hashlib

from tests.support.specs import MOGFACE
from trt_mogface.machine.gpu import Gpu
from trt_mogface.models.manifest import Layer, Manifest, Profile

PLAN = bytes(range(256)) * 4
COMMAND = "trt-mogface build mogface.onnx --precision int8"
FIXED = Profile((1, 640, 640), (1, 640, 640), (1, 640, 640))
WIDE = Profile((1, 320, 320), (1, 640, 640), (8, 1280, 1280))

GOOD = Manifest(
    spec=MOGFACE,
    end_to_end=False,
    precision="int8",
    multiply_adds={"fp16": 0.125, "int8": 0.875},
    layers=(Layer("/conv1/Conv + /relu/Relu", "CaskConvolution", "int8"), Layer("", "NoOp", "")),
    profiles=(FIXED, WIDE),
    flavor="tensorrt",
    tensorrt="10.3.0",
    version_compatible=False,
    gpu="Orin, compute capability 8.7",
    compute_capabilities=("8.7",),
    driver="12.6",
    onnx_sha256="1" * 64,
    calibration="percentile on 512 pictures",
    sensitivity="",
    accuracy="AP against FP32 99.50",
    plan_sha256=hashlib.sha256(PLAN).hexdigest(),
    plan_bytes=len(PLAN),
    inputs_sha256="2" * 64,
    command=COMMAND,
    built="2026-01-02T03:04:05+00:00",
    seconds=12.5,
)

ORIN = Gpu("Orin", (8, 7), "12.6")
