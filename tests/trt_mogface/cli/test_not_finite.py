"""A network whose outputs are not all finite: every verb says so, to people and to programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.support.command import Run
from trt_mogface.detector import Detector
from trt_mogface.images import read_image
from trt_mogface.models.cards import DEFAULT, embedded_file

ALL, SOME = "net[onnx::Conv_588]", "net[landmark_head.landmark_head.1.bias]"
"""Biases that decide all outputs, and the landmarks of the second level."""


def broken_model(folder: Path, weight: str, value: float = np.nan) -> Path:
    """The default model with a weight of this value."""
    model = onnx.load(str(embedded_file(DEFAULT)))
    (stored,) = (each for each in model.graph.initializer if each.name == weight)
    changed = numpy_helper.to_array(stored).copy()
    changed[0] = value
    stored.CopyFrom(numpy_helper.from_array(changed, weight))
    path = folder / "broken.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture
def some(tmp_path: Path) -> Path:
    return broken_model(tmp_path, SOME)


def test_detect(run: Run, some: Path, photo: Path, tmp_path: Path) -> None:
    with Detector(some) as detect:
        dropped = detect(read_image(photo)).dropped
    assert dropped
    result = run("detect", photo, "--model", some, "--json", tmp_path / "a.json")
    assert result.status == 1
    assert f"{some}: {dropped} candidates were not finite" in result.err
    (image,) = json.loads((tmp_path / "a.json").read_text())
    assert image["dropped"] == dropped
    right = run("detect", photo, "--json", "-")
    assert right.status == 0
    assert json.loads(right.out)[0]["dropped"] == 0


def test_compare(run: Run, some: Path, photo: Path, tmp_path: Path) -> None:
    result = run(
        "compare", DEFAULT, some, photo, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html"
    )
    assert result.status == 1
    total = json.loads((tmp_path / "a.json").read_text())["total"]
    assert (total["dropped_a"], total["dropped_b"] > 0) == (0, True)
    assert f"{some}: {total['dropped_b']} candidates were not finite" in result.err
    for place in (result.out, (tmp_path / "a.html").read_text()):
        assert f"0 of A, {total['dropped_b']} of B" in place


def test_eval_counts(run: Run, some: Path, annotated_photos: Path, tmp_path: Path) -> None:
    gt, images = annotated_photos / "annotations.json", annotated_photos / "images"
    result = run(
        "eval", "wider", "--gt", gt, "--images", images, "--model", some, "--procedure", "original,multi",
        "--json", tmp_path / "a.json", "--html", tmp_path / "a.html",
    )  # fmt: skip
    assert result.status == 1
    rows = json.loads((tmp_path / "a.json").read_text())
    assert len(rows) == 2
    for row in rows:
        counted = f"{row['dropped']} candidates were not finite"
        assert row["dropped"] > 0
        assert f"{row['label']}: {counted}; its AP is not valid" in result.err
        for place in (result.out, (tmp_path / "a.html").read_text()):
            assert counted in place


def test_eval_refuses_a_network_without_a_finite_number(
    run: Run, annotated_photos: Path, tmp_path: Path
) -> None:
    gt, images = annotated_photos / "annotations.json", annotated_photos / "images"
    result = run("eval", "wider", "--gt", gt, "--images", images, "--model", broken_model(tmp_path, ALL))
    assert "none of" in result.message
    assert "is finite" in result.message


@pytest.mark.parametrize("weight", [ALL, SOME])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_build_refuses(run: Run, tmp_path: Path, weight: str, precision: str) -> None:
    model = broken_model(tmp_path, weight)
    target = tmp_path / "out.onnx"
    message = run("build", model, "--precision", precision, "-o", target).message
    assert message.startswith("fp32 refused: ")
    assert "not finite; repair the model" in message
    assert not target.exists()


def test_build_refuses_a_precision_that_overflows(run: Run, tmp_path: Path) -> None:
    """A bias of 1e5 is right in FP32 and infinite in FP16."""
    model = broken_model(tmp_path, SOME, 1e5)
    message = run("build", model, "--precision", "fp16", "-o", tmp_path / "out.onnx").message
    assert message.startswith("fp16 refused: 256 of 26880 numbers in its landmarks are not finite; use bf16")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_build_refuses_on_images(
    run: Run, tmp_path: Path, some: Path, photo_folder: Path, precision: str
) -> None:
    target = tmp_path / "out.onnx"
    message = run("build", some, "--precision", precision, "--calib", photo_folder, "-o", target).message
    assert message.startswith("fp32 refused: ")


def test_bench_counts(run: Run, annotated_photos: Path, tmp_path: Path) -> None:
    result = run(
        "bench", "--model", broken_model(tmp_path, ALL), "--mode", "memory",
        "--images", annotated_photos / "images" / "0--Parade", "--size", "320x320", "--duration", 0.1,
        "--json", tmp_path / "a.json",
    )  # fmt: skip
    assert result.status == 0
    (row,) = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert row["dropped"] > 0
    assert f"{row['dropped']} candidates not finite" in result.out
