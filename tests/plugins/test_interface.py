"""The structures that Python hands over are those of the C header."""

from __future__ import annotations

import ctypes as c
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.support.emulated import EMULATION, PLUGINS
from trt_mogface.frame import ColorMatrix, ColorRange, PixelFormat
from trt_mogface.kernels import interface
from trt_mogface.kernels.arguments import FRAME_BYTES
from trt_mogface.reference.color import factors
from trt_mogface.spec import MAX_LEVELS, Coding

HEADER = PLUGINS / "include" / "trt_mogface" / "kernels.h"

STRUCTURES: tuple[type[c.Structure], ...] = (
    interface.MogfaceFrame,
    interface.MogfaceLevel,
    interface.MogfaceDetector,
    interface.MogfaceThresholds,
    interface.MogfaceOutputs,
    interface.MogfaceCandidates,
    interface.MogfaceDetections,
    interface.MogfaceMerging,
    interface.MogfaceCascadeOutputs,
    interface.MogfaceCascadeThresholds,
    interface.MogfaceWindows,
    interface.MogfaceCrops,
    interface.MogfaceTallies,
)

ENUMERATIONS: dict[str, tuple[Any, dict[Any, int]]] = {
    "Format": (PixelFormat, interface.FORMAT_CODES),
    "Matrix": (ColorMatrix, interface.MATRIX_CODES),
    "Range": (ColorRange, interface.RANGE_CODES),
    "Coding": (Coding, interface.CODING_CODES),
}
"""Enumerations of the header, and the names and codes that Python has for their values."""

CONSTANTS = {
    "MOGFACE_INTERFACE": interface.INTERFACE,
    "MOGFACE_MAX_PLANES": interface.MAX_PLANES,
    "MOGFACE_MAX_LEVELS": interface.MAX_LEVELS,
    "MOGFACE_MAX_SIDES": interface.MAX_SIDES,
    "MOGFACE_MAX_TOP_K": interface.MAX_TOP_K,
    "MOGFACE_MAX_BOXES": interface.MAX_BOXES,
    "MOGFACE_FP32": interface.FP32,
    "MOGFACE_FP16": interface.FP16,
    **{f"MOGFACE_{name.upper()}": code for _, codes in ENUMERATIONS.values() for name, code in codes.items()},
}

KINDS = """
#define KIND(field) _Generic((field), float: "float", double: "double", \\
    int32_t: "int32", int64_t: "int64", uint32_t: "uint32", default: "other")
"""


def kind(of: object) -> str:
    """Name by the macro above; pointers are addresses to Python, and structures and arrays are neither."""
    names: dict[object, str] = {
        c.c_float: "float",
        c.c_double: "double",
        c.c_int32: "int32",
        c.c_int64: "int64",
    }
    return names.get(of, "other")


def in_c(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def fields_of(structure: type[c.Structure]) -> list[tuple[str, type]]:
    return [(field[0], field[1]) for field in structure._fields_]


def layout() -> list[str]:
    """What the C program prints, as Python has it."""
    lines = [f"{name} {value}" for name, value in CONSTANTS.items()]
    for structure in STRUCTURES:
        lines.append(f"{structure.__name__} {c.sizeof(structure)}")
        for name, of in fields_of(structure):
            at = getattr(structure, name)
            lines.append(f"{structure.__name__}.{in_c(name)} {at.offset} {at.size} {kind(of)}")
    return lines


def program() -> str:
    """A C program that prints constants, and the sizes, offsets and types of structures and their fields."""
    lines = [f'    printf("{name} %d\\n", (int){name});' for name in CONSTANTS]
    for structure in STRUCTURES:
        struct = structure.__name__
        lines.append(f'    printf("{structure.__name__} %zu\\n", sizeof({struct}));')
        lines.extend(
            f'    printf("{structure.__name__}.{field} %zu %zu %s\\n", offsetof({struct}, {field}),'
            f" sizeof((({struct}*)0)->{field}), KIND((({struct}*)0)->{field}));"
            for field in (in_c(name) for name, _ in fields_of(structure))
        )
    body = "\n".join(lines)
    return f"#include <stdio.h>\n#include <trt_mogface/kernels.h>\n{KINDS}\nint main(void)\n{{\n{body}\n}}\n"


def cuda_headers() -> Path:
    """The folder of CUDA's own headers."""
    nvcc = shutil.which("nvcc")
    places = [Path("/usr/local/cuda")] + ([Path(nvcc).resolve().parents[1]] if nvcc else [])
    for place in places:
        if (place / "include" / "cuda_runtime_api.h").is_file():
            return place / "include"
    pytest.skip("CUDA's headers are not installed")


@pytest.mark.parametrize("headers", ["emulation", "cuda"])
def test_structures_are_those_of_the_header_in_c(headers: str, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    include = EMULATION if headers == "emulation" else cuda_headers()
    source, made = tmp_path / "layout.c", tmp_path / "layout"
    source.write_text(program())
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{PLUGINS / 'include'}"]
    command = ["gcc", *flags, "-isystem", str(include), str(source), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = subprocess.run([made], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == layout()


def declared() -> dict[str, int]:
    """Functions of the header with the number of their parameters."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    found = re.findall(r"MOGFACE_API [\w\s*]*?\b(mogface\w+)\(([^)]*)\)", text)
    return {name: 0 if what == "void" else what.count(",") + 1 for name, what in found}


def test_functions_are_those_of_the_header(library: Path) -> None:
    others = {"mogfaceInterface": 0, "mogfaceProblem": 0, "mogfaceRunsOnHost": 0, "mogfaceCudaVersion": 0}
    others |= {"mogfaceErrorName": 1, "mogfaceErrorText": 1}
    known = {name: len(parameters) for name, parameters in interface.STATUS_FUNCTIONS.items()}
    assert declared() == known | others
    loaded = c.CDLL(str(library))
    assert all(hasattr(loaded, name) for name in declared())


@pytest.mark.parametrize("name", ENUMERATIONS)
def test_the_header_has_the_names_that_python_has(name: str) -> None:
    names, codes = ENUMERATIONS[name]
    assert list(codes) == list(get_args(names))
    body = re.search(rf"typedef enum Mogface{name}\n{{(.*?)}} Mogface{name};", HEADER.read_text(), re.DOTALL)
    assert body
    found = re.findall(r"MOGFACE_(\w+) = (\d+)", body[1])
    assert {value.lower(): int(code) for value, code in found} == codes


def test_the_plugin_knows_every_coding() -> None:
    source = (PLUGINS / "tensorrt" / "attributes.cpp").read_text()
    names = re.search(r"kCODINGS\[\] = {(.*?)}", source)
    assert names
    assert re.findall(r'"(\w+)"', names[1]) == list(get_args(Coding))


def test_color_factors_are_those_of_the_specification() -> None:
    source = (PLUGINS / "kernels" / "pixels.cuh").read_text()
    table = source[source.index("kFACTORS[2][3][2] = ") :]
    table = table[: table.index(";")].partition("=")[2]
    found = [tuple(map(int, row.split(","))) for row in re.findall(r"{([-\d, \n]+)}", table)]
    assert found == [
        tuple(factors(matrix, range_, bits))
        for bits in (8, 10)
        for matrix in get_args(ColorMatrix)
        for range_ in get_args(ColorRange)
    ]


def test_limits_are_those_of_a_spec() -> None:
    assert interface.MAX_LEVELS == interface.MAX_SIDES == MAX_LEVELS
    assert c.sizeof(interface.MogfaceFrame) == FRAME_BYTES
