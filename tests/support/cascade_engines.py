"""A folder that looks like the engines of a cascade: a true manifest of plans that no TensorRT would read."""

from __future__ import annotations

import hashlib
from pathlib import Path

from trt_mogface.models.cascade import STAGES
from trt_mogface.models.cascade_engine import CascadeEngine, NetworkEngine, plan_file
from trt_mogface.models.manifest import CASCADE_MANIFEST, Layer, Profile
from trt_mogface.spec import Origin, Thresholds

PLANS = {stage: stage.encode() for stage in STAGES}
SHAPES = ((1, 72, 96), (1024, 24, 24), (256, 48, 48))


def engines() -> CascadeEngine:
    """A manifest in which every field has a value."""
    networks = {
        stage: NetworkEngine(
            profile=Profile((1, 13, 13), shape, shape),
            multiply_adds={"fp16": 1.0},
            layers=(Layer("conv", "conv", "fp16"),),
            onnx_sha256="0" * 64,
            plan_sha256=hashlib.sha256(PLANS[stage]).hexdigest(),
            plan_bytes=len(PLANS[stage]),
        )
        for stage, shape in zip(STAGES, SHAPES)
    }
    return CascadeEngine(
        name="mtcnn",
        thresholds=Thresholds(0.9, 0.7, 1000, 750),
        origin=Origin("a place", "MIT", "1" * 64),
        precision="fp16",
        profile=Profile((1, 1, 1), (1, 120, 160), (1, 120, 160)),
        networks=networks,
        flavor="tensorrt-rtx",
        tensorrt="1.7.1",
        version_compatible=False,
        gpu="any",
        compute_capabilities=("9.0",),
        driver="13.0",
        inputs_sha256="2" * 64,
        accuracy="scores within 0.001 of FP32's on noise",
        command="trt-mogface build mtcnn",
        built="2026-01-01T00:00:00+00:00",
        seconds=1.5,
    )


def write_engines(folder: Path) -> Path:
    """Write the manifest and its plans."""
    for stage, plan in PLANS.items():
        plan_file(folder, stage).write_bytes(plan)
    (folder / CASCADE_MANIFEST).write_text(engines().to_json())
    return folder
