"""The kernels under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer.

What takes the same steps with more candidates is marked as slow and left out.

`test_emulation` shows that the same builds find what is planted for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.device import LAUNCH_VARIABLE
from tests.support.emulated import REPOSITORY, SANITIZER_OPTIONS, shared_library
from tests.support.strategies import EXAMPLES
from trt_mogface.kernels.library import VARIABLE

TESTS = [
    f"tests/plugins/test_{name}.py"
    for name in ("letterbox", "resample", "decode", "select", "detect", "merge", "cascade")
]

RUNTIMES = {"address": "libasan.so", "thread": "libtsan.so"}

MOST_EXAMPLES = {"address": 10, "thread": 2}
"""ThreadSanitizer takes its time for every switch of threads."""

LAUNCH = {"address": "plain", "thread": "dependent"}
"""Dependent launches are ordered less than plain ones: whatever races in these races in them."""

SHOWN = 6000
"""Characters of the end of a failed run."""


def sanitized(sanitizer: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a sanitizer loaded before everything else, and the kernels made for it."""
    runtime = subprocess.run(
        ["g++", f"-print-file-name={RUNTIMES[sanitizer]}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip(f"{RUNTIMES[sanitizer]} is not installed")
    environment = {
        **os.environ,
        **SANITIZER_OPTIONS,
        VARIABLE: str(shared_library(sanitizer)),
        EXAMPLES: str(MOST_EXAMPLES[sanitizer]),
        LAUNCH_VARIABLE: LAUNCH[sanitizer],
        "LD_PRELOAD": runtime,
        "OPENBLAS_NUM_THREADS": "1",
    }
    # Not captured: what a sanitizer says when it ends the process would be lost.
    return subprocess.run(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=REPOSITORY,
    )


def pytest_run(sanitizer: str, *options: str) -> subprocess.CompletedProcess[str]:
    plain = ("-p", "no:xdist", "-p", "no:cacheprovider", "--capture=no", "-q", "-x")
    return sanitized(sanitizer, "-m", "pytest", *plain, *options)


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", RUNTIMES)
def test_the_kernels_are_clean(sanitizer: str) -> None:
    done = pytest_run(sanitizer, "-m", "not slow", *TESTS)
    assert done.returncode == 0, done.stdout[-SHOWN:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
