"""The plugin library and TensorRT's registry: every way to load it, in the orders that went wrong.

Each way runs in a process of its own, since a wrong order ends it. On the host a stand-in for libnvinfer
answers as the registries of TensorRT 10.16 and 11.4 do. ``make plugin-registry`` runs the same on those.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.emulated import EMULATION, PLUGINS, REPOSITORY

HERE = Path(__file__).parent / "registry"
FLAGS = ("-std=c++17", "-O1", "-g", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")
WAYS = ("library", "repeated", "dlopen", "both", "reverse", "early", "closed", "exit", "copy")
HEADERS = [major for major in (10, 11) if os.environ.get(f"TensorRT_ROOT_{major}")]
BUILDS = REPOSITORY / "build" / "plugin-registry"


@dataclass(frozen=True)
class Registry:
    """A library of TensorRT, a plugin library for it, and the program that loads both."""

    major: int
    tensorrt: Path
    plugin: Path
    program: Path

    def run(self, way: str, *more: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, (self.program, way, self.tensorrt, self.plugin, *more))),
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )


def compile_cpp(made: Path, *arguments: str | Path) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    made.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["g++", *FLAGS, "-o", made, *arguments, "-ldl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return made


def stand_in(folder: Path) -> Registry:
    """Build everything without TensorRT."""
    fake = (f"-I{HERE / 'fake'}", f"-I{PLUGINS / 'tensorrt'}")
    sources = (HERE / "fake" / "plugin.cpp", PLUGINS / "tensorrt" / "registration.cpp")
    plugin = compile_cpp(folder / "libplugin.so", *fake, "-shared", *sources)
    return Registry(10, libnvinfer(folder, 10), plugin, program(folder, HERE / "fake"))


def libnvinfer(folder: Path, major: int) -> Path:
    name = f"libnvinfer.so.{major}"
    flags = (f"-I{HERE / 'fake'}", f"-DFAKE_MAJOR={major}", "-shared", f"-Wl,-soname,{name}")
    return compile_cpp(folder / "tensorrt" / name, *flags, HERE / "fake" / "tensorrt.cpp")


def program(folder: Path, headers: Path) -> Path:
    flags = ("-isystem", headers, "-isystem", EMULATION)  # TensorRT's headers include one of CUDA
    return compile_cpp(folder / "program", *flags, HERE / "program.cpp")


def real(major: int, folder: Path) -> Registry:
    """Build the plugin with the headers of a major release, for the lean runtime of the same."""
    root = os.environ[f"TensorRT_ROOT_{major}"]
    lean = BUILDS / f"tensorrt-lean-{major}" / "tensorrt_lean_libs" / f"libnvinfer_lean.so.{major}"
    if not lean.is_file():
        pytest.skip(f"no tensorrt-lean {major}: `make plugin-registry` downloads it")
    if shutil.which("nvcc") is None or shutil.which("cmake") is None:
        pytest.skip("the plugin needs nvcc and cmake")
    build = BUILDS / str(major)
    configure = ["cmake", "-S", str(REPOSITORY), "-B", str(build), f"-DTensorRT_ROOT={root}"]
    compile_plugin = ["cmake", "--build", str(build), "--target", "trt_mogface_plugin", "--parallel"]
    for command in ([*configure, "-DMOGFACE_CUDA_ARCHITECTURES=90"], compile_plugin):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    # The loader, and so LD_PRELOAD, finds TensorRT by this name.
    tensorrt = folder / "tensorrt" / f"libnvinfer.so.{major}"
    tensorrt.parent.mkdir()
    tensorrt.symlink_to(lean)
    plugin = build / "plugins" / "libtrt_mogface_plugin.so"
    return Registry(major, tensorrt, plugin, program(folder, Path(root) / "include"))


@pytest.fixture(scope="module", params=["stand-in", *HEADERS])
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("registry")
    return stand_in(folder) if request.param == "stand-in" else real(request.param, folder)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return stand_in(tmp_path_factory.mktemp("fake"))


def test_real_registries_take_part() -> None:
    if len(HEADERS) < 2:
        pytest.skip("no TensorRT headers (TensorRT_ROOT_10, TensorRT_ROOT_11): only a stand-in was tested")


@pytest.mark.parametrize("way", WAYS)
def test_the_plugin_is_found_and_leaves_nothing_behind(registry: Registry, way: str, tmp_path: Path) -> None:
    more = [Path(shutil.copy(registry.plugin, tmp_path))] if way == "copy" else []
    done = registry.run(way, *more)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    assert done.stderr.count("\n") == int(way == "early")


def test_ld_preload_registers(registry: Registry) -> None:
    here = {"LD_LIBRARY_PATH": str(registry.tensorrt.parent), "LD_PRELOAD": str(registry.plugin)}
    done = registry.run("preload", **here)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_ld_preload_among_others_and_beside_tensorrt_registers(registry: Registry) -> None:
    for files in ((registry.tensorrt, registry.plugin), (registry.plugin, registry.tensorrt)):
        done = registry.run("preload", LD_PRELOAD=":".join(map(str, files)))
        assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_ld_preload_that_finds_no_tensorrt_says_so(registry: Registry) -> None:
    done = registry.run("early", LD_PRELOAD=str(registry.plugin))
    assert done.stderr.count("\n") == 1
    for part in ("LD_PRELOAD: ", f"libnvinfer.so.{registry.major}", "--backend-config=tensorrt,plugins="):
        assert part in done.stderr
    assert len(done.stderr) < 256


def test_a_library_before_tensorrt_says_so(fake: Registry) -> None:
    assert "loaded before TensorRT" in fake.run("early").stderr


def test_another_major_release_is_refused(fake: Registry, tmp_path: Path) -> None:
    """The order of a registry's functions changes with it."""
    eleven = Registry(11, libnvinfer(tmp_path, 11), fake.plugin, fake.program)
    done = eleven.run("dlopen")
    assert done.returncode == 1
    assert "built for TensorRT 10, this process has 11" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_same_major_release_is_preferred(fake: Registry, tmp_path: Path) -> None:
    eleven = libnvinfer(tmp_path, 11)
    done = fake.run("dlopen", LD_PRELOAD=str(eleven))
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


@pytest.mark.parametrize("kept", ["withdraw", "destructor"])
def test_the_program_sees_what_a_wrong_order_does(fake: Registry, tmp_path: Path, kept: str) -> None:
    """Without taking the creator back, a process crashes or TensorRT refuses the library."""
    text = (PLUGINS / "tensorrt" / "registration.cpp").read_text()
    head = "void Registration::withdraw() noexcept\n{\n"
    broken: Callable[[str], str] = {
        "withdraw": lambda text: text.replace(head, head + "    return;\n"),
        "destructor": lambda text: text.replace("{\n    withdraw();\n", "{\n"),
    }[kept]
    assert broken(text) != text
    (tmp_path / "registration.cpp").write_text(broken(text))
    flags = (f"-I{HERE / 'fake'}", f"-I{PLUGINS / 'tensorrt'}", "-shared")
    sources = (HERE / "fake" / "plugin.cpp", tmp_path / "registration.cpp")
    plugin = compile_cpp(tmp_path / "libplugin.so", *flags, *sources)
    way = "library" if kept == "withdraw" else "dlopen"
    assert Registry(10, fake.tensorrt, plugin, fake.program).run(way).returncode != 0
