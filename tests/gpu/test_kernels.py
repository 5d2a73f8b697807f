"""The kernels on a GPU: the properties that tests/plugins proves by emulation, and those that it cannot."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.support.boxes import random_box
from tests.support.device import LAUNCH_KINDS, launching
from tests.support.frames import made_frame
from tests.support.problems import CODINGS, Problem, made_up_scores, problem, solved, sprinkled
from tests.support.specs import MOGFACE, small_spec
from tests.support.two_passes import LIMITS, on_device
from tests.support.two_passes import made_up as made_up_faces
from trt_mogface.errors import ArgumentError
from trt_mogface.frame import FORMATS, MATRICES, RANGES, ColorMatrix, Frame, PixelFormat
from trt_mogface.kernels import Candidates, Faces, Kernels
from trt_mogface.reference.color import to_bgr
from trt_mogface.reference.merge import merge
from trt_mogface.reference.nms import nms
from trt_mogface.reference.resample import resample
from trt_mogface.reference.resize import Placement, paint, place_letterbox, place_native, place_stretch
from trt_mogface.reference.select import Selection
from trt_mogface.spec import DetectorSpec, InputSpec, Thresholds

pytestmark = pytest.mark.gpu


def made_up(
    spec: DetectorSpec,
    size: tuple[int, int],
    *,
    batch: int = 3,
    kind: str = "distinct",
    bad: float = 0.0,
    **limits: Any,
) -> Problem:
    rng = np.random.default_rng(len(kind) + batch)
    count = spec.anchor_count(*size)
    deltas = sprinkled(rng, rng.normal(0, 0.3, (batch, count, 4)).astype(np.float32), bad)
    landmarks = rng.normal(0, 1, (batch, count, 2 * spec.landmarks)).astype(np.float32)
    scores = made_up_scores(rng, (batch, count), kind, spec.thresholds.score_threshold)
    return problem(spec, scores, deltas, landmarks if spec.landmarks else None, size=size, **limits)


class OnGpu:
    """A problem in device memory, with buffers for its candidates and faces."""

    def __init__(self, torch: Any, kernels: Kernels, asked: Problem) -> None:
        self.asked, self.kernels = asked, kernels
        self.scores, self.deltas = (
            torch.from_numpy(asked.scores).cuda(),
            torch.from_numpy(asked.deltas).cuda(),
        )
        self.landmarks = None if asked.landmarks is None else torch.from_numpy(asked.landmarks).cuda()
        batch, points, top_k = asked.batch, asked.spec.landmarks, asked.thresholds.top_k
        most = asked.thresholds.most_faces

        def unwritten(dtype: str, *shape: int) -> Any:
            return torch.full(shape, -7, dtype=getattr(torch, dtype), device="cuda")

        self.candidates = Candidates(
            counts=unwritten("int32", batch),
            dropped=unwritten("int32", batch),
            anchors=unwritten("int32", batch, top_k),
            boxes=unwritten("float32", batch, top_k, 4),
            scores=unwritten("float32", batch, top_k),
            landmarks=unwritten("float32", batch, top_k, points, 2) if points else None,
        )
        self.faces = Faces(
            counts=unwritten("int32", batch),
            boxes=unwritten("float32", batch, most, 4),
            scores=unwritten("float32", batch, most),
            landmarks=unwritten("float32", batch, most, points, 2) if points else None,
            dropped=unwritten("int32", batch),
        )
        needed = kernels.detect_workspace(asked.spec, asked.thresholds, batch, asked.size)
        self.workspace = torch.empty(needed, dtype=torch.uint8, device="cuda")

    def detect(self, stream: Any = None) -> None:
        self.kernels.detect(
            self.scores,
            self.deltas,
            self.landmarks,
            self.faces,
            spec=self.asked.spec,
            size=self.asked.size,
            thresholds=self.asked.thresholds,
            workspace=self.workspace,
            stream=stream,
        )

    def decode(self, frames: Any = None) -> None:
        self.kernels.decode(
            self.scores,
            self.deltas,
            self.landmarks,
            self.candidates,
            spec=self.asked.spec,
            size=self.asked.size,
            thresholds=self.asked.thresholds,
            workspace=self.workspace,
            frames=frames,
        )

    def bytes(self) -> list[bytes]:
        """All results, as they lie in memory."""
        return [each.cpu().numpy().tobytes() for each in vars(self.faces).values() if each is not None]

    def check(self) -> None:
        """Candidates against the specification's, faces against what its NMS makes of these candidates."""
        self.decode()
        found, near = _on_host(self.faces), _on_host(self.candidates)
        chosen = self.asked.thresholds
        for image in range(self.asked.batch):
            expected = solved(self.asked, image)
            count = near["counts"][image]
            np.testing.assert_array_equal(
                near["anchors"][image, :count], np.where(expected.finite, expected.index, -1)
            )
            boxes = near["boxes"][image, :count][expected.finite]
            if self.asked.spec.coding.kind == "distance":
                np.testing.assert_array_equal(boxes, expected.boxes[expected.finite])
            else:  # exp is rounded in two ways
                np.testing.assert_allclose(boxes, expected.boxes[expected.finite], rtol=1e-5, atol=1e-3)
            keep = nms(
                boxes,
                chosen.iou_threshold,
                inclusive=chosen.inclusive_areas,
                max_keep=chosen.max_detections,
            )
            faces = found["counts"][image]
            assert faces == len(keep)
            np.testing.assert_array_equal(found["boxes"][image, :faces], boxes[keep])
            np.testing.assert_array_equal(
                found["scores"][image, :faces],
                self.asked.image(image)[0][expected.index[expected.finite][keep]],
            )
            assert not found["boxes"][image, faces:].any()
            assert found["dropped"][image] == expected.dropped


