"""CPU cores that this process may use: those of its affinity, within the quota of its control groups."""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/proc/self/cgroup")
"""Control groups of this process, a line ``number:controllers:path`` each."""

MOUNT = Path("/sys/fs/cgroup")
"""Where control groups are mounted."""

log = logging.getLogger(__name__)


def usable_threads(threads: int | None) -> int:
    """Return the requested number of threads, at most `available_cores`; None requests that many.

    More would only wait for each other.  A process is warned of that once.
    """
    cores = available_cores()
    if threads is not None and threads > cores:
        _warn(threads, cores)
    return cores if threads is None else min(threads, cores)


@functools.cache
def _warn(threads: int, cores: int) -> None:
    log.warning("threads %d: this process may use only %d cores; using %d", threads, cores, cores)


def available_cores(groups: Path = GROUPS, mount: Path = MOUNT) -> int:
    """Return the number of cores that this process may keep busy, at least 1.

    A container with a quota sees all cores of its host.  Of more threads than the quota pays for, the kernel
    pauses some in the middle of their work, and the others wait for them.

    Args:
        groups: File in the form of ``/proc/self/cgroup``.
        mount: Folder in the form of ``/sys/fs/cgroup``, of version 1 or 2.
    """
    quotas = list(_quotas(groups, mount))
    return max(1, min([_in_affinity(), *(math.ceil(quota) for quota in quotas)]))


def _in_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows have no affinity to ask for


def _quotas(groups: Path, mount: Path) -> Iterator[float]:
    """Yield the quota, in cores, of each control group that this process is in, parents included."""
    lines: list[str] = []
    with suppress(OSError):
        lines = groups.read_text().splitlines()
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:  # version 2
            yield from _along(mount, path, _quota_2)
        elif "cpu" in controllers.split(","):
            roots = (mount / name for name in (controllers, "cpu"))
            root = next((each for each in roots if each.is_dir()), mount / "cpu")
            yield from _along(root, path, _quota_1)


def _along(root: Path, path: str, quota: Callable[[Path], float]) -> Iterator[float]:
    """Yield the quotas of a group and of its parents that have one.

    In a container `path` may be the host's, of which only the root exists here.
    """
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):
            yield quota(folder)
        if folder == root:
            return


def _quota_2(folder: Path) -> float:
    quota, period = (folder / "cpu.max").read_text().split()
    return _cores(quota, period)


def _quota_1(folder: Path) -> float:
    return _cores(*((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")))


def _cores(quota: str, period: str) -> float:
    """Return microseconds of a period as cores; raise ValueError if there is no limit."""
    cores = int(quota) / max(1, int(period))  # "max" is no number
    if cores <= 0:  # -1 in version 1
        raise ValueError(quota)
    return cores
