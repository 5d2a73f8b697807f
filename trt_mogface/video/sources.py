"""Sources of video: files, folders, patterns, cameras and servers, each with a name of its own.

Files and streams are untrusted input: each kind of source may use only its own protocols and formats, so that
a file cannot make the decoder open another one.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from trt_mogface._json import convert
from trt_mogface._optional import require
from trt_mogface._printable import printable
from trt_mogface._text import read_lines, read_text
from trt_mogface.errors import ArgumentError, ImageError
from trt_mogface.images.formats import SUFFIXES
from trt_mogface.video.addresses import expand, redact, scheme_of
from trt_mogface.video.blur import BlurKind
from trt_mogface.video.zones import Polygon

SourceKind = Literal["file", "images", "http", "hls", "rtsp", "v4l2"]

LIVE: tuple[SourceKind, ...] = ("hls", "rtsp", "v4l2")
"""Kinds that count as live before they are opened; of HTTP only the opening shows it."""

SCHEMES: dict[str, SourceKind] = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}
CAMERA = "v4l2:"

# fmt: off
VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob",
    ".wmv", ".asf", ".flv", ".3gp", ".3g2", ".ogv", ".mxf", ".mjpeg", ".mjpg", ".h264", ".264", ".avc",
    ".h265", ".265", ".hevc", ".ivf", ".y4m", ".dv", ".obu",
)
# fmt: on
"""Extensions of the videos of a folder."""

NAME = re.compile(r"([^\W_][\w.-]{0,63})=(.+)", re.DOTALL)
"""Name in front of a source: letters, digits, ``_``, ``.`` and ``-``."""


@dataclass(frozen=True)
class Source:
    """A source of frames.

    Attributes:
        name: Unique name, without a password.
        address: Path or URL; it may hold a password.
        kind: ``file``, ``images`` (a folder or pattern of pictures, each a frame), ``http``, ``hls``,
            ``rtsp`` or ``v4l2``.
        files: Pictures of ``images``.
        rate: Analyzed frames per second; None for that of the analysis.
        zones: Polygons by name; faces say which of them they are in.
        masks: Polygons; faces with their center in one are left out.  It is black in blurred pictures.
        blur: How its faces are blurred; None for what the analysis says.
    """

    name: str
    address: str = field(repr=False)
    kind: SourceKind
    files: tuple[Path, ...] = field(default=(), repr=False)
    rate: float | None = None
    zones: dict[str, Polygon] = field(default_factory=dict)
    masks: tuple[Polygon, ...] = ()
    blur: BlurKind | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is a camera or a live stream, as far as its address shows."""
        return self.kind in LIVE


@dataclass(frozen=True)
class Entry:
    """A table of a TOML file of sources; see `Source`."""

    source: str
    rate: float | None = None
    zones: dict[str, Polygon] = field(default_factory=dict)
    masks: tuple[Polygon, ...] = ()
    blur: BlurKind | None = None


def find_sources(texts: Iterable[str | Path | Source]) -> list[Source]:
    """Return the sources that texts name, in order.

    Args:
        texts: Each is a file; a folder of pictures or videos, or a pattern; ``rtsp://``, ``rtsps://``,
            ``http://`` or ``https://`` (a file, HLS if the path ends in ``.m3u8``, or a camera);
            ``v4l2:/dev/video0``; ``@FILE``, a list with a source a line, or a TOML file (see
            `read_source_file`).  ``NAME=`` in front gives a name; otherwise it is the path, or the URL
            without user, password and query.  ``${VARIABLE}`` in a URL comes from the environment.

    Raises:
        ArgumentError: If a name is used twice, or an address is impossible or of an unknown kind.
        ImageError: If a file is missing, or a folder or pattern has no video and no picture.
    """
    sources = [source for text in texts for source in _resolve(text)]
    check_names(sources)
    return sources


def check_names(sources: Sequence[Source]) -> None:
    """Refuse names that are used twice.

    Raises:
        ArgumentError: If one is.
    """
    seen: set[str] = set()
    for source in sources:
        if source.name in seen:
            raise ArgumentError(
                "sources", "a name that is used twice; put another name in front, NAME=...", source.name
            )
        seen.add(source.name)


def read_source_file(path: Path) -> list[Source]:
    """Read a file of sources: a list with a source a line and ``#`` comments, or TOML.

    In TOML each table is a source, and its name is the table's::

        [door]
        source = "rtsp://${USER}:${PASSWORD}@10.0.0.7/live"
        rate = 5
        blur = "gaussian"
        zones.entrance = [[0.1, 0.2], [0.5, 0.2], [0.5, 0.9]]
        masks = [[[0, 0], [1, 0], [1, 0.1], [0, 0.1]]]

    Relative paths are relative to the folder of the file.

    Raises:
        ArgumentError: If an entry is impossible; the message says which.
        ImageError: If the file, or one that it names, cannot be read.
    """
    try:
        if path.suffix.lower() == ".toml":
            return list(_tables(path, msgspec.toml.decode(read_text(path))))
        lines = read_lines(path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); name a list of sources") from error
    except ArgumentError:
        raise
    except ImportError:
        require("tomli", extra="video")
        raise
    except (ValueError, msgspec.MsgspecError) as error:
        raise ArgumentError("sources", f"not a list of sources ({error!s:.120}); correct it", path) from None
    found = [source for line in lines for source in _resolve(line, path.parent, nested=True)]
    check_names(found)
    return found