def _on_host(results: Candidates | Faces) -> dict[str, Any]:
    return {name: each.cpu().numpy() for name, each in vars(results).items() if each is not None}


def cases() -> dict[str, Problem]:
    found = {}
    for kind in CODINGS:
        spec = small_spec(kind, landmarks=5)
        found[f"{kind}"] = made_up(spec, (97, 131))
        found[f"{kind}, half"] = made_up(spec, (97, 131)).halved()
        found[f"{kind}, ties"] = made_up(spec, (64, 64), kind="tied", top_k=65)
        found[f"{kind}, broken numbers"] = made_up(spec, (97, 131), kind="odd", bad=0.05)
    crowd = dataclasses.replace(MOGFACE.thresholds, score_threshold=0.5)
    found["mogface at 640x640"] = made_up(dataclasses.replace(MOGFACE, thresholds=crowd), (640, 640), batch=2)
    found["a few at 640x640"] = made_up(MOGFACE, (640, 640), batch=2, score_threshold=0.99)
    found["all of 1.4 million"] = made_up(MOGFACE, (4096, 4096), batch=1, score_threshold=0.0)
    found["all equal"] = made_up(MOGFACE, (640, 640), kind="equal", score_threshold=0.1)
    found["none"] = made_up(MOGFACE, (64, 64), score_threshold=1.0)
    return found


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_faces_are_those_of_the_specification(torch: Any, kernels: Kernels, name: str) -> None:
    on_gpu = OnGpu(torch, kernels, CASES[name])
    on_gpu.detect()
    on_gpu.check()


@pytest.mark.parametrize("name", CASES)
def test_dependent_launches_give_the_same_faces(torch: Any, kernels: Kernels, name: str) -> None:
    on_gpu = OnGpu(torch, kernels, CASES[name])
    on_gpu.detect()
    expected = on_gpu.bytes()
    for _ in range(20):
        on_gpu.workspace.random_(0, 255)
        with launching("dependent"):
            on_gpu.detect()
        assert on_gpu.bytes() == expected


@pytest.mark.parametrize("kind", LAUNCH_KINDS)
def test_a_graph_is_captured_and_answers_to_new_inputs(torch: Any, kernels: Kernels, kind: str) -> None:
    """Capture forbids what allocates or waits: that it succeeds shows that nothing does."""
    asked = made_up(MOGFACE, (640, 640), score_threshold=0.9)
    on_gpu = OnGpu(torch, kernels, asked)
    on_gpu.detect()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), launching(kind):
        on_gpu.detect(torch.cuda.current_stream())
    rng = np.random.default_rng(11)
    for _ in range(3):
        scores = rng.random(asked.scores.shape, np.float32)
        on_gpu.scores.copy_(torch.from_numpy(scores))
        on_gpu.asked = dataclasses.replace(asked, scores=scores)
        graph.replay()
        torch.cuda.synchronize()
        on_gpu.check()


def test_every_run_gives_the_same_bytes(torch: Any, kernels: Kernels) -> None:
    on_gpu = OnGpu(torch, kernels, made_up(MOGFACE, (640, 640), kind="tied", batch=4))
    results = set()
    for _ in range(50):
        on_gpu.workspace.random_(0, 255)
        on_gpu.detect()
        results.add(tuple(on_gpu.bytes()))
    assert len(results) == 1


