"""Version bounds: the lowest and highest allowed releases have wheels, install together, and work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import engine_build
import trt_mogface
from tests.support.photos import PORTRAIT
from tests.support.project import REPOSITORY, project
from trt_mogface import Detector, read_image
from trt_mogface.models.cards import DEFAULT, embedded_file

PYTHONS = ("3.10", "3.11", "3.12", "3.13")

CORE: list[str] = project()["project"]["dependencies"]

EXTRAS = tuple(
    name
    for name in project()["project"]["optional-dependencies"]
    # Sources that fetch their wheels, or that compile; cuda12 excludes cuda13, and tests need no bound below.
    if name not in ("tensorrt", "rtx", "pycuda", "cuda12", "dev")
)
SMALL = ("engines", "reports", "bench", "heif", "metrics", "supervision")
"""Extras that are installed here: the others bring gigabytes, or need a GPU."""

UNREACHABLE = ("error sending request", "dns error", "failed to fetch", "connect", "timed out", "offline")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("MOGFACE_TEST_BOUNDS" not in os.environ, reason="takes minutes: make bounds"),
]


def uv(*arguments: str | Path, text: str | None = None) -> str:
    """Run uv and return its output; skip without uv or a package index."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        pytest.skip("uv, which installs other releases, is not installed")
    done = subprocess.run(
        [found, *arguments], cwd=REPOSITORY, input=text, capture_output=True, text=True, timeout=600
    )
    if done.returncode and any(reason in done.stderr.lower() for reason in UNREACHABLE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    return done.stdout


def resolved(python: str, resolution: str, extras: tuple[str, ...], *arguments: str | Path) -> dict[str, str]:
    """Return the releases that a resolution chooses, all with wheels."""
    command = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:"]
    command += ["--resolution", resolution, "--python-version", python, "pyproject.toml"]
    lines = uv(*command, *(f"--extra={name}" for name in extras), *arguments).splitlines()
    return dict(line.split(" ;")[0].strip().split("==") for line in lines if "==" in line)


def lowest(requirement: str) -> tuple[str, str]:
    """Return the name of a dependency and its lower bound."""
    match = re.match(r"([\w-]+)>=([\d.]+)", requirement)
    assert match is not None, requirement
    return match[1].lower().replace("_", "-"), match[2]


def pins(folder: Path) -> Path:
    """Write constraints that pin each core dependency to its lower bound."""
    path = folder / "lowest.txt"
    path.write_text("".join(f"{name}=={bound}.*\n" for name, bound in map(lowest, CORE)))
    return path


def test_the_pythons_are_those_of_the_project() -> None:
    assert f">={PYTHONS[0]}" == project()["project"]["requires-python"]
    assert f"Python {PYTHONS[0]} to {PYTHONS[-1]}" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lowest_releases_of_the_core_go_together(tmp_path: Path, python: str) -> None:
    found = resolved(python, "highest", (), "--constraint", pins(tmp_path))
    for name, bound in map(lowest, CORE):
        assert found[name].startswith(bound), name


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
@pytest.mark.parametrize("python", PYTHONS)
def test_all_extras_resolve_to_wheels(python: str, resolution: str) -> None:
    assert {"numpy", "torch", "matplotlib"} <= resolved(python, resolution, EXTRAS).keys()


@pytest.mark.parametrize("end", ["lowest", "highest"])
def test_both_ends_of_the_bounds_work(tmp_path: Path, end: str) -> None:
    """Install them for this Python, and detect, lower and compare."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    low = end == "lowest"
    constraint = ("--constraint", pins(tmp_path)) if low else ()
    releases = resolved(python, "lowest-direct" if low else "highest", SMALL, *constraint)
    interpreter = tmp_path / "venv" / "bin" / "python"
    uv("venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    listed = "".join(f"{name}=={release}\n" for name, release in releases.items())
    uv("pip", "install", "--quiet", "--python", interpreter, "--no-deps", "-r", "-", text=listed)
    _replace_desktop_build(interpreter, releases["opencv-python"])
    code = _copied(tmp_path / "code")

    def run(*arguments: str | Path) -> str:
        environment = {**os.environ, "PYTHONPATH": str(code), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [interpreter, "-m", "trt_mogface", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    (result,) = json.loads(run("detect", PORTRAIT, "--json", "-"))
    with Detector() as detect:
        expected = detect(read_image(PORTRAIT))
    np.testing.assert_allclose([face["box"] for face in result["faces"]], expected.xyxy, atol=0.1)
    run("build", DEFAULT, "--precision", "fp16", "--output", "fp16.onnx")
    run("compare", DEFAULT, "fp16.onnx", PORTRAIT, "--html", "page.html")
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")
    rows = run("check-env")
    assert re.search(rf"numpy\W+{re.escape(releases['numpy'])}\b", rows)


def _copied(folder: Path) -> Path:
    """Copy the packages, and the model that an installation brings, away from the releases beside them."""
    for package in (trt_mogface, engine_build):
        shutil.copytree(Path(str(package.__file__)).parent, folder / package.__name__)
    embedded = folder / "trt_mogface" / "embedded"
    shutil.copytree(embedded_file(DEFAULT).parent, embedded, dirs_exist_ok=True)
    return folder


def _replace_desktop_build(interpreter: Path, release: str) -> None:
    """Replace OpenCV by its headless build where libGL is missing, as the README says."""
    loads = subprocess.run([interpreter, "-c", "import cv2"], capture_output=True).returncode == 0
    if not loads:
        uv("pip", "uninstall", "--quiet", "--python", interpreter, "opencv-python")
        headless = f"opencv-python-headless=={release}"
        uv("pip", "install", "--quiet", "--python", interpreter, "--no-deps", headless)
