"""The emulation itself: it computes what a GPU does, and finds what was planted for it to find."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.support.emulated import EMULATION, SANITIZER_OPTIONS, SANITIZERS, build

THREADS = 128

RACE = 66
"""ThreadSanitizer's exit status."""

ABORTED = -6


def planted(sanitizer: str = "none") -> Path:
    return build("planted", [EMULATION / "planted.cu"], SANITIZERS[sanitizer])


def run(kernel: str, *, sanitizer: str = "none", seed: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **SANITIZER_OPTIONS}
    command = [str(planted(sanitizer)), kernel, str(seed)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def printed(kernel: str, *, seed: int = 0) -> list[list[int]]:
    done = run(kernel, seed=seed)
    assert done.returncode == 0, done.stderr
    return [list(map(int, line.split())) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "kernel",
    [
        "exchange without a barrier",
        "rounds without the first barrier",
        "rounds without the second barrier",
        "exchange between barriers",
        "shuffle instead of a barrier",
        "count two blocks without an atomic",
        "count three blocks without an atomic",
        "count two blocks of a dependent launch without an atomic",
        "wait too late",
        "chain whose last launch does not wait",
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_race_is_found(kernel: str, seed: int) -> None:
    done = run(kernel, sanitizer="thread", seed=seed)
    assert done.returncode == RACE, done.stderr
    assert "ThreadSanitizer: data race" in done.stderr
    assert "planted.cu" in done.stderr


@pytest.mark.parametrize(
    "kernel",
    [
        "exchange",
        "rounds",
        "count blocks",
        "count launches",
        "chain",
        "chain of dependent launches",
        "write global",
        "write shared",
        "warps",
        "histogram",
    ],
)
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_what_is_ordered_by_barriers_atomics_and_launches_is_no_race(kernel: str, sanitizer: str) -> None:
    done = run(kernel, sanitizer=sanitizer)
    assert done.returncode == 0, done.stderr
    assert done.stdout == run(kernel).stdout


@pytest.mark.parametrize("memory", ["global", "shared"])
@pytest.mark.parametrize("where", ["beyond the end", "before the start"])
def test_a_write_out_of_bounds_is_found(memory: str, where: str) -> None:
    done = run(f"write {memory} {where}", sanitizer="address")
    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
    assert "WRITE of size 4" in done.stderr


def test_undefined_arithmetic_is_found() -> None:
    done = run("overflow", sanitizer="address")
    assert done.returncode != 0
    assert "runtime error: signed integer overflow" in done.stderr


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("some threads wait", "waits at a barrier that not all threads of the block reach"),
        ("some lanes vote", "waits for lanes of its warp that never arrive"),
        ("some lanes vote in a mask of their own", "exchanges values with a part of its warp"),
        ("request less shared memory", "uses more shared memory than the launch requested"),
    ],
)
def test_a_kernel_that_waits_for_nobody_is_stopped(kernel: str, message: str, sanitizer: str) -> None:
    done = run(kernel, sanitizer=sanitizer)
    assert done.returncode == ABORTED
    assert re.search(rf"^emulation: block \(0, 0, 0\), thread \d+: {message}", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("sanitizer", ["none", "address"])
def test_a_dependent_launch_that_does_not_wait_is_stopped(sanitizer: str) -> None:
    done = run("chain whose last launch does not wait", sanitizer=sanitizer)
    assert done.returncode == ABORTED
    assert "ends without having waited for the launch before its own" in done.stderr


@pytest.mark.parametrize("seed", range(3))
def test_shared_memory_is_garbage_at_first(seed: int) -> None:
    (values,) = printed("read shared", seed=seed)
    assert len(values) == THREADS
    assert 0 not in values


def made(thread: int) -> int:
    """The value that a thread of the planted kernels has."""
    return thread * 37 % 101


@pytest.mark.parametrize("seed", range(4))
def test_warps_exchange_what_their_lanes_have(seed: int) -> None:
    (values,) = printed("warps", seed=seed)
    for thread in range(THREADS):
        first, lane = thread // 32 * 32, thread % 32
        ballot = sum(1 << other for other in range(32) if made(first + other) % 3 == 0)
        assert values[5 * thread : 5 * thread + 5] == [
            made(first + made(thread // 32) % 11 + 5),
            made(first + (lane ^ 12)),
            made(thread - 3 if lane >= 3 else thread),
            int(np.uint32(ballot).view(np.int32)),
            made(first + (lane ^ 1)),
        ]


@pytest.mark.parametrize("seed", range(4))
def test_atomics_give_every_thread_a_place(seed: int) -> None:
    counts, places = printed("histogram", seed=seed)
    kinds = [made(thread) % 7 for thread in range(3 * THREADS)]
    wanted = Counter(kinds)
    assert counts == [wanted[kind] for kind in range(7)]
    for kind in range(7):
        taken = [place for place, of in zip(places, kinds) if of == kind]
        assert sorted(taken) == list(range(wanted[kind]))


def test_blocks_know_where_they_are() -> None:
    indices, dimensions = printed("grid")
    assert indices == [100 * z + 10 * y + x for z in range(4) for y in range(3) for x in range(2)]
    assert dimensions == [32432] * 24


def test_the_order_of_threads_follows_from_the_seed() -> None:
    orders = [printed("order", seed=seed)[0] for seed in (0, 1, 2, 1)]
    assert all(sorted(order) == list(range(3 * THREADS)) for order in orders)
    assert orders[1] == orders[3]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    blocks = [tuple(dict.fromkeys(thread // THREADS for thread in order)) for order in orders]
    assert len(set(blocks)) > 1  # blocks change places too


def test_launches_that_no_gpu_takes_are_refused() -> None:
    done = run("configurations")
    assert done.stdout.split() == ["cudaErrorInvalidConfiguration"] * 8


def test_all_halves_are_the_numbers_they_are() -> None:
    done = run("halves")
    bits = np.array([int(line, 16) for line in done.stdout.split()], np.uint32)
    expected = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    assert np.array_equal(bits.view(np.float32), expected, equal_nan=True)
    signed = ~np.isnan(expected)
    assert np.array_equal(bits[signed], expected.view(np.uint32)[signed])