def test_no_device_memory_is_allocated(torch: Any, kernels: Kernels) -> None:
    on_gpu = OnGpu(torch, kernels, made_up(MOGFACE, (640, 640)))
    on_gpu.detect()
    torch.cuda.synchronize()
    before = torch.cuda.mem_get_info()
    for _ in range(200):
        on_gpu.detect()
    torch.cuda.synchronize()
    assert torch.cuda.mem_get_info() == before


def placements() -> list[tuple[tuple[int, int], Placement]]:
    rng = np.random.default_rng(3)
    found = []
    for height, width in [(1080, 1920), (1, 1), (37, 2000), *rng.integers(1, 700, (40, 2)).tolist()]:
        place = place_stretch if height % 3 == 0 else place_letterbox
        found.append(((height, width), place(height, width, (320, 416))))
    return found


def test_letterboxed_frames_are_opencvs(torch: Any, kernels: Kernels) -> None:
    rng = np.random.default_rng(5)
    pairs = placements()
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size, _ in pairs]
    frames = [Frame((torch.from_numpy(image).cuda(),)) for image in images]
    table = kernels.frame_table(frames, [placement for _, placement in pairs], (320, 416))
    table = torch.from_numpy(table).cuda()
    out = torch.full((len(frames), 320, 416, 3), 77, dtype=torch.uint8, device="cuda")
    kernels.letterbox(table, out, pad=(104, 117, 123))
    found = out.cpu().numpy()
    for image, (_, placement), canvas in zip(images, pairs, found):
        expected = np.empty_like(canvas)
        paint(image, placement, (104, 117, 123), expected)
        np.testing.assert_array_equal(canvas, expected)


def test_a_frame_at_its_own_size_is_copied(torch: Any, kernels: Kernels) -> None:
    image = np.random.default_rng(1).integers(0, 256, (97, 131, 3), np.uint8)
    placement = place_native(97, 131, InputSpec())
    table = kernels.frame_table([Frame((torch.from_numpy(image).cuda(),))], [placement], placement.canvas)
    out = torch.empty((1, *placement.canvas, 3), dtype=torch.uint8, device="cuda")
    kernels.letterbox(torch.from_numpy(table).cuda(), out)
    np.testing.assert_array_equal(out[0, :97, :131].cpu().numpy(), image)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "bgr"])
def test_yuv_is_that_of_the_specification(
    torch: Any, kernels: Kernels, kind: PixelFormat, matrix: ColorMatrix
) -> None:
    hosts = [
        made_frame(kind, size, matrix, range_)
        for size in ((1, 1), (97, 131), (480, 640))
        for range_ in RANGES
    ]
    frames = [
        Frame(tuple(_on_device(torch, plane) for plane in host.planes), kind, matrix, host.range)
        for host in hosts
    ]
    placements = [place_letterbox(*host.size, (320, 416)) for host in hosts]
    table = torch.from_numpy(kernels.frame_table(frames, placements, (320, 416))).cuda()
    out = torch.full((len(frames), 320, 416, 3), 77, dtype=torch.uint8, device="cuda")
    kernels.letterbox(table, out)
    for host, placement, canvas in zip(hosts, placements, out.cpu().numpy()):
        expected = np.empty_like(canvas)
        paint(to_bgr(host), placement, (0, 0, 0), expected)
        np.testing.assert_array_equal(canvas, expected)


@pytest.mark.parametrize("tall_rows_first", [False, True])
@pytest.mark.parametrize("size", [(24, 24), (48, 48), (12, 37), (255, 453)])
def test_boxes_are_resampled_as_specified(
    torch: Any, kernels: Kernels, size: tuple[int, int], tall_rows_first: bool
) -> None:
    rng = np.random.default_rng(6)
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in ((360, 640), (900, 130), (7, 5))]
    frames = [Frame((torch.from_numpy(image).cuda(),)) for image in images]
    placements = [place_letterbox(image.shape[0], image.shape[1], (32, 32)) for image in images]
    table = torch.from_numpy(kernels.frame_table(frames, placements, (32, 32))).cuda()
    indices = rng.integers(-1, len(images), 60).astype(np.int32)
    boxes = [random_box(rng, images[index].shape[:2], 500) for index in indices]
    out = torch.full((len(boxes), *size, 3), 77, dtype=torch.uint8, device="cuda")
    kernels.resample(
        table,
        out,
        boxes=torch.tensor(boxes, dtype=torch.int32, device="cuda"),
        indices=torch.from_numpy(indices).cuda(),
        tall_rows_first=tall_rows_first,
    )
    for index, box, found in zip(indices, boxes, out.cpu().numpy()):
        if index < 0:
            assert not found.any()
        else:
            expected = resample(images[index], box, size, tall_rows_first=tall_rows_first)
            np.testing.assert_array_equal(found, expected)


