"""The CPU executor: a contract ONNX file run by ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface.errors import ModelError, first_line
from trt_mogface.reference.decode import Floats
from trt_mogface.spec import DELTAS, INPUT, LANDMARKS, METADATA_KEY, SCORES, DetectorSpec

FATAL_ONLY = 4


@dataclass(frozen=True)
class Outputs:
    """What the network says of a batch.

    Attributes:
        scores: float32 [N, A].
        deltas: float32 [N, A, 4].
        landmarks: float32 [N, A, 2 * points] or None.
    """

    scores: Floats
    deltas: Floats
    landmarks: Floats | None


class OnnxExecutor:
    """A contract ONNX file, loaded and ready.

    Args:
        path: The file.
        threads: CPU threads of one run; None lets ONNX Runtime choose.

    Raises:
        ModelError: No such file, not ONNX, not of the contract.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.path = path
        self._session = _session(path, threads)
        self.spec = spec_of(self._session, path)
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Run the network.

        Args:
            images: uint8 [N, H, W, 3], BGR.

        Raises:
            ModelError: The network failed, or returned something else than its spec says.
        """
        if self._session is None:
            raise ModelError(f"{self.path}: used after it was closed: make a new Detector")
        try:
            values = self._session.run(self._outputs, {INPUT: images})
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise ModelError(f"{self.path}: the network failed: {first_line(error)}") from error
        named = dict(zip(self._outputs, values))
        outputs = Outputs(named[SCORES], named[DELTAS], named.get(LANDMARKS))
        _, height, width, _ = images.shape
        expected = (len(images), self.spec.anchor_count(height, width))
        shapes = {SCORES: expected, DELTAS: (*expected, 4), LANDMARKS: (*expected, 2 * self.spec.landmarks)}
        for name, value in named.items():
            if value.shape != shapes[name]:
                raise ModelError(
                    f"{self.path}: {width}x{height} gave {name} {list(value.shape)}, but the spec asks for "
                    f"{list(shapes[name])}: export the model again"
                )
        return outputs

    def close(self) -> None:
        """Free the network; closing twice is harmless."""
        self._session = None

    def __enter__(self) -> OnnxExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_spec(path: Path) -> DetectorSpec:
    """The spec of a contract ONNX file.

    Raises:
        ModelError: See `OnnxExecutor`.
    """
    return spec_of(_session(path, threads=1, optimize=False), path)


def spec_of(session: Any, path: Path) -> DetectorSpec:
    """The spec inside a loaded ONNX file, after checking its inputs and outputs against the contract.

    Raises:
        ModelError: Not of the contract; the message names the first difference.
    """
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{path}: an ONNX file, but without a detector spec: "
            "make a contract file of it with `trt-mogface export`"
        )
    spec = DetectorSpec.from_json(text)
    wanted = {SCORES: 2, DELTAS: 3} | ({LANDMARKS: 3} if spec.landmarks else {})
    inputs = {v.name: (v.type, len(v.shape)) for v in session.get_inputs()}
    outputs = {v.name: (v.type, len(v.shape)) for v in session.get_outputs()}
    if inputs != {INPUT: ("tensor(uint8)", 4)}:
        raise ModelError(f"{path}: the contract wants one input {INPUT!r}, uint8 [N, H, W, 3], not {inputs}")
    if outputs != {name: ("tensor(float)", rank) for name, rank in wanted.items()}:
        raise ModelError(f"{path}: the contract wants float32 outputs {list(wanted)}, not {outputs}")
    return spec


def session(
    model: bytes | str,
    threads: int | None = None,
    *,
    optimize: bool = True,
    arena: bool = True,
    profile: Path | None = None,
) -> Any:
    """An ONNX Runtime session on the CPU, of a file or of a model's bytes.

    Without its arena a session gives memory back as soon as it can: slower, and smaller at its peak.  With
    ``profile`` it notes the time of each node, in a file whose name begins so.

    Raises:
        Exception: Whatever ONNX Runtime raises; its exceptions share no public base class.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY  # errors come as exceptions, and are told in one line
    if threads is not None:
        options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = arena
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _session(path: Path, threads: int | None, *, optimize: bool = True) -> Any:
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        return session(str(path), threads, optimize=optimize)
    except Exception as error:  # see above
        raise ModelError(f"{path}: not a model that can be loaded: {first_line(error)}") from error
