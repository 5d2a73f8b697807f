"""Image files of paths, folders and patterns, and the reason for each file of a folder that is left out."""

from __future__ import annotations

import glob
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from trt_mogface.errors import ImageError
from trt_mogface.images.formats import FORMATS, HEIF, HEIF_HINT, SUFFIXES, has_heif

APPLE_DOUBLE = "metadata of macOS (._*)"
HIDDEN = "hidden"
BROKEN_LINK = "broken link"
SEARCHED = "link to a folder that is searched already"
FOLDER = "a folder that a pattern matches"
SPECIAL = "not a regular file"

SHOWN = 8
"""Reasons in a summary."""


@dataclass(frozen=True)
class ImageFiles:
    """Files to use as images.

    Attributes:
        paths: Files, each once.
        skipped: Reason for each file or folder of a searched folder that was left out, by path.
    """

    paths: list[Path] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)


def summarize(skipped: Mapping[Path, str]) -> str:
    """Return a line that counts the files left out, by reason, or an empty text."""
    if not skipped:
        return ""
    counts = Counter(skipped.values()).most_common()
    reasons = [f"{count} {reason}" for reason, count in counts[:SHOWN]]
    if rest := sum(count for _, count in counts[SHOWN:]):
        reasons.append(f"{rest} for other reasons")
    return f"skipped {len(skipped)} {'file' if len(skipped) == 1 else 'files'}: {'; '.join(reasons)}"


def find_images(patterns: Sequence[str]) -> ImageFiles:
    """Return the files of paths, folders (their images, recursively, sorted) and glob patterns, each once.

    Links to folders are followed.  Files with an extension that no image format has, hidden files, and
    broken links are left out of folders, and folders of what a pattern matches; the result says so.  A plain
    path, and a file that matches a pattern, is returned unchecked.

    Raises:
        ImageError: If a folder or pattern has no image.
    """
    found: dict[Path, None] = {}
    skipped: dict[Path, str] = {}
    for pattern in patterns:
        if os.path.isdir(pattern):  # noqa: PTH112 -- unlike Path.is_dir it accepts impossible names
            matches = _of_folder(Path(pattern), skipped)
        elif glob.has_magic(pattern) and not os.path.exists(pattern):  # noqa: PTH110
            matches = _of_pattern(pattern, skipped)
        else:
            matches = [Path(pattern)]
        found.update(dict.fromkeys(matches))
    return ImageFiles(list(found), {path: why for path, why in skipped.items() if path not in found})


def root_of(pattern: str) -> Path:
    """Return the folder below which the images of an argument of `find_images` have their names.

    It is a folder itself, the part of a pattern before its first wildcard, and the folder of a file.
    """
    if os.path.isdir(pattern):  # noqa: PTH112 -- see above
        return Path(pattern)
    parts = Path(pattern).parts[:-1]
    if os.path.exists(pattern):  # noqa: PTH110 -- a name with brackets is no pattern
        return Path(*parts)
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:fixed])


def _of_folder(folder: Path, skipped: dict[Path, str]) -> list[Path]:
    left_out: dict[Path, str] = {}
    matches = sorted(_search(folder, left_out))
    skipped.update(left_out)
    if not matches:
        reasons = summarize(left_out) or "it is empty"
        raise ImageError(f"{folder}: no images in this folder; {reasons}")
    return matches


def _of_pattern(pattern: str, skipped: dict[Path, str]) -> list[Path]:
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
    folders = {path: FOLDER for path in matches if path.is_dir()}
    skipped.update(folders)
    files = [path for path in matches if path not in folders]
    if not files:
        what = f"only folders ({len(folders)}) match" if folders else "no file matches"
        raise ImageError(f"{pattern}: {what} this pattern")
    return files


def _search(root: Path, skipped: dict[Path, str]) -> Iterator[Path]:
    """Yield the images below a folder; links to folders come last, so that each image has its real name."""
    folders, links = deque([root]), deque[Path]()
    seen: set[tuple[int, int]] = set()
    while folders or links:
        folder = folders.popleft() if folders else links.popleft()
        try:
            status = folder.stat()
            identity = status.st_dev, status.st_ino
            if identity in seen:
                skipped[folder] = SEARCHED
                continue
            entries = list(folder.iterdir())
        except OSError as error:
            skipped[folder] = f"cannot be read ({error.strerror})"
            continue
        seen.add(identity)
        for path in entries:
            reason, is_folder = _judge(path)
            if reason:
                skipped[path] = reason
            elif is_folder:
                (links if path.is_symlink() else folders).append(path)
            else:
                yield path


def _judge(path: Path) -> tuple[str, bool]:
    """Return why an entry of a folder is left out, or an empty text, and whether it is a folder."""
    if path.name.startswith("."):
        return APPLE_DOUBLE if path.name.startswith("._") else HIDDEN, False
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return BROKEN_LINK if path.is_symlink() else f"cannot be read ({error.strerror})", False
    if S_ISDIR(mode):
        return "", True
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return f"with an unknown extension ({suffix})" if suffix else "without an extension", False
    if not S_ISREG(mode):
        return SPECIAL, False
    if suffix in FORMATS[HEIF].suffixes and not has_heif():
        return f"{suffix} {HEIF_HINT}", False
    return "", False
