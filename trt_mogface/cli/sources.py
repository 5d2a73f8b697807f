"""Images that are named on the command line: files, folders, glob patterns, URLs, and standard input."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from trt_mogface import _url as url
from trt_mogface.errors import DownloadError, ImageError, UsageError
from trt_mogface.frame import Image
from trt_mogface.images import VIDEOS, decode_image, find_images, read_image, root_of

STDIN = "-"

NO_VIDEO = "a video; detect takes images: use trt-mogface video VIDEO --sink jsonl:FILE"


@dataclass(frozen=True)
class Source:
    """One image.

    Attributes:
        name: Path, URL or `STDIN`, as the user wrote it.
        relative: Path below the folder, or the fixed part of the pattern, by which it was found.
    """

    name: str
    relative: str

    @property
    def file(self) -> Path | None:
        """The file, if it is one."""
        return None if self.name == STDIN or url.is_url(self.name) else Path(self.name)

    @property
    def longer(self) -> str:
        """The relative path, with the server and the folders of a URL."""
        return "/".join(_of_url(self.name)) if url.is_url(self.name) else self.relative

    def read(self) -> Image:
        """Return the image, uint8 [H, W, 3], BGR.

        Raises:
            ImageError: If it cannot be read.
            MemoryError: If it does not fit into the memory.
        """
        if self.name == STDIN:
            return decode_image(_stdin(), STDIN)
        if url.is_url(self.name):
            try:
                return decode_image(url.download(self.name), self.name)
            except DownloadError as error:
                raise ImageError(str(error)) from error
        if Path(self.name).suffix.lower() in VIDEOS and os.path.isfile(self.name):  # noqa: PTH113
            raise ImageError(f"{self.name}: {NO_VIDEO}")
        return read_image(self.name)


def find_sources(names: Sequence[str]) -> tuple[list[Source], dict[Path, str]]:
    """Return the images of arguments, each once, and the reasons for the files of folders that are left out.

    Raises:
        ImageError: If a folder or pattern has no image.
        UsageError: If stdin is named twice.
    """
    if list(names).count(STDIN) > 1:
        raise UsageError("-: stdin has one image; name it once")
    found: dict[str, Source] = {}
    skipped: dict[Path, str] = {}
    for name in names:
        if name == STDIN:
            found[name] = Source(name, "stdin.png")
        elif url.is_url(name):
            found[name] = Source(name, _of_url(name)[-1])
        else:
            files, root = find_images([name]), root_of(name)
            skipped |= files.skipped
            for path in files.paths:
                found.setdefault(str(path), Source(str(path), os.path.relpath(path, root)))
    return list(found.values()), {path: why for path, why in skipped.items() if str(path) not in found}


def _of_url(address: str) -> list[str]:
    """Return the server of a URL, the folders and the file, as names that lead to no other folder."""
    try:
        parts = urlsplit(address)
    except ValueError:  # the download says so
        return ["image.jpg"]
    names = [part for part in PurePosixPath(unquote(parts.path)).parts if part not in ("/", "..", ".")]
    return [parts.netloc, *(names or ["image.jpg"])]


def relative_names(sources: Sequence[Source]) -> list[str]:
    """Return a name of each image below a folder of results, all different, and none outside of it.

    If images of several arguments would have one name, all files keep the folders below their common one.
    """
    names = [source.relative for source in sources]
    if len(set(names)) < len(names):
        folders = [source.file.absolute().parent for source in sources if source.file is not None]
        common = os.path.commonpath(folders) if folders else ""
        names = [
            os.path.relpath(source.file.absolute(), common) if source.file is not None else source.longer
            for source in sources
        ]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0]}: the name of several images; give each a folder of results of its own")
    return names


def _stdin() -> bytes:
    if sys.stdin is None:
        raise ImageError("-: stdin is closed; pipe an image into it")
    data = sys.stdin.buffer.read(url.MAX_BYTES + 1)
    if len(data) > url.MAX_BYTES:
        raise ImageError(f"-: larger than {url.MAX_BYTES >> 20} MiB; pass it as a file")
    return data
