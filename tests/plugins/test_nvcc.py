"""What nvcc makes of the kernels: no warning, no spilled register, nothing that allocates or waits."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.emulated import KERNELS, PLUGINS

MAY_CALL = {
    *("cudaLaunchKernelExC", "cudaGetErrorName", "cudaGetErrorString"),
    *("cudaFuncGetAttributes", "cudaDriverGetVersion"),  # whether dependent launches are possible
}
"""Of CUDA's runtime: nothing that allocates, copies or waits."""

FOR_LOADING = re.compile(r"__cuda\w+|cudaGetParameterBuffer\w*")

SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")


CUDA_12_2 = {
    *("cudaError_t", "cudaSuccess", "cudaErrorInvalidValue", "cudaStream_t"),
    *("cudaGetErrorName", "cudaGetErrorString", "cudaDriverGetVersion"),
    *("cudaFuncAttributes", "cudaFuncGetAttributes"),
    # CUDA 11.8
    *("cudaLaunchConfig_t", "cudaLaunchKernelEx", "cudaLaunchKernelExC", "cudaLaunchAttribute"),
    *("cudaLaunchAttributeProgrammaticStreamSerialization",),
    *("cudaGridDependencySynchronize", "cudaTriggerProgrammaticLaunchCompletion"),
}
"""Names of CUDA's runtime that the kernels may use: JetPack 6 has CUDA 12.2 to 12.6."""


def test_nothing_needs_a_newer_cuda_than_that_of_jetpack_6() -> None:
    files = [each for each in (PLUGINS / "kernels").iterdir() if each.suffix in (".cu", ".cuh", ".cpp", ".h")]
    text = "\n".join(file.read_text() for file in files)
    code = re.sub(r"//.*|/\*[\s\S]*?\*/", "", text)
    assert set(re.findall(r"\bcuda[A-Z]\w*", code)) <= CUDA_12_2
    assert set(re.findall(r"#include <(cuda\w*\.h)>", code)) <= {
        "cuda_fp16.h",
        "cuda_runtime.h",
        "cuda_runtime_api.h",
    }


@pytest.mark.parametrize("source", KERNELS, ids=lambda path: path.name)
def test_it_compiles_cleanly_and_calls_nothing_that_waits(source: Path, tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    made = tmp_path / "object.o"
    command = ["nvcc", "-std=c++17", "-O3", "--fmad=false", "-Werror", "all-warnings"]
    command += [f"-gencode=arch=compute_{each},code=sm_{each}" for each in (75, 87, 90)]
    command += ["-Xcompiler", "-Wall,-Wextra,-Werror", "-Xptxas", "-v", f"-I{PLUGINS / 'include'}"]
    done = subprocess.run([*command, "-c", str(source), "-o", str(made)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(stores == loads == "0" for stores, loads in SPILLS.findall(done.stderr))
    symbols = subprocess.run(["nm", "--undefined-only", made], capture_output=True, text=True, check=True)
    called = {line.split()[-1] for line in symbols.stdout.splitlines()}
    runtime = {name for name in called if name.lower().lstrip("_").startswith(("cuda", "cu"))}
    assert {name for name in runtime if not FOR_LOADING.fullmatch(name)} <= MAY_CALL
    assert not {"malloc", "free", "_Znwm", "_ZdlPv"} & called
