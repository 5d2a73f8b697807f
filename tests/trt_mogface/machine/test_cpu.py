"""Cores that a process may use, in made-up control groups of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trt_mogface.machine.cpu import available_cores

AFFINITY = 8


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(AFFINITY)), raising=False)


def cores(folder: Path, groups: str, files: dict[str, str]) -> int:
    """Return the cores of a process in `groups`, where `files` are mounted."""
    for name, text in files.items():
        path = folder / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "groups").write_text(groups)
    return available_cores(folder / "groups", folder / "mount")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),  # a core and a half keep two threads busy
        ("10000 100000\n", 1),
        ("1600000 100000\n", AFFINITY),  # more than the affinity
        ("max 100000\n", AFFINITY),
        ("", AFFINITY),
        ("nonsense", AFFINITY),
        ("200000 0\n", AFFINITY),
    ],
)
def test_version_2(tmp_path: Path, limit: str, expected: int) -> None:
    assert cores(tmp_path, "0::/\n", {"cpu.max": limit}) == expected


@pytest.mark.parametrize(
    ("parent", "child", "expected"),
    [
        ("300000 100000", "max 100000", 3),
        ("300000 100000", "600000 100000", 3),
        ("max 100000", "50000 100000", 1),
    ],
)
def test_the_tightest_group_counts(tmp_path: Path, parent: str, child: str, expected: int) -> None:
    files = {"a/cpu.max": parent, "a/b/cpu.max": child, "cpu.max": "max 100000"}
    assert cores(tmp_path, "0::/a/b\n", files) == expected


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3), ("-1", AFFINITY), ("", AFFINITY)])
@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_version_1(tmp_path: Path, folder: str, quota: str, expected: int) -> None:
    groups = "12:memory:/x\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    assert cores(tmp_path, groups, files) == expected


def test_a_group_of_version_1_by_its_path(tmp_path: Path) -> None:
    files = {"cpu/job/cpu.cfs_quota_us": "400000", "cpu/job/cpu.cfs_period_us": "100000"}
    assert cores(tmp_path, "3:cpu:/job\n", files) == 4


@pytest.mark.parametrize("groups", ["", "0::/\n", "::", "nonsense\n\n", "0::/../../..\n"])
def test_without_a_quota_the_affinity_counts(tmp_path: Path, groups: str) -> None:
    assert cores(tmp_path, groups, {}) == AFFINITY


def test_without_control_groups_and_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores(tmp_path / "missing", tmp_path / "missing") == 1