class _Samples:
    """An array on the GPU of a type that older torch lacks: uint16."""

    def __init__(self, plane: Any, array: np.ndarray[Any, Any]) -> None:
        self._plane = plane
        self.__cuda_array_interface__ = plane.__cuda_array_interface__ | {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "strides": None,
        }


def _on_device(torch: Any, array: np.ndarray[Any, Any]) -> Any:
    return _Samples(torch.from_numpy(np.ascontiguousarray(array).view(np.uint8).copy()).cuda(), array)


def test_boxes_are_cut_at_the_contents_of_frames(torch: Any, kernels: Kernels) -> None:
    asked = made_up(small_spec("distance", landmarks=5), (97, 131), clip=True)
    on_gpu = OnGpu(torch, kernels, asked)
    placement = Placement((1.0, 1.0), (60, 77), asked.size)
    images = torch.zeros((asked.batch, 60, 77, 3), dtype=torch.uint8, device="cuda")
    frames = [Frame((image,)) for image in images]
    table = kernels.frame_table(frames, [placement] * asked.batch, asked.size)
    on_gpu.decode(torch.from_numpy(table).cuda())
    found = _on_host(on_gpu.candidates)
    for image in range(asked.batch):
        expected = solved(asked, image, placement.content)
        boxes = found["boxes"][image, : found["counts"][image]]
        np.testing.assert_array_equal(boxes[expected.finite], expected.boxes[expected.finite])


def _faces_on_gpu(torch: Any, images: list[Selection], most: int) -> Faces:
    made = {
        name: None if array is None else torch.from_numpy(array.copy()).cuda()
        for name, array in vars(on_device(images, most)).items()
    }
    return Faces(**made)


@pytest.mark.parametrize("points", [0, 5])
def test_faces_of_two_passes_are_merged_as_specified(torch: Any, kernels: Kernels, points: int) -> None:
    rng = np.random.default_rng(points)
    first = [made_up_faces(rng, count, points) for count in (300, 0, 40)]
    second = [made_up_faces(rng, count, points) for count in (200, 300, 3)]
    thresholds, placement = Thresholds(0.5, 0.4, 5000, 300), Placement((0.75, 0.5), (40, 64), (64, 64))
    frames = [Frame((torch.zeros((8, 8, 3), dtype=torch.uint8, device="cuda"),))] * 3
    table = torch.from_numpy(kernels.frame_table(frames, [placement] * 3, (64, 64))).cuda()
    faces, further = (_faces_on_gpu(torch, images, 300) for images in (first, second))
    needed = kernels.merge_workspace(thresholds, 3, points)
    kernels.merge(
        further,
        faces,
        thresholds=thresholds,
        limits=LIMITS,
        largest_face=0.0,
        workspace=torch.empty(needed, dtype=torch.uint8, device="cuda"),
        frames=table,
    )
    found = _on_host(faces)
    for row, (one, other) in enumerate(zip(first, second)):
        expected = merge(one, other, thresholds, LIMITS, placement.scale)
        count = len(expected.scores)
        assert (found["counts"][row], found["dropped"][row]) == (count, expected.dropped)
        np.testing.assert_array_equal(found["boxes"][row, :count], expected.boxes)
        np.testing.assert_array_equal(found["scores"][row, :count], expected.scores)


def test_host_memory_is_refused(torch: Any, kernels: Kernels) -> None:
    on_gpu = OnGpu(torch, kernels, made_up(MOGFACE, (64, 64)))
    on_gpu.scores = np.asarray(on_gpu.asked.scores)
    with pytest.raises(ArgumentError, match=r"scores.*host memory"):
        on_gpu.detect()
    assert (on_gpu.faces.counts == -7).all()  # type: ignore[attr-defined]


def test_arrays_of_cupy_are_taken(torch: Any, kernels: Kernels) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    on_gpu = OnGpu(torch, kernels, made_up(MOGFACE, (64, 64)))
    on_gpu.detect()
    torch.cuda.synchronize()
    expected = on_gpu.bytes()
    on_gpu.scores, on_gpu.deltas = cupy.asarray(on_gpu.asked.scores), cupy.asarray(on_gpu.asked.deltas)
    on_gpu.faces.boxes.fill_(-7)  # type: ignore[attr-defined]
    on_gpu.detect(cupy.cuda.Stream.null)
    torch.cuda.synchronize()
    assert on_gpu.bytes() == expected
