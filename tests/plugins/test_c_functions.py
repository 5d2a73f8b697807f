"""The C functions as a C program calls them: what they refuse, and what they say."""

from __future__ import annotations

import ctypes as c
import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import device
from tests.support.specs import small_spec
from tests.support.strategies import examples, specs
from trt_mogface.kernels import interface
from trt_mogface.kernels.arguments import detector_struct, thresholds_struct
from trt_mogface.spec import DetectorSpec

INVALID = 1
"""``cudaErrorInvalidValue``."""

SPEC = small_spec("ssd", landmarks=5, top_k=20, max_detections=10)
COUNT = SPEC.anchor_count(32, 48)

Arguments = dict[str, Any]

CASCADE_LAUNCHERS = "mogfaceCascadeWindows", "mogfaceCascadeBoxes", "mogfaceCascadeFaces"


@pytest.fixture(scope="module")
def functions(library: Path) -> c.CDLL:
    loaded = c.CDLL(str(library))
    interface.declare(loaded)
    return loaded


class Memory:
    """Structures that point to arrays of one image, and the arrays."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []

    def at(self, *shape: int) -> int:
        made = device.floats(*shape)
        self.arrays.append(made)
        return int(made.ctypes.data)

    def arguments(self) -> dict[str, Arguments]:
        """Arguments of every function by their name in its declaration; all of them are taken."""
        outputs = interface.MogfaceOutputs(
            self.at(COUNT), self.at(COUNT, 4), self.at(COUNT, 10), interface.FP32, 1, 32, 48
        )
        candidates = interface.MogfaceCandidates(
            self.at(1), self.at(1), self.at(20), self.at(20, 4), self.at(20), self.at(20, 10)
        )
        detections, further = (
            interface.MogfaceDetections(self.at(1), self.at(1), self.at(10, 4), self.at(10), self.at(10, 10))
            for _ in range(2)
        )
        frame = interface.MogfaceFrame(
            (self.at(100), 0, 0), (15, 0, 0), 1.0, 1.0, 1.0, 1.0, 0, 0, 0, 5, 5, 5, 5
        )
        self.arrays.append(frame)
        frames = c.addressof(frame)
        detector, thresholds = detector_struct(SPEC), thresholds_struct(SPEC.thresholds)
        cascade = self.cascade_arguments()
        images, workspace = self.at(32 * 48), self.at(1 << 16)
        size: Arguments = {"height": 32, "width": 48}
        problem: Arguments = {"detector": detector, "thresholds": thresholds}
        scratch: Arguments = {"workspace": workspace, "workspaceBytes": 1 << 18, "stream": None}
        return {
            "mogfaceAnchorCount": {"detector": detector, **size, "count": c.c_int64()},
            "mogfaceCheckFrames": {"frames": frames, "batch": 1, **size},
            "mogfaceLetterbox": {
                "frames": frames,
                "batch": 1,
                "pad": 0,
                "images": images,
                **size,
                "stream": None,
            },
            "mogfaceResample": {
                "frames": frames,
                "batch": 1,
                "boxes": None,
                "indices": None,
                "count": 1,
                "tallRowsFirst": 1,
                "images": images,
                **size,
                "stream": None,
            },
            "mogfaceDecodeWorkspace": {**problem, "batch": 1, **size, "bytes": c.c_size_t()},
            "mogfaceSelectWorkspace": {"thresholds": thresholds, "batch": 1, "bytes": c.c_size_t()},
            "mogfaceDetectWorkspace": {**problem, "batch": 1, **size, "bytes": c.c_size_t()},
            "mogfaceMergeWorkspace": {
                "thresholds": thresholds,
                "batch": 1,
                "landmarkCount": 5,
                "bytes": c.c_size_t(),
            },
            "mogfaceDecode": {
                **problem,
                "outputs": outputs,
                "frames": frames,
                "candidates": candidates,
                **scratch,
            },
            "mogfaceSelect": {
                "thresholds": thresholds,
                "candidates": candidates,
                "batch": 1,
                "landmarkCount": 5,
                "frames": frames,
                "detections": detections,
                **scratch,
            },
            "mogfaceDetect": {
                **problem,
                "outputs": outputs,
                "frames": frames,
                "detections": detections,
                **scratch,
            },
            "mogfaceMerge": {
                "thresholds": thresholds,
                "merging": interface.MogfaceMerging(100.0, 10.0, 50.0),
                "further": further,
                "batch": 1,
                "landmarkCount": 5,
                "frames": frames,
                "detections": detections,
                **scratch,
            },
            **cascade,
            **{name: {**cascade[name], **scratch} for name in CASCADE_LAUNCHERS[:2]},
            CASCADE_LAUNCHERS[2]: {
                **cascade[CASCADE_LAUNCHERS[2]],
                "frames": frames,
                "detections": detections,
                **scratch,
            },
        }

    def cascade_arguments(self) -> dict[str, Arguments]:
        """Arguments of the functions of a cascade, but for frames, detections and workspace."""

        def outputs(batch: int, count: int, *, planar: bool = False) -> interface.MogfaceCascadeOutputs:
            arrays = self.at(batch, count), self.at(batch, count, 4), self.at(batch, count, 10)
            return interface.MogfaceCascadeOutputs(*arrays, self.at(batch), batch, count, planar)

        boxes = device.filled((12, 4), np.float64, np.nan)
        self.arrays.append(boxes)
        thresholds = interface.MogfaceCascadeThresholds(0.5, 0.7, 20)
        tallies = interface.MogfaceTallies(self.at(1), self.at(1))
        inside, address = device.filled((15, 4), np.float64, np.nan), int(boxes.ctypes.data)
        self.arrays.append(inside)
        places = interface.MogfaceWindows(int(inside.ctypes.data), self.at(15), self.at(15, 4), 15)
        crops = interface.MogfaceCrops(self.at(1), self.at(15, 4), self.at(15), int(inside.ctypes.data), 15)
        windows, further, faces = CASCADE_LAUNCHERS
        return {
            "mogfaceCascadeWorkspace": {"batch": 1, "capacity": 12, "limit": 20, "bytes": c.c_size_t()},
            windows: {
                "outputs": outputs(1, 12, planar=True),
                "columns": 4,
                "scale": 0.6,
                "thresholds": thresholds,
                "windows": places,
                "first": 3,
                "tallies": tallies,
            },
            further: {
                "outputs": outputs(1, 12),
                "boxes": address,
                "thresholds": thresholds,
                "height": 32,
                "width": 48,
                "crops": crops,
                "tallies": tallies,
            },
            faces: {
                "outputs": outputs(1, 12),
                "boxes": address,
                "thresholds": thresholds,
                "maxDetections": 10,
            },
            "mogfaceCascadeGather": {
                "part": outputs(1, 12),
                "first": 10,
                "all": outputs(2, 11),
                "stream": None,
            },
        }


def status(functions: c.CDLL, name: str, arguments: Arguments) -> int:
    return int(getattr(functions, name)(*arguments.values()))


def problem_of(functions: c.CDLL) -> str:
    return str(functions.mogfaceProblem().decode())


def refused(functions: c.CDLL, name: str, **changes: Any) -> str:
    """What it says of changed arguments: ``structure__field`` is a field of one; nothing was written."""
    memory = Memory()
    arguments = memory.arguments()[name]
    for change, value in changes.items():
        argument, _, field = change.partition("__")
        if field:
            setattr(arguments[argument], field, value)
        else:
            arguments[argument] = value
    assert status(functions, name, arguments) == INVALID
    arrays = [array for array in memory.arrays if not isinstance(array, interface.MogfaceFrame)]
    assert all(device.is_unwritten(array) for array in arrays)
    return problem_of(functions)


POINTERS = [
    ("mogfaceAnchorCount", ("detector", "count")),
    ("mogfaceCheckFrames", ("frames",)),
    ("mogfaceLetterbox", ("frames", "images")),
    ("mogfaceResample", ("frames", "images")),
    ("mogfaceDecodeWorkspace", ("detector", "thresholds", "bytes")),
    ("mogfaceSelectWorkspace", ("thresholds", "bytes")),
    ("mogfaceDetectWorkspace", ("detector", "thresholds", "bytes")),
    ("mogfaceDecode", ("detector", "thresholds", "outputs", "candidates", "workspace")),
    ("mogfaceSelect", ("thresholds", "candidates", "detections", "workspace")),
    ("mogfaceDetect", ("detector", "thresholds", "outputs", "detections", "workspace")),
    ("mogfaceMergeWorkspace", ("thresholds", "bytes")),
    ("mogfaceCascadeWorkspace", ("bytes",)),
    ("mogfaceCascadeWindows", ("outputs", "thresholds", "windows", "tallies", "workspace")),
    ("mogfaceCascadeBoxes", ("outputs", "boxes", "thresholds", "crops", "tallies", "workspace")),
    ("mogfaceCascadeFaces", ("outputs", "boxes", "thresholds", "detections", "workspace")),
    ("mogfaceCascadeGather", ("part", "all")),
    ("mogfaceMerge", ("thresholds", "merging", "further", "frames", "detections", "workspace")),
]


@pytest.mark.parametrize("name", interface.STATUS_FUNCTIONS)
def test_the_arguments_that_are_changed_below_are_taken(functions: c.CDLL, name: str) -> None:
    memory = Memory()
    arguments = memory.arguments()[name]
    for argument in {"mogfaceSelect": ["candidates"], "mogfaceMerge": ["further", "detections"]}.get(
        name, []
    ):
        c.c_int32.from_address(arguments[argument].counts).value = 0
    assert status(functions, name, arguments) == 0
    assert problem_of(functions) == ""


@pytest.mark.parametrize(("name", "pointer"), [(name, one) for name, many in POINTERS for one in many])
def test_null_is_refused(functions: c.CDLL, name: str, pointer: str) -> None:
    assert refused(functions, name, **{pointer: None}) == f"{pointer}: must not be null"


@pytest.mark.parametrize(
    ("name", "structure", "fields"),
    [
        ("mogfaceDecode", "outputs", ("scores", "deltas", "landmarks")),
        ("mogfaceDetect", "outputs", ("scores", "deltas", "landmarks")),
        ("mogfaceDecode", "candidates", ("counts", "dropped", "anchors", "boxes", "scores", "landmarks")),
        ("mogfaceSelect", "candidates", ("counts", "dropped", "anchors", "boxes", "scores", "landmarks")),
        ("mogfaceSelect", "detections", ("counts", "boxes", "scores", "landmarks")),
        ("mogfaceDetect", "detections", ("counts", "boxes", "scores", "landmarks")),
        ("mogfaceMerge", "further", ("counts", "boxes", "scores", "landmarks")),
        ("mogfaceMerge", "detections", ("counts", "boxes", "scores", "landmarks")),
        ("mogfaceCascadeWindows", "outputs", ("scores", "offsets")),
        ("mogfaceCascadeWindows", "windows", ("boxes", "scores", "offsets")),
        ("mogfaceCascadeWindows", "tallies", ("dropped", "truncated")),
        ("mogfaceCascadeBoxes", "outputs", ("scores", "offsets")),
        ("mogfaceCascadeBoxes", "crops", ("counts", "indices", "inside")),
        ("mogfaceCascadeFaces", "outputs", ("scores", "offsets", "landmarks")),
        ("mogfaceCascadeFaces", "detections", ("counts", "dropped", "boxes", "scores", "landmarks")),
        ("mogfaceCascadeGather", "part", ("scores", "offsets")),
        ("mogfaceCascadeGather", "all", ("scores", "offsets")),
    ],
)
def test_null_in_a_structure_is_refused(
    functions: c.CDLL, name: str, structure: str, fields: tuple[str, ...]
) -> None:
    for field in fields:
        assert (
            refused(functions, name, **{f"{structure}__{field}": None})
            == f"{structure}.{field}: must not be null"
        )
        message = refused(functions, name, **{f"{structure}__{field}": 0x1001})
        bytes_ = 16 if field in ("boxes", "inside") else 4
        assert message == f"{structure}.{field} 0x1001: must be aligned to {bytes_} bytes"


def test_dropped_may_be_null_and_landmarks_where_there_are_none(functions: c.CDLL) -> None:
    memory = Memory()
    arguments = memory.arguments()["mogfaceDetect"]
    arguments["detections"].dropped = arguments["detections"].landmarks = arguments["outputs"].landmarks = (
        None
    )
    arguments["detector"].landmark_count = 0
    assert status(functions, "mogfaceDetect", arguments) == 0


WITH_DETECTOR = ["mogfaceAnchorCount", "mogfaceDecodeWorkspace", "mogfaceDecode", "mogfaceDetect"]


@pytest.mark.parametrize("name", WITH_DETECTOR)
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("level_count", 0, "detector.levelCount 0: must lie within 1..16"),
        ("level_count", 17, "detector.levelCount 17: must lie within 1..16"),
        ("coding", -1, "detector.coding -1: not a MogfaceCoding"),
        ("coding", 2, "detector.coding 2: not a MogfaceCoding"),
        ("landmark_count", -1, "detector.landmarkCount -1: must lie within 0..68"),
        ("landmark_count", 69, "detector.landmarkCount 69: must lie within 0..68"),
        ("variance_center", float("nan"), "detector: variances and center must be finite"),
        ("variance_size", float("inf"), "detector: variances and center must be finite"),
        ("center", float("-inf"), "detector: variances and center must be finite"),
    ],
)
def test_a_detector_that_is_none_is_refused(
    functions: c.CDLL, name: str, field: str, value: float, message: str
) -> None:
    assert refused(functions, name, **{f"detector__{field}": value}) == message


@pytest.mark.parametrize("name", WITH_DETECTOR)
@pytest.mark.parametrize(
    ("stride", "sides", "message"),
    [
        (0, [1.0], ".stride 0: must lie within 1..65536"),
        (65537, [1.0], ".stride 65537: must lie within 1..65536"),
        (8, [], ".sideCount 0: must lie within 1..16"),
        (8, [1.0] * 17, ".sideCount 17: must lie within 1..16"),
        (8, [1.0, 0.0], ".sides[1] 0: must be positive"),
        (8, [-1.0], ".sides[0] -1: must be positive"),
        (8, [float("nan")], ".sides[0] nan: must be positive"),
        (8, [1.0, 2.0, 65537.0], ".sides[2] 65537: must be positive"),
    ],
)
def test_a_level_that_is_none_is_refused(
    functions: c.CDLL, name: str, stride: int, sides: list[float], message: str
) -> None:
    memory = Memory()
    arguments = memory.arguments()[name]
    level = arguments["detector"].levels[1]
    level.stride, level.side_count = stride, len(sides)
    level.sides[: min(len(sides), 16)] = sides[:16]
    assert status(functions, name, arguments) == INVALID
    assert problem_of(functions) == f"detector.levels[1]{message}"


@pytest.mark.parametrize("name", ["mogfaceDecode", "mogfaceDetect"])
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("type", -1, "outputs.type -1: not a MogfaceType"),
        ("type", 2, "outputs.type 2: not a MogfaceType"),
        ("batch", 0, "batch 0: must lie within 1..4096"),
        ("batch", 4097, "batch 4097: must lie within 1..4096"),
        ("height", 0, "height 0: must lie within 1..65536"),
        ("width", 65537, "width 65537: must lie within 1..65536"),
    ],
)
def test_outputs_that_are_none_are_refused(
    functions: c.CDLL, name: str, field: str, value: int, message: str
) -> None:
    assert refused(functions, name, **{f"outputs__{field}": value}) == message


@pytest.mark.parametrize(
    "name",
    [
        "mogfaceDecode",
        "mogfaceSelect",
        "mogfaceDetect",
        "mogfaceMerge",
        "mogfaceSelectWorkspace",
        "mogfaceMergeWorkspace",
    ],
)
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("top_k", 0, "thresholds.topK 0: must lie within 1..8192"),
        ("top_k", 8193, "thresholds.topK 8193: must lie within 1..8192"),
        ("max_detections", 0, "thresholds.maxDetections 0: must lie within 1..20, topK"),
        ("max_detections", 21, "thresholds.maxDetections 21: must lie within 1..20, topK"),
        ("score", -0.5, "thresholds.score -0.5: must lie within 0..1"),
        ("iou", 1.5, "thresholds.iou 1.5: must lie within 0..1"),
    ],
)
def test_thresholds_that_are_none_are_refused(
    functions: c.CDLL, name: str, field: str, value: float, message: str
) -> None:
    assert refused(functions, name, **{f"thresholds__{field}": value}) == message


@pytest.mark.parametrize("name", ["mogfaceSelect", "mogfaceMerge", "mogfaceMergeWorkspace"])
@pytest.mark.parametrize("count", [-1, 69])
def test_a_number_of_landmarks_out_of_range_is_refused(functions: c.CDLL, name: str, count: int) -> None:
    message = refused(functions, name, landmarkCount=count)
    assert message == f"landmarkCount {count}: must lie within 0..68"


@pytest.mark.parametrize("name", ["mogfaceSelect", "mogfaceDetect"])
def test_clipping_needs_frames(functions: c.CDLL, name: str) -> None:
    message = refused(functions, name, frames=None, thresholds__clip=1)
    assert message == "frames: must not be null with thresholds.clip"


@pytest.mark.parametrize(
    "name",
    [
        "mogfaceLetterbox",
        "mogfaceResample",
        "mogfaceDecode",
        "mogfaceSelect",
        "mogfaceDetect",
        "mogfaceMerge",
    ],
)
def test_frames_that_are_not_aligned_are_refused(functions: c.CDLL, name: str) -> None:
    assert refused(functions, name, frames=0x1004) == "frames 0x1004: must be aligned to 8 bytes"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count 0: must lie within 1..65535"),
        ({"count": 65536}, "count 65536: must lie within 1..65535"),
        ({"count": 2}, "count 2: must be 1, the batch, without indices"),
        ({"boxes": 0x1002}, "boxes 0x1002: must be aligned to 4 bytes"),
        ({"indices": 0x1001}, "indices 0x1001: must be aligned to 4 bytes"),
        ({"batch": 0}, "batch 0: must lie within 1..4096"),
        ({"height": 0}, "height 0: must lie within 1..65536"),
        ({"width": 65537}, "width 65537: must lie within 1..65536"),
    ],
)
def test_boxes_that_are_none_are_refused(functions: c.CDLL, changes: Arguments, message: str) -> None:
    assert refused(functions, "mogfaceResample", **changes) == message


@pytest.mark.parametrize("field", ["large", "visible", "largest_face"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_limits_of_merging_that_are_none_are_refused(functions: c.CDLL, field: str, value: float) -> None:
    message = refused(functions, "mogfaceMerge", **{f"merging__{field}": value})
    assert message.startswith("merging: areas ")
    assert message.endswith("must be finite and not negative")


@pytest.mark.parametrize("name", ["mogfaceDecode", "mogfaceSelect", "mogfaceDetect", "mogfaceMerge"])
def test_a_workspace_that_is_too_small_is_refused(functions: c.CDLL, name: str) -> None:
    needed = c.c_size_t()
    arguments = Memory().arguments()[f"{name}Workspace"]
    assert getattr(functions, f"{name}Workspace")(*list(arguments.values())[:-1], needed) == 0
    message = refused(functions, name, workspaceBytes=needed.value - 1)
    assert message == f"workspaceBytes {needed.value - 1}: must be at least {needed.value}"
    assert refused(functions, name, workspaceBytes=0).startswith("workspaceBytes 0: must be at least")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", -1, "frames[0].format -1: not a MogfaceFormat"),
        ("format", 4, "frames[0].format 4: not a MogfaceFormat"),
        ("matrix", 3, "frames[0].matrix 3: not a MogfaceMatrix"),
        ("range", 2, "frames[0].range 2: not a MogfaceRange"),
        ("format", 1, "frames[0].planes[1]: must not be null"),
        ("height", 0, "frames[0]: 0 rows and 5 columns must lie within 1..65536"),
        ("content_width", 49, "frames[0]: content of 5 x 49 must fit 32 x 48"),
        ("planes", (0, 0, 0), "frames[0].planes[0]: must not be null"),
        ("pitches", (14, 0, 0), "frames[0].pitches[0] 14: must be at least 15, the bytes of a row"),
    ],
)
def test_a_frame_that_is_none_is_refused(functions: c.CDLL, field: str, value: Any, message: str) -> None:
    memory = Memory()
    arguments = memory.arguments()["mogfaceCheckFrames"]
    setattr(interface.MogfaceFrame.from_address(arguments["frames"]), field, value)
    assert status(functions, "mogfaceCheckFrames", arguments) == INVALID
    assert problem_of(functions) == message


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(4, 6), (3, 5), (1, 1)])
def test_pitches_of_all_planes_are_at_least_a_row(
    functions: c.CDLL, kind: int, height: int, width: int
) -> None:
    half = -(-width // 2)
    rows = [[3 * width], [width, 2 * half], [width, half, half], [2 * width, 4 * half]][kind]
    frame = interface.MogfaceFrame(
        step_x=1.0,
        step_y=1.0,
        scale_x=1.0,
        scale_y=1.0,
        format=kind,
        height=height,
        width=width,
        content_height=1,
        content_width=1,
    )
    frame.planes[: len(rows)], frame.pitches[: len(rows)] = [4096] * len(rows), rows
    assert functions.mogfaceCheckFrames(c.addressof(frame), 1, 32, 48) == 0
    for plane, row in enumerate(rows):
        less = row - (2 if kind == 3 else 1)
        frame.pitches[plane] = less
        assert functions.mogfaceCheckFrames(c.addressof(frame), 1, 32, 48) == INVALID
        assert problem_of(functions).startswith(f"frames[0].pitches[{plane}] {less}: must be at least {row}")
        frame.pitches[plane] = row


def test_a_problem_is_of_the_last_call_of_its_thread(functions: c.CDLL) -> None:
    refused(functions, "mogfaceCheckFrames", frames=None)
    seen: list[str] = []

    def elsewhere() -> None:
        seen.append(problem_of(functions))
        refused(functions, "mogfaceCheckFrames", batch=0)
        seen.append(problem_of(functions))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == ["", "batch 0: must lie within 1..4096"]
    assert problem_of(functions) == "frames: must not be null"
    memory = Memory()
    assert status(functions, "mogfaceCheckFrames", memory.arguments()["mogfaceCheckFrames"]) == 0
    assert problem_of(functions) == ""


def test_errors_have_a_name_and_a_text(functions: c.CDLL) -> None:
    assert functions.mogfaceErrorName(0) == b"cudaSuccess"
    assert functions.mogfaceErrorText(0) == b"no error"
    assert functions.mogfaceErrorName(1) == b"cudaErrorInvalidValue"
    assert functions.mogfaceErrorText(1) == b"invalid argument"


@examples(100)
@given(spec=specs(), height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_anchors_are_counted_as_a_spec_does(
    functions: c.CDLL, spec: DetectorSpec, height: int, width: int
) -> None:
    count = c.c_int64()
    assert functions.mogfaceAnchorCount(detector_struct(spec), height, width, count) == 0
    assert count.value == spec.anchor_count(height, width)


@examples(50)
@given(spec=specs(), batch=st.integers(1, 64), top_k=st.integers(1, 8192), side=st.integers(1, 2000))
def test_workspaces_grow_with_what_is_asked(
    functions: c.CDLL, spec: DetectorSpec, batch: int, top_k: int, side: int
) -> None:
    detector = detector_struct(spec)
    limits = dataclasses.replace(spec.thresholds, top_k=top_k)

    def needed(batch: int, side: int, top_k: int) -> int:
        found = c.c_size_t()
        asked = thresholds_struct(dataclasses.replace(limits, top_k=top_k))
        assert functions.mogfaceDetectWorkspace(detector, asked, batch, side, side, found) == 0
        return found.value

    bytes_ = needed(batch, side, top_k)
    assert bytes_ % device.ALIGNMENT == 0
    assert needed(batch + 1, side, top_k) > bytes_
    assert needed(batch, side, min(top_k + 100, 8192)) >= bytes_
    assert needed(batch, side + 500, top_k) >= bytes_


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mogfaceCascadeWindows", {"columns": 5}, "columns 5: must divide the 12 cells"),
        ("mogfaceCascadeWindows", {"columns": 0}, "columns 0: must divide the 12 cells"),
        ("mogfaceCascadeWindows", {"scale": float("nan")}, "scale nan: must be positive"),
        ("mogfaceCascadeWindows", {"first": 4}, "first 4: must leave 12 of 15 places"),
        ("mogfaceCascadeWindows", {"first": -1}, "first -1: must leave 12 of 15 places"),
        ("mogfaceCascadeBoxes", {"outputs__capacity": 0}, "outputs.capacity 0: must lie within 1..67108864"),
        ("mogfaceCascadeBoxes", {"outputs__batch": 0}, "batch 0: must lie within 1..4096"),
        ("mogfaceCascadeBoxes", {"crops__capacity": 0}, "crops.capacity 0: must lie within 1..67108864"),
        ("mogfaceCascadeBoxes", {"height": 0}, "height 0: must lie within 1..65536"),
        (
            "mogfaceCascadeBoxes",
            {"thresholds__limit": 8193},
            "thresholds.limit 8193: must lie within 1..8192",
        ),
        ("mogfaceCascadeFaces", {"maxDetections": 13}, "maxDetections 13: must lie within 1..12"),
        ("mogfaceCascadeFaces", {"maxDetections": 0}, "maxDetections 0: must lie within 1..12"),
        ("mogfaceCascadeGather", {"first": 11}, "first 11: must leave 12 of 22 rows"),
        ("mogfaceCascadeGather", {"part__planar": 1}, "part: must be laid out as all, and not planar"),
        ("mogfaceCascadeGather", {"part__landmarks": None}, "part: must be laid out as all, and not planar"),
    ],
)
def test_sizes_of_a_cascade_that_do_not_fit_are_refused(
    functions: c.CDLL, name: str, changes: Arguments, message: str
) -> None:
    assert refused(functions, name, **changes) == message
