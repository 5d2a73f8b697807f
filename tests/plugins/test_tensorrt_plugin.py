"""The TensorRT plugin, compiled with real headers and driven as TensorRT does, on the emulated kernels."""

from __future__ import annotations

import ctypes as c
import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine_build.onnx.end_to_end import attributes
from tests.support.emulated import EMULATION, KERNELS, PLUGINS, build
from tests.support.family_specs import FAMILY
from tests.support.specs import MOGFACE, Floats, small_spec
from trt_mogface.reference.select import select
from trt_mogface.spec import BoxCoding, DetectorSpec

SOURCES = sorted((PLUGINS / "tensorrt").glob("*.cpp"))
DRIVER = Path(__file__).parent / "tensorrt" / "driver.cpp"


@pytest.fixture(scope="module")
def headers() -> Path:
    """``TensorRT_ROOT/include``, or that of a system-wide installation."""
    places = [Path(os.environ.get("TensorRT_ROOT", "/nowhere"))]  # noqa: SIM112 -- as CMake has it
    places += [Path("/usr"), Path("/usr/local/tensorrt"), Path("/usr/include/x86_64-linux-gnu")]
    for place in places:
        for folder in (place / "include", place):
            if (folder / "NvInferRuntime.h").is_file():
                return folder
    pytest.skip("no TensorRT headers: TensorRT_ROOT names a folder with its include/")


@pytest.fixture(scope="module")
def plugin(headers: Path) -> c.CDLL:
    made = build("libplugin.so", [*KERNELS, *SOURCES, DRIVER], ("-isystem", str(headers), "-shared"))
    return c.CDLL(str(made))


class Field(c.Structure):
    _fields_ = [("name", c.c_char_p), ("data", c.c_void_p), ("type", c.c_int32), ("length", c.c_int32)]


FLOAT32, INT32, CHAR, INT64 = 1, 5, 6, 10


def fields(values: dict[str, Any], *, wide: bool = False) -> tuple[Any, list[Any]]:
    """A node's attributes as TensorRT's importer passes them, and the objects that keep them alive."""
    found: list[Field] = []
    alive: list[Any] = []
    data: Any
    for name, value in values.items():
        if isinstance(value, str):
            data, kind, length = c.create_string_buffer(value.encode()), CHAR, len(value)
        elif isinstance(value, int):
            data = (c.c_int64 if wide else c.c_int32)(value)
            kind, length = INT64 if wide else INT32, 1
        else:
            numbers = value if isinstance(value, list) else [value]
            data, kind, length = (c.c_float * len(numbers))(*numbers), FLOAT32, len(numbers)
        alive.append(data)
        found.append(Field(name.encode(), c.cast(c.pointer(data), c.c_void_p), kind, length))
    return (Field * len(found))(*found), [alive, found]


def run(
    plugin: c.CDLL,
    spec: DetectorSpec,
    scores: Floats,
    deltas: Floats,
    landmarks: Floats | None,
    size: tuple[int, int],
    *,
    wide: bool = False,
) -> tuple[int, list[np.ndarray[Any, Any]], list[tuple[int, ...]]]:
    """The step that failed or 0, the outputs, and their shapes by the plugin."""
    given, _alive = fields(attributes(spec), wide=wide)
    batch, most = len(scores), spec.thresholds.most_faces
    outputs: list[np.ndarray[Any, Any]] = [
        np.full(batch, -7, np.int32),
        np.full((batch, most, 4), np.nan, np.float32),
        np.full((batch, most), np.nan, np.float32),
        *([np.full((batch, most, spec.landmarks, 2), np.nan, np.float32)] if spec.landmarks else []),
    ]
    inputs = [scores, deltas, *([landmarks] if landmarks is not None else [])]
    # Only the shape of the pixels is read.
    pointers = (c.c_void_p * (len(inputs) + 1))(*(each.ctypes.data for each in inputs), None)
    places = (c.c_void_p * len(outputs))(*(each.ctypes.data for each in outputs))
    shapes = np.zeros(32, np.int64)
    status = plugin.runPlugin(
        given,
        len(given),
        int(scores.dtype == np.float16),
        c.c_int64(batch),
        c.c_int64(scores.shape[1]),
        c.c_int64(size[0]),
        c.c_int64(size[1]),
        spec.landmarks,
        pointers,
        places,
        shapes.ctypes.data_as(c.c_void_p),
    )
    shown, rest = [], shapes.tolist()
    while status == 0 and rest[0] >= 0:
        shown.append(tuple(rest[1 : 1 + rest[0]]))
        rest = rest[1 + rest[0] :]
    return status, outputs, shown


