"""CUDA kernels on a GPU: from outputs to faces and from frames to the network input, by graph replay.

First the ceiling, the bandwidth of a copy.  Then each case as a graph of many launches over inputs that
exceed the cache; outputs to faces with plain launches and, on compute capability 9.0 and later, with
dependent ones.  Then the same in torch and torchvision, in the same run.

    python -m benchmarks.kernels [--quick]
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._lib.results import record, slug
from engine_build.models import mogface
from trt_mogface.frame import Frame
from trt_mogface.kernels import Faces, Kernels
from trt_mogface.reference.anchors import anchors
from trt_mogface.reference.resize import place_letterbox

SPEC = mogface.FAMILY.spec
SIZE = (640, 640)
BEYOND_CACHE = 256 << 20
"""Bytes of all inputs together; the L2 of an H200 has 50 MB."""

REPLAYS = 30

DETECT = [
    (1, 300, 15.0),
    (16, 300, 120.0),
    (1, 512, None),  # the most that are a few for the kernels
    (1, 576, None),
    (1, 5000, 150.0),
    (16, 5000, None),
    (1, 0, None),
]
"""Batch, candidates, target in microseconds."""

LAUNCH_VARIABLE = "TRT_MOGFACE_LAUNCH"

BOXES, BOX = 128, 100
"""Boxes of a launch, and pixels of their sides."""

PYRAMID = [(648, 1152), (81, 144), (12, 22)]
"""Sizes to which a frame of 1920x1080 is resampled."""

LETTERBOX = [(1, (1080, 1920)), (16, (1080, 1920)), (16, (720, 1280)), (1, (2160, 3840))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one case of each kind")
    quick = parser.parse_args().quick
    try:
        import torch
    except ImportError:
        raise SystemExit("this needs torch with CUDA, which is not installed") from None
    if not torch.cuda.is_available():
        raise SystemExit("this needs an NVIDIA GPU and a torch with CUDA; nothing was measured")
    kernels = Kernels()
    bandwidth = copy_bandwidth(torch)
    console = Console()
    console.print(f"{torch.cuda.get_device_name()}: copies {bandwidth / 1e12:.2f} TB/s, read and written")
    faces = [row for case in (DETECT[:1] if quick else DETECT) for row in detect_case(torch, kernels, *case)]
    frames = [
        letterbox_case(torch, kernels, bandwidth, *case) for case in (LETTERBOX[1:2] if quick else LETTERBOX)
    ]
    steps = [resample_case(torch, kernels, bandwidth, *size) for size in (PYRAMID[:1] if quick else PYRAMID)]
    steps.append(boxes_case(torch, kernels, bandwidth))
    show(console, "outputs to faces, 34,125 anchors", faces)
    show(console, "frames to 640x640", frames)
    show(console, "antialiased resampling", steps)
    record(
        f"{slug(torch.cuda.get_device_name())}/kernels",
        {
            "copy_bytes_per_s": bandwidth,
            "detect": faces,
            "letterbox": frames,
            "resample": steps,
            "torch": torch.__version__,
        },
    )


def copy_bandwidth(torch: Any) -> float:
    """Return the bytes per second of a device-to-device copy, read and written."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda").random_(0, 255)
    target = torch.empty_like(source)
    microseconds = time_graph(torch, [lambda: target.copy_(source)] * 4)
    return float(2 * source.numel() / (microseconds * 1e-6))


