"""The wheel, built from the files that git tracks and installed into an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trt_mogface
from tests.support.photos import PORTRAIT
from tests.support.project import REPOSITORY, tracked

pytestmark = pytest.mark.slow


def python(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in tracked():
        target = folder / "source" / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    pip = ("-m", "pip", "--disable-pip-version-check")
    build = python(*pip, "wheel", "--quiet", "--no-deps", "-w", folder, folder / "source", cwd=folder)
    if build.returncode and "No matching distribution" in build.stderr:
        pytest.skip("the packages that build the wheel are not available")
    assert build.returncode == 0, build.stderr
    (wheel,) = folder.glob("*.whl")
    target = folder / "installed"
    done = python(*pip, "install", "--quiet", "--no-deps", "--target", target, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return target


def test_it_has_the_packages_and_the_version(installed: Path) -> None:
    names = {path.name for path in installed.iterdir()}
    assert names - {"bin"} == {
        "engine_build",
        "trt_mogface",
        f"trt_mogface-{trt_mogface.__version__}.dist-info",
    }
    assert (installed / "bin" / "trt-mogface").is_file()
    assert (installed / "trt_mogface" / "py.typed").is_file()


def test_it_finds_a_face_with_the_embedded_model(installed: Path, tmp_path: Path) -> None:
    done = python(
        "-m", "trt_mogface", "detect", PORTRAIT, "--json", "-", cwd=tmp_path, PYTHONPATH=str(installed)
    )
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(done.stdout)
    assert len(image["faces"]) == 1


def test_it_has_the_templates_and_scripts_of_the_pages(installed: Path, tmp_path: Path) -> None:
    code = "from trt_mogface.reporting.html import *; print(page('A title', [Section('A heading')]))"
    done = python("-c", code, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    assert "<title>A title</title>" in done.stdout
    assert done.stdout.count("<script>") == 2
