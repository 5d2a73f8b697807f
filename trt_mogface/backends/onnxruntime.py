"""`OnnxNetwork`: a contract ONNX file, run by ONNX Runtime."""

from __future__ import annotations

import copy
import ctypes
import math
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface._onnxruntime import FATAL_ONLY, onnxruntime
from trt_mogface.backends.base import Outputs
from trt_mogface.errors import ArgumentError, MissingExtraError, ModelError, RunnerError, first_line
from trt_mogface.machine.cpu import usable_threads
from trt_mogface.models.manifest import Shape
from trt_mogface.models.onnx_file import read_onnx
from trt_mogface.models.precision import read_precision
from trt_mogface.reference.decode import Floats
from trt_mogface.spec import INPUT, METADATA_KEY, NUM_DETECTIONS, DetectorSpec, Layout

CPU = "CPUExecutionProvider"

HARMFUL = ["WeightBiasQuantization"]
"""Optimizers of ONNX Runtime that change results.

This one stores the bias of a quantized convolution in steps of the input's step times the weight's.  Where
those are FP16, as in lowered INT8 and FP8 files, the product underflows, and networks find nothing (seen in
1.32).
"""

LARGE = 4_000_000
"""Pixels of a batch whose memory is returned, unless the batch before was as large.

One photo of 24 megapixels would keep 0.9 GB.  Returned after every run, as in a stream of 3840x2160, memory
would cost 28% more time.
"""

opened_sessions: weakref.WeakSet[Any] = weakref.WeakSet()
"""Sessions of this process."""

TYPES = {1: "float32", 2: "uint8", 10: "float16", 11: "float64"}
"""Names of ``TensorProto.DataType``, as far as messages need them."""

INPUTS: dict[Layout, tuple[str, int]] = {"nhwc-uint8": ("uint8", 4), "nchw-float32": ("float32", 4)}


NO_MEMORY = ("Failed to allocate memory", "bad allocation", "bad_alloc")
"""Parts of ONNX Runtime's messages when memory does not suffice."""


