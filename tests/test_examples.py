"""The programs in examples/ run as their docstrings say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.project import REPOSITORY
from trt_mogface import read_image

EXAMPLES = REPOSITORY / "examples"


def run(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_detect_image(photo_folder: Path, tmp_path: Path) -> None:
    assert len(run("detect_image.py", photo_folder / "group.jpg", tmp_path / "faces.png").splitlines()) == 6
    assert (tmp_path / "faces.png").is_file()


def test_many_images(photo_folder: Path) -> None:
    lines = run("many_images.py", photo_folder).splitlines()
    assert lines[:2] == ["group.jpg: 6 faces", "portrait.jpg: 1 faces"]


def test_count_people(photo_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="pip install 'trt-mogface[video]'")
    from tests.support.made_clips import make_clip

    image = cv2.resize(read_image(photo_folder / "group.jpg"), (640, 442)).astype(np.uint8)
    clip = make_clip(tmp_path / "group.mp4", 20, size=(640, 442), image=image)
    lines = run("count_people.py", f"hall={clip}").splitlines()
    assert [line.split(",")[0] for line in lines] == [f"hall: person {number}" for number in range(1, 7)]


def test_nv12_frame(photo_folder: Path) -> None:
    assert len(json.loads(run("nv12_frame.py", photo_folder / "group.jpg"))["faces"]) == 6


def test_build_engine(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx-cu13")
    run("build_engine.py", tmp_path)
    assert len(list(tmp_path.glob("retinaface-mnet025-fp16-*.engine"))) == 1
    assert len(list(tmp_path.glob("*.engine.json"))) == 1


def test_compare_models(photo_folder: Path) -> None:
    lines = run("compare_models.py", "retinaface-mnet025", "retinaface-mnet025", photo_folder).splitlines()
    assert lines[:4] == ["images: 2", "faces of A: 7", "faces of B: 7", "found by both: 7 of 7 (100.0%)"]


def test_every_example_is_listed_and_tested() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"`python examples/{name} " in listed for name in names)
    assert {f"test_{Path(name).stem}" for name in names} <= set(globals())
