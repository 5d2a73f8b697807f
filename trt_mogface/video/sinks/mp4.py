"""MP4: drawn or blurred video of each source, with its time stamps and sound."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trt_mogface._files import cannot_write
from trt_mogface.errors import ImageError, OutputError
from trt_mogface.frame import Frame
from trt_mogface.reporting import drawing
from trt_mogface.video.encoding import colors_of, encoder_for, to_video_frame
from trt_mogface.video.items import FrameFaces, Item, SourceEvent
from trt_mogface.video.sinks.files import file_name, sync_folder
from trt_mogface.video.sinks.ledger import Ledger
from trt_mogface.video.sinks.lines import Rotation, stamp
from trt_mogface.video.sinks.movie import Movie


@dataclass(frozen=True)
class _Part:
    """Properties that all frames of one file share; another value begins another file."""

    opening: int
    size: tuple[int, int]
    begin: float | None


class Mp4Sink:
    """Fragmented MP4 files: a killed run leaves files that play up to its last frame but one.

    A source has a file ``NAME.mp4``, or ``NAME-TIME.mp4`` for each segment.  A further one, ``NAME-2.mp4``
    and so on, begins after a change of size, a reconnection, and in a resumed run.  Frames are as far apart
    as in the source.  Sound is copied, not encoded again; it is left out if MP4 cannot hold its codec, such
    as G.711.  Odd sides are made even by a repeated row or column.

    Args:
        name: Specification of the sink, for messages.
        target: Folder.
        rotation: See `Rotation`.
        resume: Whether the folder may have files of an earlier run.
        blur: Whether the faces of the pictures are blurred.
        draw: Whether boxes are drawn; None draws them unless faces are blurred.

    Raises:
        OutputError: If the folder cannot be written, is in use, or has files that are not to be continued.
    """

    def __init__(
        self,
        name: str,
        target: str,
        *,
        rotation: Rotation | None = None,
        resume: bool = False,
        blur: bool = False,
        draw: bool | None = None,
    ) -> None:
        self.name, self._rotation = name, rotation or Rotation()
        self._draws = not blur if draw is None else draw
        self._ledger = Ledger(Path(target), "mp4", name, resume=resume)
        self._movies: dict[str, tuple[_Part, Movie]] = {}
        self._pending: dict[str, int] = {}
        self._recent: dict[str, list[bool]] = defaultdict(list)
        self._position: Any = {"files": self._ledger.next, "open": {}}

    def write(self, item: Item) -> None:
        """Append a frame, or finish the file of a source that has ended.

        Raises:
            OutputError: If the frame has no picture, or cannot be encoded or written.
            ImageError: If the picture lies on a GPU.
        """
        self._recent[item.source].append(isinstance(item, FrameFaces))
        if isinstance(item, SourceEvent):
            if item.event in ("ended", "failed"):
                self._finish(item.source)
            return
        picture = self._picture(item)
        movie = self._movie(item, picture)
        seconds = item.captured if item.time is None else item.time
        movie.write(to_video_frame(picture, movie.colors), seconds, item.audio)

    def flush(self) -> None:
        """Make all whole fragments durable.

        Raises:
            OutputError: If the disk refuses.
        """
        movies = {source: movie for source, (_, movie) in self._movies.items()}
        for movie in movies.values():
            movie.sync()
        self._ledger.sync()
        self._pending = {source: self._held(source, movie.pending) for source, movie in movies.items()}
        sizes = {movie.path.name: movie.fragments.end for movie in movies.values()}
        self._position = {"files": self._ledger.next, "open": sizes}
        self._rotation.expire(self._ledger, frozenset(sizes))

    def pending(self) -> dict[str, int]:
        """Return the number of items since the first frame within the encoder or an unfinished fragment."""
        return dict(self._pending)

    def position(self) -> Any:
        """Return the number of files, and the ends of the fragments of the open ones."""
        return self._position

    def cut(self, position: Any) -> None:
        """Remove the files and fragments behind a position; a resumed source begins another file."""
        self._ledger.cut(position["files"])
        for name, size in position["open"].items():
            path = self._ledger.folder / name
            try:
                if size == 0:
                    path.unlink(missing_ok=True)
                elif path.exists():
                    if path.stat().st_size < size:
                        problem = f"has {path.stat().st_size} bytes, but {size} were written"
                        raise OutputError(f"{path}: {problem}; restore the file, or begin anew elsewhere")
                    os.truncate(path, size)
            except OSError as error:
                raise cannot_write(path, error) from error

    def close(self) -> None:
        """Finish all files; closing twice is harmless."""
        try:
            for source in list(self._movies):
                self._finish(source)
            self._pending, self._position = {}, {"files": self._ledger.next, "open": {}}
        finally:
            for _, movie in self._movies.values():
                movie.abandon()
            self._movies.clear()
            self._ledger.close()

    def _held(self, source: str, frames: int) -> int:
        """Return the number of latest items among which are `frames` frames, and forget earlier ones."""
        recent = self._recent[source]
        count = 0
        while count < len(recent) and sum(recent[len(recent) - count :]) < frames:
            count += 1
        del recent[: len(recent) - count]
        return count

    def _picture(self, item: FrameFaces) -> Frame:
        if item.picture is None:
            raise OutputError(f"{self.name}: frame {item.frame} of {item.source} has no picture")
        if not item.picture.on_host:
            raise ImageError(f"{self.name}: {item.source} is decoded on a GPU; use decoder='cpu'")
        if not self._draws or not len(item.faces):
            return item.picture
        faces, image = item.faces.clip(), item.image()
        drawn = drawing.draw(image, faces.xyxy, faces.confidence, faces.landmarks, faces.tracker_id)
        return Frame((drawn,))

    def _movie(self, item: FrameFaces, picture: Frame) -> Movie:
        """Return the file of a frame, a new one if it differs from the frame before."""
        part = _Part(item.opening, picture.size, self._rotation.begin(item.captured))
        before, movie = self._movies.get(item.source, (None, None))
        if movie is not None and before == part:
            return movie
        self._finish(item.source)
        path = self._ledger.add(self._free_name(item.source, part.begin))
        colors = colors_of(item.picture or picture)
        movie = Movie(path, part.size, colors, encoder_for(*part.size))
        self._movies[item.source] = part, movie
        return movie

    def _free_name(self, source: str, begin: float | None) -> str:
        stem = file_name(source) + ("" if begin is None else f"-{stamp(begin)}")
        number = 1
        while True:
            name = f"{stem}{f'-{number}' if number > 1 else ''}.mp4"
            if name not in self._ledger and not (self._ledger.folder / name).exists():
                return name
            number += 1

    def _finish(self, source: str) -> None:
        _, movie = self._movies.pop(source, (None, None))
        if movie is not None:
            movie.close()
            sync_folder(self._ledger.folder)
