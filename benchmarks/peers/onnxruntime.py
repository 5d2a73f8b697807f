"""ONNX Runtime, called directly on the model's ONNX file."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.peers.peer import NETWORK, Loop, Opened, SkippedError, Task, batch_of
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.spec import INPUT


@dataclass(frozen=True)
class OnnxRuntime:
    """An execution provider of ONNX Runtime, with its defaults.

    Attributes:
        name: Name in ``--peers``.
        provider: ONNX Runtime's name of the provider.  CUDA's time includes transfers; untested on a GPU.
    """

    name: str
    provider: str

    def open(self, task: Task) -> Opened:
        ort = onnxruntime()

        if task.is_engine:
            raise SkippedError("the model under test is an engine, not an ONNX file")
        if self.provider not in ort.get_available_providers():
            raise SkippedError(
                f"the installed onnxruntime has no {self.provider}: pip install onnxruntime-gpu"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = task.threads
        settings = {"device_id": task.device} if self.provider == "CUDAExecutionProvider" else {}
        providers = [(self.provider, settings)]
        session = ort.InferenceSession(str(task.model), options, providers=providers)
        if self.provider not in session.get_providers():  # it falls back to the CPU silently
            raise SkippedError(f"{self.provider} is installed, but cannot be used")
        images = batch_of(task)
        return Loop(lambda: session.run(None, {INPUT: images}), len(images), NETWORK)
