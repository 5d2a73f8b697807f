"""Everything around the network, compared with the published functions in one run.

Published: preprocessing, anchors, decoding, threshold, top-k and NMS, as in ``MogFaceDetector.forward``.
Ours: resizing into the batch, the normalization nodes of the contract graph in ONNX Runtime, and the
selection.  Same images, same network outputs.

    python -m benchmarks.around_the_network
"""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from benchmarks._lib.results import record
from benchmarks._lib.timing import in_turn
from benchmarks.peers.published import Published, published
from engine_build.models.mogface import EXTRA_DIVISOR, FAMILY, MEAN, STD
from trt_mogface.backends.onnxruntime import session
from trt_mogface.reference.resize import paint, place_native
from trt_mogface.reference.select import select

THREADS = 2
ROUNDS = 15
CASES = [((640, 640), 300), ((640, 640), 6000), ((1088, 1920), 300), ((1088, 1920), 6000)]
SPEC = FAMILY.spec


def main() -> None:
    torch.set_num_threads(THREADS)
    reference = published()
    normalize = Normalization()
    table = Table(
        "input", "candidates", "published", "ours", "ratio", title="around the network, ms per image"
    )
    figures = []
    for size, count in CASES:
        image, scores, deltas = random_outputs(size, count)
        theirs, ours = in_turn(
            partial(published_steps, reference, image, scores, deltas),
            partial(our_steps, normalize, image, scores, deltas),
            ROUNDS,
        )
        ratio = theirs / ours
        figures.append(
            {"size": size, "candidates": count, "published_ms": theirs, "ours_ms": ours, "ratio": ratio}
        )
        table.add_row(f"{size[1]}x{size[0]}", str(count), f"{theirs:.1f}", f"{ours:.2f}", f"{ratio:.1f}x")
    Console().print(table)
    record("around_the_network", {"threads": THREADS, "rounds": ROUNDS, "cases": figures})


def random_outputs(
    size: tuple[int, int], count: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Return an image, and network outputs with ``count`` scores above the model's threshold."""
    rng = np.random.default_rng(count)
    anchors = SPEC.anchor_count(*size)
    scores = rng.uniform(0, 0.8, anchors)
    scores[rng.choice(anchors, count, replace=False)] = rng.uniform(0.83, 1, count)
    deltas = rng.normal(0, 0.3, (anchors, 4))
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    return image, scores.astype(np.float32), deltas.astype(np.float32)


def published_steps(
    reference: Published, image: NDArray[np.uint8], scores: NDArray[np.float32], deltas: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Run the lines of ``MogFaceDetector.forward`` around the network, with its own functions."""
    utils = reference.utils
    pixels = image[:, :, ::-1].astype(np.float32)[:, :, ::-1]
    pixels -= np.array([MEAN[::-1]])
    pixels /= np.array([STD[::-1]])
    pixels /= EXTRA_DIVISOR
    torch.from_numpy(pixels[:, :, ::-1].copy().transpose(2, 0, 1)).unsqueeze(0).contiguous()
    priors = torch.tensor(utils.MogPriorBox(scale_list=[0.68])(*image.shape[:2]))
    boxes = utils.mogdecode(torch.from_numpy(deltas), priors).numpy()
    chosen = np.where(scores > SPEC.thresholds.score_threshold)[0]
    order = scores[chosen].argsort()[::-1][:5000]
    found = np.hstack((boxes[chosen][order], scores[chosen][order][:, None])).astype(np.float32)
    kept: NDArray[np.float32] = found[utils.py_cpu_nms(found, 0.4)][:750]
    return kept


def our_steps(
    normalize: Normalization,
    image: NDArray[np.uint8],
    scores: NDArray[np.float32],
    deltas: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Run the steps of `Detector` around the network."""
    placement = place_native(image.shape[0], image.shape[1], SPEC.input, shrink=False)
    batch = np.empty((1, *placement.canvas, 3), np.uint8)
    paint(image, placement, SPEC.input.pad, batch[0])
    normalize(batch)
    faces = select(scores, deltas, None, spec=SPEC, size=placement.canvas, thresholds=SPEC.thresholds)
    return faces.boxes


def graph() -> onnx.ModelProto:
    """Return the nodes from bytes to planes, as in the file that ``--model mogface`` runs on a CPU.

    The scale is in the weights of the first convolution, see `engine_build.onnx.cpu`.
    """
    mean = np.array(MEAN[::-1], np.float32).reshape(1, 3, 1, 1)
    nodes = helper.make_graph(
        [
            helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Cast", ["planes"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["pixels", "mean"], ["normalized"]),
        ],
        "normalization",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("normalized", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [numpy_helper.from_array(mean, "mean")],
    )
    return helper.make_model(nodes, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Normalization:
    """Nodes of the contract graph before the first convolution, run as in the middle of a graph.

    The result stays in ONNX Runtime's own memory, as between two nodes, and that memory is reused.
    """

    def __init__(self) -> None:
        self._session = session(graph().SerializeToString(), THREADS)
        self._binding = self._session.io_binding()

    def __call__(self, batch: NDArray[np.uint8]) -> None:
        self._binding.clear_binding_outputs()
        self._binding.bind_cpu_input("images", batch)
        self._binding.bind_output("normalized", "cpu")
        self._session.run_with_iobinding(self._binding)


if __name__ == "__main__":
    main()
