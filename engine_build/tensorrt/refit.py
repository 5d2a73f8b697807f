"""Weights brought into an engine: one built without them, or one whose weights change.  Needs a GPU."""

from __future__ import annotations

from pathlib import Path

from trt_mogface.errors import EngineError
from trt_mogface.machine.tensorrt import Flavor


def refitted(flavor: Flavor, plan: bytes, model: bytes, path: Path) -> bytes:
    """A plan with the weights of an ONNX model.

    Args:
        flavor: That built the plan.
        plan: Built with ``refit`` or ``strip_weights``.
        model: The ONNX of the precision, of the same graph, that ``build -o FILE.onnx`` writes.
        path: The engine, for messages.

    Raises:
        EngineError: Not refittable, or a model of another graph.
    """
    trt = flavor.module
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{path}: {flavor.name} {flavor.version} cannot read this plan on this machine")
    if not engine.refittable:
        raise EngineError(f"{path}: cannot be refitted: build it with --refit or --strip-weights")
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
    return bytes(memoryview(engine.serialize_with_config(config)))
