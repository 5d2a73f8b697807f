"""SCRFD in the PyPI package ``insightface``, with the caller's model file."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.peers.peer import FACES, Loop, Opened, Task, model_file
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.errors import ModelError


@dataclass(frozen=True)
class Scrfd:
    """SCRFD of ``insightface.model_zoo``, one image at a time.  Untested."""

    name: str = "scrfd"

    def open(self, task: Task) -> Opened:
        path, chosen = model_file(task, self.name), task.thresholds
        ort = onnxruntime()
        from insightface.model_zoo import get_model  # type: ignore[import-not-found]

        on_gpu = "CUDAExecutionProvider" in ort.get_available_providers()
        provider = "CUDAExecutionProvider" if on_gpu else "CPUExecutionProvider"
        options = ort.SessionOptions()
        options.intra_op_num_threads = task.threads
        model = get_model(str(path), providers=[provider], sess_options=options)
        if model is None or not hasattr(model, "detect"):
            raise ModelError(f"{path}: not a detector that insightface knows")
        model.prepare(task.device if on_gpu else -1, input_size=task.size, det_thresh=chosen.score_threshold)
        model.nms_thresh = chosen.iou_threshold

        def run() -> int:
            return sum(len(model.detect(image)[0]) for image in task.images)

        return Loop(run, len(task.images), FACES, run(), "another network")
