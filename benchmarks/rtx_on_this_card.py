"""TensorRT-RTX on this GPU: the default model with three targets, and the exact messages.

Each target runs in a process of its own, so that a crash does not affect the others.  Untested on a GPU.

    python -m benchmarks.rtx_on_this_card
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._lib.results import record
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.models.cards import DEFAULT, embedded_file

TARGETS = {"default": None, "8.0 only": "SM80", "CURRENT": "CURRENT"}
SHAPE = (1, 320, 320, 3)
SECONDS = 40
"""Time limit of a target; all of them fit into the step of ``benchmarks/gpu.sh``."""


def main() -> None:
    if find_gpu() is None:
        raise SystemExit("this needs an NVIDIA GPU; nothing was run")
    results = {target: in_a_process(target) for target in TARGETS}
    table = Table("target", "reached", "max difference to ONNX Runtime", "messages")
    for target, result in results.items():
        apart = result.get("apart")
        table.add_row(
            target, result["reached"], "" if apart is None else f"{apart:.2e}", "\n".join(result["messages"])
        )
    Console().print(table)
    record("rtx_on_this_card", results)


def in_a_process(target: str) -> dict[str, Any]:
    """Return the result of one target."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.rtx_on_this_card", target],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"reached": f"nothing within {SECONDS} s", "messages": []}
    try:
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return {
            "reached": f"the process ended with {done.returncode}",
            "messages": done.stderr.splitlines()[-5:],
        }
    return result


def attempt(target: str) -> dict[str, Any]:
    """Build, deserialize, create a context, run and compare; return the last step that succeeded."""
    import tensorrt_rtx as trt
    import torch

    messages: list[str] = []

    class Logger(trt.ILogger):  # type: ignore[misc]
        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.WARNING:
                messages.append(message)

    logger = Logger()
    builder = trt.Builder(logger)
    network = builder.create_network()
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(embedded_model()):
        return {"reached": "nothing: not parsed", "messages": [str(parser.get_error(0).desc())]}
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("images", SHAPE, SHAPE, SHAPE)
    config.add_optimization_profile(profile)
    capability = TARGETS[target]
    if capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return {"reached": "not built", "messages": messages}
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        return {"reached": "built", "messages": messages}
    context = engine.create_execution_context()
    if context is None:
        return {"reached": "deserialized", "messages": messages}
    images = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    held = {"images": torch.from_numpy(images).cuda()}
    context.set_input_shape("images", SHAPE)
    for name in ("scores", "deltas", "landmarks"):
        held[name] = torch.empty(tuple(context.get_tensor_shape(name)), device="cuda")
    for name, tensor in held.items():
        context.set_tensor_address(name, tensor.data_ptr())
    stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    if not context.execute_async_v3(stream.cuda_stream):
        return {"reached": "a context", "messages": messages}
    stream.synchronize()
    with OnnxNetwork(embedded_file(DEFAULT)) as reference:
        expected = reference.run(images)
    apart = float(np.abs(held["scores"].cpu().numpy() - expected.scores).max())
    return {"reached": "outputs", "apart": apart, "messages": messages}


def embedded_model() -> bytes:
    """Return the default model in the form for TensorRT: cast before transposed."""
    from engine_build.onnx import contract, pixels

    model = contract.load(embedded_file(DEFAULT))
    pixels.cast_first(model)
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(attempt(sys.argv[1])))
    else:
        main()
