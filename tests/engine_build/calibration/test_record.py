"""Calibrations as files: exact, bound to their network, and refused where they are not what they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engine_build.calibration.images import Images, find_images
from engine_build.calibration.record import Calibration, calibrate, load_calibration, save_calibration
from engine_build.precision.prepare import at_precision, normalized
from tests.support.onnx_files import default_model
from tests.support.specs import one_line
from trt_mogface._json import sealed
from trt_mogface.errors import ImageError, ModelError
from trt_mogface.models.cards import DEFAULT
from trt_mogface.spec import InputSpec

HERE = Path("here.json")


def model() -> onnx.ModelProto:
    return normalized(default_model(), "int8")


def photos(folder: Path, count: int) -> Images:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        coarse = np.random.default_rng(i).integers(0, 256, (6 + i, 6 + i, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(coarse, (96, 96)))
    return find_images(str(folder), InputSpec(), (96, 96), 512)


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    return calibrate(model(), DEFAULT, "percentile", photos(tmp_path_factory.mktemp("photos"), 5))


def test_a_file_brings_it_back_exactly(calibration: Calibration, tmp_path: Path) -> None:
    save_calibration(calibration, tmp_path / "calib.json")
    assert load_calibration(tmp_path / "calib.json") == calibration
    assert calibration.images == 5


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_the_network_made_from_a_file_is_the_same_to_the_byte(
    calibration: Calibration, tmp_path: Path, precision: Any
) -> None:
    save_calibration(calibration, tmp_path / "calib.json")
    again = load_calibration(tmp_path / "calib.json")
    first, second = (
        at_precision(model(), precision, found).SerializeToString(deterministic=True)
        for found in (calibration, again)
    )
    assert first == second


def test_the_same_images_give_the_same_calibration(calibration: Calibration, tmp_path: Path) -> None:
    assert calibrate(model(), DEFAULT, "percentile", photos(tmp_path / "again", 5)) == calibration


def test_its_own_network_is_taken(calibration: Calibration) -> None:
    calibration.check_belongs_to(model(), DEFAULT, HERE)


def test_another_network_is_refused(calibration: Calibration) -> None:
    with pytest.raises(ModelError) as named:
        calibration.check_belongs_to(model(), "mogface", HERE)
    assert f"made for {DEFAULT}, this is mogface" in one_line(named.value)

    other = model()
    other.graph.node[-1].name = "renamed"
    with pytest.raises(ModelError) as graph:
        calibration.check_belongs_to(other, DEFAULT, HERE)
    assert "the graphs differ" in one_line(graph.value)

    trained = model()
    weight = next(t for t in trained.graph.initializer if len(t.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.001), weight.name))
    with pytest.raises(ModelError) as weights:
        calibration.check_belongs_to(trained, DEFAULT, HERE)
    assert "the weights differ" in one_line(weights.value)


def test_files_of_earlier_formats_are_upgraded(calibration: Calibration) -> None:
    fields = json.loads(calibration.to_json()) | {"format": 2}
    del fields["sha256"]
    assert Calibration.from_json(json.dumps(fields), HERE) == calibration
    fields["format"] = 1
    for end in ("", "_sha256"):
        fields[f"pictures{end}"] = fields.pop(f"images{end}")
    assert Calibration.from_json(json.dumps(fields), HERE) == calibration


def changed(calibration: Calibration, **values: Any) -> str:
    fields = {**json.loads(calibration.to_json()), **values}
    del fields["sha256"]
    return json.dumps(sealed(fields))


@pytest.mark.parametrize(
    "values",
    [
        {"format": 4},
        {"format": True},
        {"format": "1"},
        {"format": 1},
        {"unknown": 1},
        {"network": None},
        {"method": "guess"},
        {"images": 1.5},
        {"images": True},
        {"images": 3},
        {"weights_sha256": "0"},
        {"divisors": {"x": [1e9]}},
        {"ranges": []},
        {"ranges": {"x": "wide"}},
        {"ranges": {"x": -1.0}},
        {"largest": {"x": float("nan")}},
        {"largest": {"x": float("inf")}},
        {"divisors": {"x": [0.0]}},
        {"divisors": {"x": [-1.0]}},
        {"divisors": {"x": 1.0}},
        {"biases": {"x": [None]}},
        {"biases": {"x": [10**400]}},
    ],
)
def test_impossible_values_are_refused(calibration: Calibration, values: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as error:
        Calibration.from_json(changed(calibration, **values), HERE)
    assert one_line(error.value).startswith("here.json: not a calibration file")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{" * 10_000, '{"format": 1}', "\x00\x01"])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(ModelError) as error:
        Calibration.from_json(text, HERE)
    one_line(error.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00" * 9)
    for name in ("missing", "binary", "."):
        with pytest.raises(ModelError) as error:
            load_calibration(tmp_path / name)
        assert "cannot be read" in one_line(error.value)


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as few:
        calibrate(model(), DEFAULT, "minmax", photos(tmp_path / "few", 3))
    assert "3 images to calibrate on" in one_line(few.value)

    images = photos(tmp_path / "some", 5)
    for i in range(2):
        (tmp_path / "some" / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(ImageError) as broken:
        calibrate(model(), DEFAULT, "minmax", images)
    assert "3 images to calibrate on, 2 could not be used" in one_line(broken.value)
