"""Weights of an ONNX model put into an engine that was built without them, or with others.  Needs a GPU."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from trt_mogface._files import whole_file
from trt_mogface.errors import EngineError, ModelError
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import (
    Flavor,
    find_tensorrt,
    flavor_name,
    make_logger,
    make_runtime,
    serialized,
    without_collection,
)
from trt_mogface.models.manifest import Manifest, load_manifest, load_plan, manifest_path
from trt_mogface.models.precision import read_precision


def refit(engine: Path, model: Path, output: Path) -> Path:
    """Write an engine and its manifest with the weights of an ONNX model; return ``output``.

    Args:
        engine: Engine that was built with ``refit`` or ``strip_weights``.
        model: ONNX model of the same graph and precision.
        output: File of the new engine.

    Raises:
        EngineError: If the engine or its manifest is unusable on this machine, or the weights do not fit.
        ModelError: If the model is unusable, or in another precision than the engine.
    """
    manifest = load_manifest(engine)
    flavor = find_tensorrt(flavor_name(manifest.flavor))
    manifest.check_runs_on(flavor, find_gpu(), engine)
    try:
        weights = model.read_bytes()
    except OSError as error:
        raise ModelError(f"{model}: cannot be read ({error.strerror})") from error
    plan = load_plan(engine, manifest)
    given = read_precision(model)
    if given != manifest.precision:
        remedy = f"write it with build --precision {manifest.precision} -o FILE.onnx"
        raise ModelError(f"{model}: computes in {given}, {engine} in {manifest.precision}; {remedy}")
    with without_collection():
        plan = _refitted(flavor, manifest, plan, weights, engine)
    # The digest of the inputs goes: a build from the same inputs would give other weights.
    changed = dataclasses.replace(
        manifest, plan_sha256=hashlib.sha256(plan).hexdigest(), plan_bytes=len(plan), inputs_sha256=""
    )
    with whole_file(output) as file, whole_file(manifest_path(output)) as beside:
        file.write_bytes(plan)
        beside.write_text(changed.to_json(), encoding="utf-8")
    return output


def _refitted(flavor: Flavor, manifest: Manifest, plan: bytes, model: bytes, path: Path) -> bytes:
    trt = flavor.module
    logger = make_logger(trt)
    runtime = make_runtime(trt, logger, version_compatible=manifest.version_compatible)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(
            f"{path}: {flavor.name} {flavor.version} cannot read this plan: {logger.last_error}"
        )
    if not engine.refittable:
        raise EngineError(f"{path}: not refittable; build it with refit or strip_weights")
    refitter = trt.Refitter(engine, logger)
    parser = trt.OnnxParserRefitter(refitter, logger)
    if not parser.refit_from_bytes(model):
        reason = parser.get_error(0).desc() if parser.num_errors else "no reason given"
        raise EngineError(f"{path}: the weights do not fit: {' '.join(reason.split())[:200]}")
    missing = refitter.get_missing_weights()
    if missing or not refitter.refit_cuda_engine():
        raise EngineError(f"{path}: the model lacks weights of the engine, such as {(missing or ['?'])[0]!r}")
    config = engine.create_serialization_config()
    config.clear_flag(trt.SerializationFlag.EXCLUDE_WEIGHTS)
    refitted = serialized(engine.serialize_with_config(config))
    if refitted is None:
        raise EngineError(f"{path}: could not serialize the engine with its weights: {logger.last_error}")
    return refitted
