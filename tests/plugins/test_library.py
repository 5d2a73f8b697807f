"""The file of the kernels: found, named, missing, or another one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.specs import one_line
from trt_mogface.errors import ArgumentError, CudaError, KernelError
from trt_mogface.kernels import Kernels
from trt_mogface.kernels.interface import INTERFACE
from trt_mogface.kernels.library import PLUGIN_VARIABLE, VARIABLE, Library, check_plugin, find_library
from trt_mogface.machine.environment import pieces


def refused(path: Path | None = None) -> str:
    with pytest.raises(KernelError) as caught:
        Kernels(path)
    return one_line(caught.value)


def compiled(folder: Path, source: str, *also: Path) -> Path:
    """Compile a library; functions that it lacks are those of other libraries."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    text, made = folder / "other.c", folder / "libother.so"
    text.write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", made, text, *also], check=True)
    return made


def test_the_variable_names_the_library(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(library))
    assert find_library() == library
    assert Kernels().path == library


def test_a_library_that_is_not_there_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "no.so"
    monkeypatch.setenv(VARIABLE, str(nowhere))
    assert refused() == f"{VARIABLE}={nowhere}: no such file"
    monkeypatch.setenv(VARIABLE, str(tmp_path))  # a folder
    assert refused() == f"{VARIABLE}={tmp_path}: no such file"
    assert refused(nowhere).startswith(f"{nowhere}: not the kernels of this project (")


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x7fELF" + bytes(100)])
def test_a_file_that_is_no_library_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    file = tmp_path / "some.so"
    file.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(file))
    assert refused().startswith(f"{file}: not the kernels of this project (")


def test_a_library_of_something_else_is_refused(tmp_path: Path) -> None:
    other = compiled(tmp_path, "int nothing(void) { return 0; }\n")
    message = refused(other)
    assert message.startswith(f"{other}: not the kernels of this project (")
    assert "mogfaceInterface" in message


@pytest.mark.parametrize("interface", [0, 1, INTERFACE + 1])
def test_a_library_of_another_release_is_refused(tmp_path: Path, interface: int) -> None:
    other = compiled(tmp_path, f"int mogfaceInterface(void) {{ return {interface}; }}\n")
    assert refused(other) == (
        f"{other}: has interface {interface}, not {INTERFACE} of this release; install trt-mogface again"
    )


def test_a_library_that_lacks_a_function_is_refused(tmp_path: Path) -> None:
    other = compiled(tmp_path, f"int mogfaceInterface(void) {{ return {INTERFACE}; }}\n")
    message = refused(other)
    assert message.startswith(f"{other}: not the kernels of this project (")
    assert "mogfaceAnchorCount" in message


def built_with(cuda_version: int, folder: Path, library: Path) -> Path:
    """Return the kernels, as if a release of CUDA had built them."""
    return compiled(folder, f"int mogfaceCudaVersion(void) {{ return {cuda_version}; }}\n", library)


@pytest.mark.parametrize(
    ("cuda_version", "driver"),
    [(13000, (13, 0)), (13010, (13, 0)), (12090, (12, 2)), (12020, (13, 2)), (13000, None)],
)
def test_a_driver_of_the_same_major_version_or_a_newer_one_is_enough(
    tmp_path: Path,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
    cuda_version: int,
    driver: tuple[int, int] | None,
) -> None:
    monkeypatch.setattr("trt_mogface.kernels.library.driver_version", lambda: driver)
    made = built_with(cuda_version, tmp_path, library)
    assert Kernels(made).path == made
    check_plugin(made)


def test_a_library_of_a_newer_cuda_than_the_driver_s_is_refused(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA would say "insufficient driver" at the first launch."""
    monkeypatch.setattr("trt_mogface.kernels.library.driver_version", lambda: (12, 6))
    made = built_with(13000, tmp_path, library)
    expected = (
        f"{made}: built with CUDA 13.0, but the driver supports 12.6; put the nvcc of CUDA 12 on the PATH"
    )
    assert refused(made).startswith(expected)
    for name, variable in (("CUDA kernels", VARIABLE), ("TensorRT plugin", PLUGIN_VARIABLE)):
        monkeypatch.setenv(variable, str(made))
        piece = next(each for each in pieces() if each.name == name)
        assert not piece.found
        assert piece.missing.startswith(expected)


def test_a_file_that_is_no_plugin_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = compiled(tmp_path, "int nothing(void) { return 0; }\n")
    monkeypatch.setenv(PLUGIN_VARIABLE, str(other))
    piece = next(each for each in pieces() if each.name == "TensorRT plugin")
    assert piece.missing.startswith(f"{other}: not the plugin of this release (")


def test_an_installation_without_kernels_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_package(name: str) -> Path:
        raise ModuleNotFoundError(name)

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("trt_mogface.kernels.library.resources.files", no_package)
    expected = "CUDA kernels: not part of this installation"
    assert refused().startswith(expected)
    monkeypatch.setattr("trt_mogface.kernels.library.resources.files", lambda _: Path("/nowhere"))
    assert refused().startswith(expected)


def test_an_error_of_cuda_is_passed_on(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Library(library)

    class Failing:
        """A library whose launch fails."""

        mogfaceProblem = staticmethod(lambda: b"")  # noqa: N815
        mogfaceErrorName = staticmethod(lambda status: f"name of {status}".encode())  # noqa: N815
        mogfaceErrorText = staticmethod(lambda status: f"text of {status}".encode())  # noqa: N815
        mogfaceDecode = staticmethod(lambda: 700)  # noqa: N815

    monkeypatch.setattr(loaded, "_functions", Failing)
    with pytest.raises(CudaError) as caught:
        loaded.call("mogfaceDecode")
    assert one_line(caught.value) == "decode: CUDA error 700 (name of 700): text of 700"
    monkeypatch.setattr(Failing, "mogfaceProblem", staticmethod(lambda: b"height 0: must be: positive"))
    with pytest.raises(ArgumentError) as refused:
        loaded.call("mogfaceDecode")
    found = refused.value
    assert (found.argument, found.value, found.problem) == ("height", "0", "must be: positive")