def time_graph(torch: Any, launches: list[Callable[[], object]]) -> float:
    """Return the microseconds of one of several launches, captured one after the other and replayed."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for launch in launches:  # warm up, outside of the capture
            launch()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for launch in launches:
            launch()
    times = []
    for _ in range(REPLAYS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / len(launches))
    return float(statistics.median(times[REPLAYS // 3 :]))


def launch_kinds(torch: Any) -> list[str]:
    """Return the kinds of launches between which this GPU can choose."""
    return ["plain", "dependent"] if torch.cuda.get_device_capability() >= (9, 0) else ["plain"]


def detect_case(
    torch: Any, kernels: Kernels, batch: int, candidates: int, target: float | None
) -> list[dict[str, Any]]:
    """Return one row for each kind of launches, all over the same inputs."""
    count = SPEC.anchor_count(*SIZE)
    turns = max(2, math.ceil(BEYOND_CACHE / (batch * count * 20)))
    inputs = [random_outputs(torch, batch, candidates, seed) for seed in range(turns)]
    most = SPEC.thresholds.most_faces
    out = Faces(
        counts=torch.empty(batch, dtype=torch.int32, device="cuda"),
        boxes=torch.empty(batch, most, 4, device="cuda"),
        scores=torch.empty(batch, most, device="cuda"),
    )
    needed = kernels.detect_workspace(SPEC, SPEC.thresholds, batch, SIZE)
    workspace = torch.empty(needed, dtype=torch.uint8, device="cuda")

    def launch(scores: Any, deltas: Any) -> None:
        kernels.detect(
            scores,
            deltas,
            None,
            out,
            spec=SPEC,
            size=SIZE,
            thresholds=SPEC.thresholds,
            workspace=workspace,
            stream=torch.cuda.current_stream(),
        )

    theirs = in_torch(torch, inputs)
    rows = []
    for kind in launch_kinds(torch):
        os.environ[LAUNCH_VARIABLE] = kind  # which the kernels read at each call
        ours = time_graph(torch, [lambda pair=pair: launch(*pair) for pair in inputs])  # type: ignore[misc]
        rows.append(
            {
                "case": f"batch {batch}, {candidates} candidates, {kind}",
                "launches": kind,
                "microseconds": ours,
                "target": target,
                "floor": None,
                "peer": theirs,
                "peer_name": "torch + torchvision",
            }
        )
    return rows


def random_outputs(torch: Any, batch: int, candidates: int, seed: int) -> tuple[Any, Any]:
    """Return outputs of MogFace in device memory; candidates crowd around a few hundred faces."""
    rng = np.random.default_rng(seed)
    count = SPEC.anchor_count(*SIZE)
    scores = rng.uniform(0, 0.8, (batch, count)).astype(np.float32)
    for row in scores:
        row[rng.choice(count, candidates, replace=False)] = rng.uniform(0.83, 1, candidates)
    deltas = rng.normal(0, 0.3, (batch, count, 4)).astype(np.float32)
    return torch.from_numpy(scores).cuda(), torch.from_numpy(deltas).cuda()


def in_torch(torch: Any, inputs: list[tuple[Any, Any]]) -> float | None:
    """Return the microseconds of the same steps in torch and torchvision; None without torchvision.

    Not as a graph: torchvision's NMS returns to the host.
    """
    try:
        from torchvision.ops import nms
    except ImportError:
        return None
    table = torch.from_numpy(np.array(anchors(SPEC, *SIZE))).cuda()
    chosen = SPEC.thresholds

    def image(scores: Any, deltas: Any) -> Any:
        index = torch.nonzero(scores > chosen.score_threshold).squeeze(1)
        best, order = torch.topk(scores[index], min(chosen.top_k, len(index)))
        index = index[order]
        near, moved = table[index], deltas[index]
        center = near[:, :2] + moved[:, :2] * near[:, 2:]
        size = near[:, 2:] * torch.exp(moved[:, 2:])
        low = center - (size - 1) / 2
        boxes = torch.cat([low, low + size - 1], 1)
        return boxes[nms(boxes, best, chosen.iou_threshold)[: chosen.max_detections]]

    times = []
    for scores, deltas in inputs[:20] + inputs[:20]:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for row in range(len(scores)):
            image(scores[row], deltas[row])
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return float(statistics.median(times[len(times) // 2 :]))


def letterbox_case(
    torch: Any, kernels: Kernels, bandwidth: float, batch: int, shape: tuple[int, int]
) -> dict[str, Any]:
    turns = max(2, math.ceil(BEYOND_CACHE / (batch * shape[0] * shape[1] * 3)))
    placement = place_letterbox(*shape, SIZE)
    frames = torch.empty(turns, batch, *shape, 3, dtype=torch.uint8, device="cuda").random_(0, 255)
    tables = [
        torch.from_numpy(
            kernels.frame_table([Frame.of(each) for each in frames[turn]], [placement] * batch, SIZE)
        ).cuda()
        for turn in range(turns)
    ]
    images = torch.empty(batch, *SIZE, 3, dtype=torch.uint8, device="cuda")

    def launch(table: Any) -> None:
        kernels.letterbox(table, images, stream=torch.cuda.current_stream())

    ours = time_graph(torch, [lambda table=table: launch(table) for table in tables])  # type: ignore[misc]
    floats = frames[0].permute(0, 3, 1, 2).float()
    resize = torch.nn.functional.interpolate
    theirs = time_graph(
        torch, [lambda: resize(floats, size=placement.content, mode="bilinear").to(torch.uint8)] * 4
    )
    read = batch * shape[0] * shape[1] * 3 / bandwidth * 1e6
    return {
        "case": f"batch {batch}, {shape[1]}x{shape[0]}",
        "microseconds": ours,
        "target": 2 * read,
        "floor": read,
        "peer": theirs,
        "peer_name": "torch, only interpolate, on floats",
    }


def resample_case(torch: Any, kernels: Kernels, bandwidth: float, height: int, width: int) -> dict[str, Any]:
    """Measure a step of the pyramid of one frame of 1920x1080."""
    frames, tables = frames_beyond_cache(torch, kernels)
    images = torch.empty(1, height, width, 3, dtype=torch.uint8, device="cuda")

    def launch(table: Any) -> None:
        kernels.resample(table, images, stream=torch.cuda.current_stream())

    ours = time_graph(torch, [lambda table=table: launch(table) for table in tables])  # type: ignore[misc]
    read = frames[0].numel() / bandwidth * 1e6
    case = f"1920x1080 to {width}x{height}"
    return resampled(torch, case, ours, read, frames[0][None], (height, width))


def boxes_case(torch: Any, kernels: Kernels, bandwidth: float) -> dict[str, Any]:
    """Measure boxes of one frame of 1920x1080 to 24x24; the peer's are cut out already."""
    frames, tables = frames_beyond_cache(torch, kernels)
    corners = torch.stack([torch.arange(BOXES) * 13, torch.arange(BOXES) * 7], dim=1)
    boxes = torch.cat([corners, corners + BOX], dim=1).int().cuda()
    indices = torch.zeros(BOXES, dtype=torch.int32, device="cuda")
    images = torch.empty(BOXES, 24, 24, 3, dtype=torch.uint8, device="cuda")

    def launch(table: Any) -> None:
        stream = torch.cuda.current_stream()
        kernels.resample(table, images, boxes=boxes, indices=indices, stream=stream)

    ours = time_graph(torch, [lambda table=table: launch(table) for table in tables])  # type: ignore[misc]
    read = BOXES * BOX * BOX * 3 / bandwidth * 1e6
    crops = frames[0][None, :BOX, :BOX].expand(BOXES, -1, -1, -1)
    return resampled(torch, f"{BOXES} boxes of {BOX}x{BOX} to 24x24", ours, read, crops, (24, 24))