class OnnxNetwork:
    """A contract ONNX file, loaded; see `trt_mogface.backends.base.Network`.

    Args:
        path: Contract ONNX file.
        threads, optimize, providers, device: See `session`.

    Raises:
        ModelError: If the file is missing, not ONNX, or not a contract file.
        ArgumentError: If a provider is not available.
    """

    max_shapes: tuple[Shape, ...] = ()

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = None,
        optimize: bool = True,
        providers: Sequence[str] = (CPU,),
        device: int | None = None,
    ) -> None:
        self.path, self.spec, self._was_large = path, read_spec(path), False
        try:
            self._session = session(str(path), threads, optimize=optimize, providers=providers, device=device)
        except (ArgumentError, MissingExtraError):
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            if read_precision(path) == "bf16":
                problem = "computes in BF16, which ONNX Runtime lacks on CPUs"
                raise ModelError(f"{path}: {problem}; build an engine, or use the FP32 file") from error
            raise ModelError(f"{path}: the model cannot be loaded: {first_line(error)}") from error

    def check_shape(self, shape: Shape) -> None:
        """Accept any shape: ONNX Runtime refuses what the file does not allow when it runs."""

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Run the network on uint8 [N, H, W, 3], BGR.

        Raises:
            ModelError: If the network fails, or returns other shapes than its spec says.
            RunnerError: If the network is closed.
        """
        if self._session is None:
            raise RunnerError(f"{self.path}: the network is closed; open the model again")
        pixels: NDArray[Any] = images
        if self.spec.input.layout == "nchw-float32":
            pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        batch, height, width, _ = images.shape
        expected = self.spec.output_shapes(batch, height, width)
        was_large, self._was_large = self._was_large, is_large(images)
        run = _keeping if self._was_large == was_large else _returning
        try:
            values = run(self._session, pixels, expected)
        except Exception as error:  # see above
            if any(words in str(error) for words in NO_MEMORY):
                raise MemoryError(f"{self.path}: the memory does not suffice for {images.shape}") from error
            raise ModelError(f"{self.path}: the network failed: {first_line(error)}") from error
        for name, value in zip(expected, values):
            if value.shape != expected[name]:
                raise ModelError(
                    f"{self.path}: {width}x{height} gave {name} {list(value.shape)}, not "
                    f"{list(expected[name])} as the spec says; export the model again"
                )
        return Outputs(*values)

    def clone(self) -> OnnxNetwork:
        """Return a network of the same session, which several threads may run at once."""
        return copy.copy(self)

    def close(self) -> None:
        """Free the session with its last clone; closing twice is harmless."""
        self._session = None

    def __enter__(self) -> OnnxNetwork:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_spec(path: Path) -> DetectorSpec:
    """Return the spec of a contract ONNX file, without loading its weights.

    Raises:
        ModelError: If the file is missing, not ONNX, or not a contract file.
    """
    spec, end_to_end = read_any_spec(path)
    if end_to_end:
        remedy = "only TensorRT runs it; use the contract file that it was made from"
        raise ModelError(f"{path}: ends in faces, by a plugin; {remedy}")
    return spec


def read_any_spec(path: Path) -> tuple[DetectorSpec, bool]:
    """Return the spec of a contract ONNX file, and whether the file ends in faces; see `read_spec`."""
    file = read_onnx(path)
    text = file.metadata.get(METADATA_KEY)
    if text is None:
        raise ModelError(f"{path}: no detector spec in this ONNX file; convert it with `trt-mogface export`")
    spec = DetectorSpec.from_json(text)
    inputs, outputs = (
        {name: (TYPES.get(each.type, f"type {each.type}"), each.rank) for name, each in values.items()}
        for values in (file.inputs, file.outputs)
    )
    wanted = INPUTS[spec.input.layout]
    if inputs != {INPUT: wanted}:
        raise ModelError(
            f"{path}: the contract wants one input {INPUT!r} of type and rank {wanted}, not {inputs}; "
            "convert the file with `trt-mogface export`"
        )
    if NUM_DETECTIONS in outputs:
        return spec, True
    shapes = spec.output_shapes(1, 1, 1)
    if outputs != {name: ("float32", len(shape)) for name, shape in shapes.items()}:
        raise ModelError(f"{path}: the contract wants float32 outputs {list(shapes)}, not {outputs}")
    return spec, False


def session(
    model: bytes | str,
    threads: int | None = None,
    *,
    optimize: bool = True,
    arena: bool = True,
    profile: Path | None = None,
    providers: Sequence[str] = (CPU,),
    device: int | None = None,
) -> Any:
    """Open an ONNX Runtime session.

    Args:
        model: A path, or the bytes of a model.
        threads: CPU threads of a run; None for all cores that this process may use.  More than those are not
            used, because they would only wait for each other.
        optimize: Whether the graph is optimized.
        arena: Whether memory is kept for later runs; without, a session is slower and its peak smaller.
        profile: Prefix of a file that receives the time of each node.
        providers: Execution providers, in order of preference; the CPU runs what they cannot.
        device: Number of the GPU, for providers that have any; None for the first.

    Raises:
        ArgumentError: If a provider is not part of the installed ONNX Runtime, or does not start here.
        Exception: Any that ONNX Runtime raises; they share no public base class.
    """
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.intra_op_num_threads = usable_threads(threads)
    # Idle threads that spin take a core from whatever else the process does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = arena
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    _check_available(ort, providers)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    settings = [{} if name == CPU else {"device_id": str(device or 0)} for name in providers]
    # Else it prints errors of a provider and runs on the CPU.
    careful: dict[str, Any] = {"enable_fallback": 0, "disabled_optimizers": HARMFUL}
    opened = ort.InferenceSession(model, options, list(providers), settings, **careful)
    _check_used(opened, providers)
    opened_sessions.add(opened)
    return opened


def _keep_sessions() -> None:
    """Never free the sessions of the process that this one was forked from.

    Freeing a session waits for its threads to end, which a forked process does not have: it would never exit.
    """
    for each in opened_sessions:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_keep_sessions)


def is_large(images: NDArray[np.uint8]) -> bool:
    """Return whether memory for a batch [N, H, W, 3] of this size is not kept."""
    return math.prod(images.shape[:3]) >= LARGE


def _keeping(opened: Any, pixels: NDArray[Any], shapes: Mapping[str, tuple[int, ...]]) -> list[Floats]:
    """Run a session and keep its memory for the next run."""
    return list(opened.run(list(shapes), {INPUT: pixels}))


def _returning(opened: Any, pixels: NDArray[Any], shapes: Mapping[str, tuple[int, ...]]) -> list[Floats]:
    """Run a session and return its memory.

    The outputs are arrays of numpy, because outputs in the session's own memory would keep the block that
    they are in.
    """
    options, binding = onnxruntime().RunOptions(), opened.io_binding()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    values = [np.empty(shape, np.float32) for shape in shapes.values()]
    binding.bind_cpu_input(INPUT, pixels)
    for name, value in zip(shapes, values):
        binding.bind_output(name, "cpu", 0, np.float32, value.shape, value.ctypes.data)
    opened.run_with_iobinding(binding, options)
    return values


def _check_available(ort: Any, providers: Sequence[str]) -> None:
    known = ort.get_available_providers()
    for name in providers:
        if name not in known:
            problem = f"not in the installed ONNX Runtime (choose from {', '.join(known)})"
            raise ArgumentError("providers", problem, name)


def _check_used(opened: Any, providers: Sequence[str]) -> None:
    """Refuse providers that did not start, or that leave the whole network to the CPU."""
    for name in providers:
        if name not in opened.get_providers():
            raise ArgumentError("providers", "does not start on this machine; check its driver", name)
    if CPU in providers or not hasattr(opened, "get_provider_graph_assignment_info"):  # before 1.24
        return
    if {part.ep_name for part in opened.get_provider_graph_assignment_info()} <= {CPU}:
        problem = f"cannot run any part of this model; add {CPU} to run it on the CPU"
        raise ArgumentError("providers", problem, ",".join(providers))
