"""What importing costs, and what is said where an optional package is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import trt_mogface

HEAVY = {
    *("torch", "onnx", "PIL", "typer", "rich", "onnxruntime", "tensorrt", "supervision"),
    *("engine_build", "modelscope_hub", "retinaface"),
}

BLOCKED = (
    "import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
    "sys.argv = ['trt-mogface', *sys.argv[1:]]\nfrom trt_mogface.cli.app import main\nmain()\n"
)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_the_package_imports_nothing_it_may_not_need() -> None:
    done = python("import sys, trt_mogface\nprint(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "cv2", "msgspec", "asyncio", "trt_mogface.errors", *HEAVY}


def test_the_public_names_import_nothing_they_may_not_need() -> None:
    done = python(
        "import sys\nfrom trt_mogface import *\nprint(*sys.modules)\nassert Detector and read_image"
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"asyncio", *HEAVY}


def test_public_names_are_listed_and_found() -> None:
    assert set(trt_mogface.__all__) <= set(dir(trt_mogface))
    for name in trt_mogface.__all__:
        assert getattr(trt_mogface, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        trt_mogface.Detektor  # noqa: B018


@pytest.mark.parametrize("verb", [["--help"], ["detect", "--help"], ["models"]])
def test_the_command_line_starts_without_the_heavy_packages(verb: list[str]) -> None:
    done = python(BLOCKED.format(blocked=["torch", "onnx", "onnxruntime", "supervision"]), *verb)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("blocked", "arguments"),
    [
        ("torch", ["export", "--model", "mogface", "--weights", "{file}", "-o", "{folder}/a.onnx"]),
        ("onnx", ["export", "--min-face", "60", "-o", "{folder}/a.onnx"]),
    ],
)
def test_a_missing_package_is_one_line_with_the_command_that_brings_it(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    blocked: str,
    arguments: list[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    (tmp_path / "weights.pt").write_bytes(b"weights")
    texts = [text.format(file=tmp_path / "weights.pt", folder=tmp_path) for text in arguments]
    done = python(BLOCKED.format(blocked=[blocked]), *texts)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert repr(blocked) in line
    assert "pip install 'trt-mogface[build]'" in line
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]