def _tables(path: Path, tables: dict[str, Any]) -> Iterator[Source]:
    for name, table in tables.items():
        try:
            entry = convert(table, Entry)
        except ValueError as error:
            raise ArgumentError("sources", f"{name}: {error}; correct it", path) from None
        _check_entry(path, name, entry)
        if not NAME.fullmatch(f"{name}=x"):
            raise ArgumentError("sources", "not a name; use letters, digits, _ . and -", repr(name)[:80])
        found = list(_resolve(entry.source, path.parent, nested=True))
        if len(found) != 1:
            raise ArgumentError("sources", f"{name}: {len(found)} videos; give each a table", path)
        yield replace(
            found[0], name=name, rate=entry.rate, zones=entry.zones, masks=entry.masks, blur=entry.blur
        )


def _check_entry(path: Path, name: str, entry: Entry) -> None:
    if entry.rate is not None and not 0 < entry.rate <= 1000:
        raise ArgumentError("sources", f"{name}: rate must be within 0..1000", path)
    for polygon in (*entry.zones.values(), *entry.masks):
        if len(polygon) < 3:
            raise ArgumentError("sources", f"{name}: a polygon needs three corners or more", path)


def _resolve(
    text: str | Path | Source, folder: Path | None = None, *, nested: bool = False
) -> Iterator[Source]:
    """Yield the sources of one text; relative paths are relative to `folder`."""
    if isinstance(text, Source):
        yield text
        return
    if not isinstance(text, (str, os.PathLike)):
        raise ArgumentError("sources", "must be texts", type(text).__name__)
    text = os.fspath(text)
    if text.startswith("@") and not _exists(text):
        if nested:
            raise ArgumentError("sources", "a list in a list; name its sources here", printable(text)[:80])
        yield from read_source_file(Path(text[1:]))
        return
    named = None if _exists(_path(text, folder)) else NAME.fullmatch(text)
    name, address = (named[1], named[2]) if named else ("", text)
    found = list(_of_address(address, folder))
    if name and len(found) > 1:
        raise ArgumentError("sources", f"{len(found)} videos have this name; name each", name)
    yield from (replace(source, name=name or source.name) for source in found)


def _of_address(address: str, folder: Path | None) -> Iterator[Source]:
    if not address.strip() or "\0" in address:
        problem = "not a source; name a file, folder, pattern or URL"
        raise ArgumentError("sources", problem, repr(address)[:80])
    scheme = scheme_of(address)
    if scheme:
        yield _of_url(scheme, address)
    elif address.startswith(CAMERA):
        yield Source(address, address.removeprefix(CAMERA), "v4l2")
    else:
        yield from _of_path(address, _path(address, folder))


def _of_url(scheme: str, address: str) -> Source:
    shown = redact(address)
    if scheme not in SCHEMES:
        known = ", ".join(f"{each}://" for each in SCHEMES)
        raise ArgumentError("sources", f"{scheme}:// is not supported; use {known} or a file", shown)
    expanded = expand(address)
    if any(character.isspace() or not character.isprintable() for character in expanded):
        raise ArgumentError("sources", "not a URL: it has a blank; write %20 for it", printable(shown))
    if not redact(expanded).partition("://")[2].partition("/")[0].partition(":")[0]:
        raise ArgumentError("sources", "not a URL: it names no server", shown)
    kind = SCHEMES[scheme]
    is_playlist = redact(expanded).lower().endswith((".m3u8", ".m3u"))
    return Source(shown, expanded, "hls" if kind == "http" and is_playlist else kind)


def _of_path(address: str, path: str) -> Iterator[Source]:
    shown = printable(address)
    if os.path.isdir(path):  # noqa: PTH112 -- unlike Path.is_dir it accepts impossible names
        yield from _of_folder(shown, address, Path(path))
    elif glob.has_magic(path) and not _exists(path):
        matches = [Path(match) for match in sorted(glob.glob(path, recursive=True))]
        yield from _of_files(shown, [match for match in matches if match.is_file()], "no file matches")
    elif not _exists(path):
        raise ImageError(f"{shown}: no such file or folder; name a file, folder, pattern or URL")
    elif not Path(path).is_file():
        raise ImageError(f"{shown}: not a regular file; name a file, folder, pattern or URL")
    elif Path(path).suffix.lower() in SUFFIXES:
        yield Source(shown, path, "images", (Path(path),))
    else:
        yield Source(shown, path, "file")


def _of_folder(shown: str, address: str, path: Path) -> Iterator[Source]:
    try:
        files = [each for each in sorted(path.iterdir()) if not each.name.startswith(".") and each.is_file()]
    except OSError as error:
        raise ImageError(f"{shown}: cannot be read ({error.strerror})") from error
    known = [file for file in files if file.suffix.lower() in (*SUFFIXES, *VIDEO_SUFFIXES)]
    beside = {file: Path(address) / file.name for file in known}
    yield from _of_files(shown, known, "no video and no picture in this folder", beside)


def _of_files(
    shown: str, files: list[Path], nothing: str, named: dict[Path, Path] | None = None
) -> Iterator[Source]:
    if not files:
        raise ImageError(f"{shown}: {nothing}; name a video, or a folder or pattern that has one")
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    for file in files:
        if file not in images:
            yield Source(printable(str((named or {}).get(file, file))), str(file), "file")
    if images:
        yield Source(shown, shown, "images", tuple(images))


def _path(text: str, folder: Path | None) -> str:
    return text if folder is None else os.path.join(folder, text)  # noqa: PTH118 -- it may be a URL


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)  # noqa: PTH110 -- see above
    except ValueError:
        return False