def frames_beyond_cache(torch: Any, kernels: Kernels) -> tuple[Any, list[Any]]:
    """Return frames of 1920x1080 that exceed the cache together, and the table of each."""
    turns = max(2, math.ceil(BEYOND_CACHE / (1080 * 1920 * 3)))
    frames = torch.empty(turns, 1080, 1920, 3, dtype=torch.uint8, device="cuda").random_(0, 255)
    placement = place_letterbox(1080, 1920, SIZE)
    tables = [kernels.frame_table([Frame.of(frame)], [placement], SIZE) for frame in frames]
    return frames, [torch.from_numpy(table).cuda() for table in tables]


def resampled(
    torch: Any, case: str, microseconds: float, floor: float, images: Any, size: tuple[int, int]
) -> dict[str, Any]:
    """Return the row of a case, with the time of torch's antialiased interpolation of the same images."""
    floats = images.permute(0, 3, 1, 2).float()
    resize = torch.nn.functional.interpolate
    theirs = time_graph(
        torch, [lambda: resize(floats, size=size, mode="bilinear", antialias=True).to(torch.uint8)] * 4
    )
    return {
        "case": case,
        "microseconds": microseconds,
        "target": None,
        "floor": floor,
        "peer": theirs,
        "peer_name": "torch, only interpolate, on floats",
    }


def show(console: Console, title: str, figures: list[dict[str, Any]]) -> None:
    table = Table(
        "case",
        "us",
        "target",
        "floor",
        "peer, us",
        "ratio",
        title=f"{title}; peer: {figures[0]['peer_name']}",
    )
    for row in figures:
        peer = row["peer"]
        table.add_row(
            row["case"],
            f"{row['microseconds']:.1f}",
            *("" if row[name] is None else f"{row[name]:.1f}" for name in ("target", "floor")),
            "not installed" if peer is None else f"{peer:.1f}",
            "" if peer is None else f"{peer / row['microseconds']:.1f}x",
        )
    console.print(table)


if __name__ == "__main__":
    main()
