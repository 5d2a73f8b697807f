"""Arguments that do not fit: one line that names the argument, and nothing is launched."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support import device
from tests.support.device import Address, Bytes, HostCandidates, HostFaces
from tests.support.problems import problem
from tests.support.specs import one_line, small_spec
from trt_mogface.errors import ArgumentError
from trt_mogface.frame import Frame
from trt_mogface.kernels import FRAME_BYTES, Kernels
from trt_mogface.reference.resize import Placement
from trt_mogface.spec import Level, Thresholds

BATCH, SIZE, POINTS = 2, (32, 48), 5
BOXES = 3
SPEC = small_spec("ssd", landmarks=POINTS, top_k=20, max_detections=10)
BARE = small_spec("ssd", top_k=20, max_detections=10)
LIMITS = SPEC.thresholds
COUNT = SPEC.anchor_count(*SIZE)

BLACK = np.zeros((*SIZE, 3), np.uint8)

Arguments = dict[str, Any]


def frames_table(kernels: Kernels, batch: int = BATCH) -> Bytes:
    return kernels.frame_table([Frame((BLACK,))] * batch, [Placement((1.0, 1.0), SIZE, SIZE)] * batch, SIZE)


def outputs() -> Arguments:
    rng = np.random.default_rng(0)
    made = problem(SPEC, rng.random((BATCH, COUNT), np.float32), size=SIZE)
    assert made.landmarks is not None
    return {"scores": made.scores, "deltas": made.deltas, "landmarks": made.landmarks}


def decode(kernels: Kernels) -> Arguments:
    return {
        **outputs(),
        "out": device.candidates(BATCH, LIMITS.top_k, POINTS),
        "spec": SPEC,
        "size": SIZE,
        "thresholds": LIMITS,
        "workspace": device.memory(kernels.decode_workspace(SPEC, LIMITS, BATCH, SIZE)),
        "stream": None,
    }


def select(kernels: Kernels) -> Arguments:
    candidates = device.candidates(BATCH, LIMITS.top_k, POINTS)
    candidates.counts[:] = 0
    return {
        "candidates": candidates,
        "out": device.faces(BATCH, LIMITS.most_faces, POINTS),
        "thresholds": LIMITS,
        "workspace": device.memory(kernels.select_workspace(LIMITS, BATCH)),
        "frames": frames_table(kernels),
        "clip": True,
        "stream": None,
    }


def detect(kernels: Kernels) -> Arguments:
    return {
        **outputs(),
        "out": device.faces(BATCH, LIMITS.most_faces, POINTS),
        "spec": SPEC,
        "size": SIZE,
        "thresholds": LIMITS,
        "workspace": device.memory(kernels.detect_workspace(SPEC, LIMITS, BATCH, SIZE)),
        "frames": frames_table(kernels),
        "clip": True,
        "stream": None,
    }


def letterbox(kernels: Kernels) -> Arguments:
    return {
        "frames": frames_table(kernels),
        "images": device.memory(BATCH * SIZE[0] * SIZE[1] * 3).reshape(BATCH, *SIZE, 3),
        "pad": (1, 2, 3),
        "stream": None,
    }


def resample(kernels: Kernels) -> Arguments:
    return {
        "frames": frames_table(kernels),
        "images": device.memory(BOXES * 24 * 20 * 3).reshape(BOXES, 24, 20, 3),
        "boxes": np.tile(np.array([-1, 2, 9, 40], np.int32), (BOXES, 1)),
        "indices": np.arange(BOXES, dtype=np.int32) % BATCH,
        "stream": None,
    }


Make = Callable[[Kernels], Arguments]
LAUNCHERS: tuple[Make, ...] = (decode, select, detect, letterbox, resample)
WITH_OUTPUTS: tuple[Make, ...] = (decode, detect)
WITH_WORKSPACE: tuple[Make, ...] = (decode, select, detect)
WITH_FRAMES: tuple[Make, ...] = (select, detect, letterbox, resample)


def changed(arguments: Arguments, changes: Arguments) -> Arguments:
    """Other arguments, or with a point in the name another field of one: ``out.boxes``."""
    made = dict(arguments)
    for name, value in changes.items():
        argument, _, field = name.partition(".")
        made[argument] = dataclasses.replace(made[argument], **{field: value}) if field else value
    return made


def field_of(arguments: Arguments, name: str) -> Any:
    argument, _, field = name.partition(".")
    return getattr(arguments[argument], field) if field else arguments[argument]


def launch(kernels: Kernels, make: Make, arguments: Arguments) -> None:
    getattr(kernels, make.__name__)(**arguments)


def written(arguments: Arguments) -> list[NDArray[Any]]:
    out = arguments.get("out")
    results = device.arrays(out) if isinstance(out, HostCandidates | HostFaces) else [arguments["images"]]
    if "workspace" in arguments:
        results.append(arguments["workspace"])
    return results


def refused(kernels: Kernels, make: Make, arguments: Arguments | None = None, /, **changes: Any) -> str:
    """The message about arguments that were changed; nothing was written."""
    arguments = arguments or make(kernels)
    with pytest.raises(ArgumentError) as caught:
        launch(kernels, make, changed(arguments, changes))
    assert all(device.is_unwritten(array) for array in written(arguments))
    return one_line(caught.value)


@pytest.mark.parametrize("make", LAUNCHERS)
def test_the_arguments_that_are_changed_below_are_taken(kernels: Kernels, make: Make) -> None:
    arguments = make(kernels)
    launch(kernels, make, arguments)
    assert not any(device.is_unwritten(array) for array in written(arguments)[:1])


@dataclass(frozen=True)
class Taken:
    """An array that a launcher takes, and types that it does not take."""

    make: Make
    name: str
    shape: tuple[int, ...]
    dtype: type[np.generic]
    wrong: tuple[type[np.generic], ...]

    def __str__(self) -> str:
        return f"{self.make.__name__} {self.name}"

    @property
    def called(self) -> str:
        """What messages call it: `decode` puts out candidates."""
        return self.name.replace("out.", "candidates.") if self.make is decode else self.name

    def made(self) -> NDArray[Any]:
        return np.zeros(self.shape, self.dtype)


F32, F16, F64, I32, I64, U8 = np.float32, np.float16, np.float64, np.int32, np.int64, np.uint8
TOP, MOST = LIMITS.top_k, LIMITS.most_faces

ARRAYS = [
    *(
        taken
        for make in WITH_OUTPUTS
        for taken in (
            Taken(make, "scores", (BATCH, COUNT), F32, (F64, I32, U8)),
            Taken(make, "deltas", (BATCH, COUNT, 4), F32, (F64, I32, F16)),
            Taken(make, "landmarks", (BATCH, COUNT, 2 * POINTS), F32, (F64, F16)),
        )
    ),
    *(
        taken
        for make, where in ((decode, "out"), (select, "candidates"))
        for taken in (
            Taken(make, f"{where}.counts", (BATCH,), I32, (I64, F32)),
            Taken(make, f"{where}.dropped", (BATCH,), I32, (I64, U8)),
            Taken(make, f"{where}.anchors", (BATCH, TOP), I32, (I64, F32)),
            Taken(make, f"{where}.boxes", (BATCH, TOP, 4), F32, (F64, F16)),
            Taken(make, f"{where}.scores", (BATCH, TOP), F32, (F64, I32)),
            Taken(make, f"{where}.landmarks", (BATCH, TOP, POINTS, 2), F32, (F64, F16)),
        )
    ),
    *(
        taken
        for make in (select, detect)
        for taken in (
            Taken(make, "out.counts", (BATCH,), I32, (I64, F32)),
            Taken(make, "out.dropped", (BATCH,), I32, (I64, F32)),
            Taken(make, "out.boxes", (BATCH, MOST, 4), F32, (F64, F16)),
            Taken(make, "out.scores", (BATCH, MOST), F32, (F64, I32)),
            Taken(make, "out.landmarks", (BATCH, MOST, POINTS, 2), F32, (F64, F16)),
        )
    ),
    *(Taken(make, "frames", (BATCH, FRAME_BYTES), U8, (I32, np.int8)) for make in WITH_FRAMES),
    Taken(letterbox, "images", (BATCH, *SIZE, 3), U8, (np.int8, F32)),
    Taken(resample, "images", (BOXES, 24, 20, 3), U8, (np.int8, F32)),
    Taken(resample, "boxes", (BOXES, 4), I32, (I64, F32)),
    Taken(resample, "indices", (BOXES,), I32, (I64, F32)),
]

FREE: dict[tuple[Make, str], int] = {
    (decode, "scores"): 0,
    (detect, "scores"): 0,
    (select, "candidates.counts"): 0,
    (select, "candidates.landmarks"): 2,
    (resample, "frames"): 0,
}
"""Axes of any length: those of other arrays follow from them, or none."""

every_array = pytest.mark.parametrize("taken", ARRAYS, ids=str)


@every_array
def test_an_array_of_another_type_is_refused(kernels: Kernels, taken: Taken) -> None:
    others = [np.dtype(dtype) for dtype in (*taken.wrong, np.bool_, np.complex64)]
    if taken.dtype != U8:
        others.append(np.dtype(taken.dtype).newbyteorder())
    for dtype in others:
        other = taken.made().astype(dtype)
        assert refused(kernels, taken.make, **{taken.name: other}).startswith(f"{taken.called}: ")


@every_array
def test_an_array_of_another_shape_is_refused(kernels: Kernels, taken: Taken) -> None:
    shape = taken.shape
    if taken.name == "images":
        shapes = [(*shape[:3], 4), shape[1:], (1, *shape)]
    else:
        free = FREE.get((taken.make, taken.name))
        axes = [axis for axis in range(len(shape)) if axis != free]
        shapes = [(*shape[:axis], shape[axis] + by, *shape[axis + 1 :]) for axis in axes for by in (-1, 1)]
        shapes += [(1, *shape), shape[1:], (*shape, 1)]
    for other in shapes:
        message = refused(kernels, taken.make, **{taken.name: np.zeros(other, taken.dtype)})
        assert message.startswith(f"{taken.called}: expected shape")


@every_array
def test_an_array_with_gaps_is_refused(kernels: Kernels, taken: Taken) -> None:
    shape, dtype = taken.shape, taken.dtype
    wide = np.zeros((*shape[:-1], 2 * shape[-1]), dtype)
    with_gaps = [wide[..., ::2], np.zeros((2 * shape[0], *shape[1:]), dtype)[::2]]
    if len(shape) > 1:
        with_gaps += [wide[..., : shape[-1]], np.asfortranarray(taken.made())]
    for array in with_gaps:
        assert array.shape == shape
        message = refused(kernels, taken.make, **{taken.name: array})
        assert message.startswith(f"{taken.called}: must be contiguous")


@every_array
def test_an_array_that_cannot_be_written_is_refused_where_it_would_be(kernels: Kernels, taken: Taken) -> None:
    fixed = taken.made()
    protected = Address(fixed, read_only=True)
    if taken.name != "images" and not taken.name.startswith("out"):
        return
    message = refused(kernels, taken.make, **{taken.name: protected})
    assert message == f"{taken.called}: must not be read-only"
    fixed.flags.writeable = False
    message = refused(kernels, taken.make, **{taken.name: fixed})
    assert message.startswith(f"{taken.called}: cannot be shared")


@every_array
def test_an_address_of_null_is_refused(kernels: Kernels, taken: Taken) -> None:
    nowhere = Address(taken.made(), address=0)
    assert (
        refused(kernels, taken.make, **{taken.name: nowhere}) == f"{taken.called}: address must not be null"
    )


@every_array
def test_what_is_no_array_is_refused(kernels: Kernels, taken: Taken) -> None:
    for what in ("text", 7, [0.0], (), object(), b"bytes"):
        message = refused(kernels, taken.make, **{taken.name: what})
        assert message.startswith(f"{taken.called}: not a device array but {type(what).__name__}")


@pytest.mark.parametrize("make", WITH_OUTPUTS)
def test_batches_that_differ_are_refused(kernels: Kernels, make: Make) -> None:
    assert refused(kernels, make, scores=np.zeros((1, COUNT), F32)).startswith("deltas: expected shape [1, ")
    message = refused(kernels, select, **{"candidates.counts": np.zeros(1, I32)})
    assert message.startswith("candidates.dropped: expected shape [1]")
    message = refused(kernels, select, **{"candidates.landmarks": np.zeros((BATCH, TOP, 3, 2), F32)})
    assert message == f"out.landmarks: expected shape [{BATCH}, {MOST}, 3, 2], not [{BATCH}, {MOST}, 5, 2]"


@pytest.mark.parametrize("make", WITH_WORKSPACE)
def test_a_workspace_that_cannot_be_written_is_refused(kernels: Kernels, make: Make) -> None:
    workspace = Address(make(kernels)["workspace"], read_only=True)
    assert refused(kernels, make, workspace=workspace) == "workspace: must not be read-only"


@pytest.mark.parametrize("make", WITH_WORKSPACE)
def test_a_workspace_at_null_is_refused(kernels: Kernels, make: Make) -> None:
    nowhere = Address(make(kernels)["workspace"], address=0)
    assert refused(kernels, make, workspace=nowhere) == "workspace: address must not be null"


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (decode, "scores"),
        (decode, "deltas"),
        (detect, "deltas"),
        (decode, "out.boxes"),
        (select, "candidates.counts"),
        (select, "out.counts"),
        (detect, "out.scores"),
        (decode, "workspace"),
        (select, "workspace"),
        (letterbox, "frames"),
        (letterbox, "images"),
        (resample, "frames"),
        (resample, "images"),
    ],
)
def test_a_missing_array_is_refused(kernels: Kernels, make: Make, name: str) -> None:
    message = refused(kernels, make, **{name: None})
    assert message.startswith(f"{Taken(make, name, (), F32, ()).called}: not a device array but NoneType")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (decode, "landmarks"),
        (detect, "landmarks"),
        (decode, "out.landmarks"),
        (select, "out.landmarks"),
        (detect, "out.landmarks"),
    ],
)
def test_landmarks_are_there_if_and_only_if_the_model_has_them(
    kernels: Kernels, make: Make, name: str
) -> None:
    message = refused(kernels, make, **{name: None})
    assert message == f"{Taken(make, name, (), F32, ()).called}: must be given, the model has landmarks"
    if make is select:
        changes: Arguments = {"candidates.landmarks": None}
    elif "." in name:
        changes = {"spec": BARE, "landmarks": None}
    else:
        changes = {"spec": BARE}
    message = refused(kernels, make, **changes)
    assert message == f"{Taken(make, name, (), F32, ()).called}: must be None, the model has no landmarks"


@pytest.mark.parametrize("make", WITH_OUTPUTS)
def test_halves_and_floats_do_not_mix(kernels: Kernels, make: Make) -> None:
    halves = {name: array.astype(F16) for name, array in outputs().items()}
    assert refused(kernels, make, scores=halves["scores"]) == "deltas: expected float16, not float32"
    assert refused(kernels, make, deltas=halves["deltas"]) == "deltas: expected float32, not float16"
    message = refused(kernels, make, scores=halves["scores"], deltas=halves["deltas"])
    assert message == "landmarks: expected float16, not float32"


@pytest.mark.parametrize("make", WITH_WORKSPACE)
def test_a_workspace_one_byte_too_small_is_refused(kernels: Kernels, make: Make) -> None:
    whole = make(kernels)["workspace"]
    message = refused(kernels, make, workspace=whole[:-1])
    assert message == f"workspaceBytes {whole.size - 1}: must be at least {whole.size}"
    launch(kernels, make, changed(make(kernels), {"workspace": whole.view(np.float64).reshape(2, -1)}))


@pytest.mark.parametrize("offset", [1, 8, 128, 255])
@pytest.mark.parametrize("make", WITH_WORKSPACE)
def test_a_workspace_that_is_not_aligned_is_refused(kernels: Kernels, make: Make, offset: int) -> None:
    workspace = device.memory(make(kernels)["workspace"].size, offset=offset)
    message = refused(kernels, make, workspace=workspace)
    assert message.startswith("workspace 0x")
    assert message.endswith("must be aligned to 256 bytes")


@pytest.mark.parametrize(
    ("make", "name"), [(decode, "out"), (select, "candidates"), (select, "out"), (detect, "out")]
)
def test_boxes_that_are_not_aligned_are_refused(kernels: Kernels, make: Make, name: str) -> None:
    shape = make(kernels)[name].boxes.shape
    for offset in (4, 8):
        boxes = device.memory(int(np.prod(shape)) * 4, offset=offset).view(F32).reshape(shape)
        message = refused(kernels, make, **{f"{name}.boxes": boxes})
        kind = "candidates" if make is decode or name == "candidates" else "detections"
        assert message.startswith(f"{kind}.boxes 0x")
        assert message.endswith("must be aligned to 16 bytes")


@pytest.mark.parametrize("make", WITH_FRAMES)
def test_frames_that_are_not_aligned_are_refused(kernels: Kernels, make: Make) -> None:
    table = device.memory(BATCH * FRAME_BYTES, offset=4).reshape(BATCH, FRAME_BYTES)
    message = refused(kernels, make, frames=table)
    assert message.startswith("frames 0x")
    assert message.endswith("must be aligned to 8 bytes")


def workspace_of(kernels: Kernels, make: Make, limits: Thresholds) -> int:
    if make is select:
        return kernels.select_workspace(limits, BATCH)
    of = kernels.decode_workspace if make is decode else kernels.detect_workspace
    return of(SPEC, limits, BATCH, SIZE)


@pytest.mark.parametrize("make", WITH_WORKSPACE)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_k", 0),
        ("top_k", -1),
        ("top_k", 8193),
        ("top_k", 2**32 + 20),
        ("top_k", -(2**31)),
        ("max_detections", 0),
        ("max_detections", -5),
        ("score_threshold", -0.001),
        ("score_threshold", 1.001),
        ("score_threshold", float("nan")),
        ("score_threshold", float("inf")),
        ("iou_threshold", -0.001),
        ("iou_threshold", 1.001),
        ("iou_threshold", float("nan")),
    ],
)
def test_thresholds_out_of_range_are_refused(kernels: Kernels, make: Make, field: str, value: Any) -> None:
    limits = dataclasses.replace(LIMITS, **{field: value})
    name = f"thresholds.{field.removesuffix('_threshold')} "
    assert name in refused(kernels, make, thresholds=limits)
    with pytest.raises(ArgumentError, match=name):
        workspace_of(kernels, make, limits)


@pytest.mark.parametrize("make", WITH_WORKSPACE)
def test_the_ends_of_their_ranges_are_taken(kernels: Kernels, make: Make) -> None:
    ends: list[Arguments] = [
        {"top_k": 1},
        {"top_k": 8192},
        {"max_detections": 1},
        {"max_detections": 10**6},
        {"score_threshold": 0.0, "iou_threshold": 1.0},
        {"score_threshold": 1.0, "iou_threshold": 0.0},
    ]
    for changes in ends:
        assert workspace_of(kernels, make, dataclasses.replace(LIMITS, **changes)) > 0


@pytest.mark.parametrize("size", [(0, 48), (32, 0), (-1, 48), (32, -48)])
@pytest.mark.parametrize("make", WITH_OUTPUTS)
def test_a_size_that_is_not_positive_is_refused(kernels: Kernels, make: Make, size: tuple[int, int]) -> None:
    assert refused(kernels, make, size=size) == f"size {size[0]}x{size[1]}: must be positive"
    of = kernels.decode_workspace if make is decode else kernels.detect_workspace
    with pytest.raises(ArgumentError, match=r"^(height|width) (0|-1|-48): must lie within"):
        of(SPEC, LIMITS, BATCH, size)


def test_sizes_beyond_measure_are_refused(kernels: Kernels) -> None:
    finest = dataclasses.replace(SPEC, levels=(Level(1, (8.0,)),))
    for of in (kernels.decode_workspace, kernels.detect_workspace):
        with pytest.raises(ArgumentError, match=r"height 65537: must lie within 1\.\.65536"):
            of(SPEC, LIMITS, BATCH, (65537, 1))
        with pytest.raises(ArgumentError, match="width 65537: must"):
            of(SPEC, LIMITS, BATCH, (1, 65537))
        with pytest.raises(ArgumentError, match=r"height 65536, width 65536: more than 2\^31 anchors"):
            of(finest, LIMITS, BATCH, (65536, 65536))
        assert of(SPEC, LIMITS, 1, (65536, 1)) > 0


@pytest.mark.parametrize("batch", [0, -1, 4097])
def test_a_batch_out_of_range_is_refused(kernels: Kernels, batch: int) -> None:
    expected = rf"batch {batch}: must lie within 1\.\.4096"
    with pytest.raises(ArgumentError, match=expected):
        kernels.decode_workspace(SPEC, LIMITS, batch, SIZE)
    with pytest.raises(ArgumentError, match=expected):
        kernels.select_workspace(LIMITS, batch)
    with pytest.raises(ArgumentError, match=expected):
        kernels.detect_workspace(SPEC, LIMITS, batch, SIZE)


@pytest.mark.parametrize("make", LAUNCHERS)
def test_an_empty_batch_is_refused(kernels: Kernels, make: Make) -> None:
    arguments = make(kernels)
    for name in ("scores", "deltas", "landmarks", "frames", "images", "boxes", "indices"):
        if name in arguments:
            arguments[name] = arguments[name][:0]
    for name in ("candidates", "out"):
        if name in arguments:
            fields = vars(arguments[name])
            arguments[name] = type(arguments[name])(**{key: value[:0] for key, value in fields.items()})
    with pytest.raises(ArgumentError, match="batch 0: must lie within"):
        launch(kernels, make, arguments)


@pytest.mark.parametrize("make", [select, detect])
def test_boxes_are_not_clipped_to_frames_that_are_not_given(kernels: Kernels, make: Make) -> None:
    message = refused(kernels, make, frames=None)
    assert message == "frames: must not be null with thresholds.clip"
    launch(kernels, make, changed(make(kernels), {"frames": None, "clip": False}))


def test_without_indices_there_is_one_box_for_each_frame(kernels: Kernels) -> None:
    message = refused(kernels, resample, indices=None)
    assert message == f"frames: expected shape [{BOXES}, {FRAME_BYTES}], not [{BATCH}, {FRAME_BYTES}]"


def test_more_boxes_than_a_grid_has_room_for_are_refused(kernels: Kernels) -> None:
    most = 65535
    changes: Arguments = {
        "images": device.memory((most + 1) * 3).reshape(-1, 1, 1, 3),
        "boxes": np.zeros((most + 1, 4), I32),
        "indices": np.zeros(most + 1, I32),
    }
    with pytest.raises(ArgumentError, match=rf"^count {most + 1}: must lie within 1\.\.{most}$"):
        launch(kernels, resample, changed(resample(kernels), changes))


@pytest.mark.parametrize("pad", [(256, 0, 0), (0, -1, 0), (0, 0), (0, 0, 0, 0), ()])
def test_padding_that_is_not_three_bytes_is_refused(kernels: Kernels, pad: Any) -> None:
    assert refused(kernels, letterbox, pad=pad) == f"pad {pad}: must be three bytes"


@pytest.mark.parametrize("make", LAUNCHERS)
def test_what_is_no_stream_is_refused(kernels: Kernels, make: Make) -> None:
    for stream in ("text", 1.5, -1, True, object(), [0]):
        message = refused(kernels, make, stream=stream)
        assert message.startswith(f"stream: not a CUDA stream but {type(stream).__name__}")


class OnGpu(Address):
    """An array that says on which GPU it lies."""

    def __init__(self, of: NDArray[Any], number: int) -> None:
        super().__init__(of)
        self.of, self._number = of, number

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._number


@pytest.mark.parametrize("make", LAUNCHERS)
def test_arrays_on_two_gpus_are_refused(
    kernels: Kernels, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = make(kernels)
    monkeypatch.setattr(kernels._library, "runs_on_host", False)
    together = {
        taken.name: OnGpu(field_of(arguments, taken.name), 1) for taken in ARRAYS if taken.make is make
    }
    if "workspace" in arguments:
        together["workspace"] = OnGpu(arguments["workspace"], 1)
    for name, array in together.items():
        message = refused(kernels, make, arguments, **{**together, name: OnGpu(array.of, 0)})
        assert re.search("lies on GPU [01], and .* on GPU [01]$", message)
        assert Taken(make, name, (), F32, ()).called in message
    launch(kernels, make, changed(arguments, together))


@pytest.mark.parametrize(
    ("make", "first"),
    [
        (decode, "scores"),
        (select, "candidates.counts"),
        (detect, "scores"),
        (letterbox, "images"),
        (resample, "images"),
    ],
)
def test_host_memory_is_refused_by_kernels_that_do_not_run_there(
    kernels: Kernels, make: Make, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = make(kernels)
    monkeypatch.setattr(kernels._library, "runs_on_host", False)
    assert refused(kernels, make, arguments) == (
        f"{first}: ndarray in host memory, out of a kernel's reach; copy it to the GPU first"
    )