def random_outputs(spec: DetectorSpec, size: tuple[int, int], dtype: type) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(7)
    count = spec.anchor_count(*size)
    landmarks: Any = rng.normal(0, 0.3, (3, count, 2 * spec.landmarks)).astype(dtype)
    return (
        rng.random((3, count)).astype(dtype),
        rng.normal(0, 0.3, (3, count, 4)).astype(dtype),
        landmarks if spec.landmarks else None,
    )


SPECS = {
    "mogface": dataclasses.replace(
        MOGFACE, thresholds=dataclasses.replace(MOGFACE.thresholds, top_k=300, max_detections=40)
    ),
    "landmarks": small_spec("ssd", landmarks=5, top_k=50, max_detections=20),
    "distance": dataclasses.replace(
        small_spec("distance", inclusive_areas=False), coding=BoxCoding("distance", center=0.1)
    ),
    "spread": small_spec("spread", landmarks=7, clip=True),
    "scrfd": dataclasses.replace(
        FAMILY["scrfd-500m"], thresholds=FAMILY["scrfd-500m"].thresholds.bounded(400)
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", SPECS)
def test_faces_are_those_of_the_specification(plugin: c.CDLL, name: str, dtype: type) -> None:
    spec, size = SPECS[name], (97, 131)
    scores, deltas, landmarks = random_outputs(spec, size, dtype)
    status, outputs, shapes = run(plugin, spec, scores, deltas, landmarks, size, wide=dtype is np.float16)
    assert status == 0
    assert shapes == [each.shape for each in outputs]
    for image in range(len(scores)):
        expected = select(
            scores[image].astype(np.float32),
            deltas[image].astype(np.float32),
            None if landmarks is None else landmarks[image].astype(np.float32),
            spec=spec,
            size=size,
            thresholds=spec.thresholds,
        )
        found = int(outputs[0][image])
        assert found == len(expected.scores) > 3
        assert outputs[2][image, :found].tolist() == expected.scores.tolist()
        np.testing.assert_allclose(outputs[1][image, :found], expected.boxes, rtol=1e-5, atol=1e-4)
        assert not outputs[1][image, found:].any()
        if expected.landmarks is not None:
            np.testing.assert_array_equal(outputs[3][image, :found], expected.landmarks)


def test_scores_of_another_size_of_image_are_refused(
    plugin: c.CDLL, capfd: pytest.CaptureFixture[str]
) -> None:
    scores, deltas, _ = random_outputs(SPECS["mogface"], (97, 131), np.float32)
    assert run(plugin, SPECS["mogface"], scores, deltas, None, (64, 64))[0] == 8
    assert "MogFaceDetect: " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("levels", text)
            for text in ("", "4", "4:", "4:1;", "4:1,", "0:1", "4:-1", "4:nan", "a:b", "4:1:2")
        ),
        ("levels", ";".join(["4:1"] * 17)),
        ("levels", "4:" + ",".join(["1"] * 17)),
        ("coding", "yolo"),
        ("coding", "mogface"),
        ("clip", 1.0),
        ("spread", "yes"),
        ("center", "half"),
        ("center", "inf"),
        ("variances", [1.0]),
        ("variances", [float("nan"), 1.0]),
        *(("landmarks", number) for number in (-1, 1000)),
        *(("top_k", number) for number in (0, -1, 8193)),
        *(("max_detections", number) for number in (0, 5001)),
        ("score_threshold", 2.0),
        ("iou_threshold", float("nan")),
        ("iou_threshold", 1),
    ],
)
def test_impossible_attributes_make_no_plugin(
    plugin: c.CDLL, capfd: pytest.CaptureFixture[str], name: str, value: object
) -> None:
    given, _alive = fields(attributes(MOGFACE) | {name: value})
    assert plugin.createsPlugin(given, len(given)) == 0
    line = capfd.readouterr().err
    assert line.startswith("MogFaceDetect: ")
    assert line.count("\n") == 1


@pytest.mark.parametrize("name", attributes(MOGFACE))
def test_a_missing_attribute_makes_no_plugin(plugin: c.CDLL, name: str) -> None:
    left = attributes(MOGFACE)
    del left[name]
    given, _alive = fields(left)
    assert plugin.createsPlugin(given, len(given)) == 0


def test_tensorrts_registry_finds_it(plugin: c.CDLL) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX, which has the registry, is not installed")
    # Another process: what is registered stays so until its end.
    code = "import sys, pathlib, tensorrt_rtx; from engine_build.tensorrt.builder import load_plugin; "
    code += "load_plugin(tensorrt_rtx, pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, plugin._name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_compiles_without_a_warning(headers: Path, tmp_path: Path) -> None:
    for source in SOURCES:
        command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-isystem", headers, f"-I{EMULATION}"]
        command += [f"-I{PLUGINS / 'include'}", "-c", source, "-o", tmp_path / "object.o"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
