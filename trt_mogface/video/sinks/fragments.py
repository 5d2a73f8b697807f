"""`Fragments`: how much of a growing fragmented MP4 file can be read."""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from

VIDEO = 1
"""Number of the video track: the stream that was added first."""


class Fragments:
    """The end of the last whole fragment of a file, and the video frames up to it.

    A fragment is a box ``moof``, which counts its samples, and the box ``mdat`` that follows with their bytes
    (ISO/IEC 14496-12).

    Attributes:
        end: Bytes up to the end of the last whole fragment.
        frames: Number of video frames up to there.
    """

    def __init__(self) -> None:
        self.end = self.frames = 0
        self._begin, self._head, self._skip, self._counted = 0, bytearray(), 0, 0

    def feed(self, data: bytes) -> None:
        """Take over the next bytes of the file."""
        rest = memoryview(data)
        while rest:
            if self._skip:
                count = min(self._skip, len(rest))
                self._skip -= count
                if not self._skip:
                    self.end, self.frames = self._begin, self._counted
            else:
                count = min(len(rest), self._missing())
                self._head += rest[:count]
                if not self._missing():
                    self._end_of_head()
            rest = rest[count:]

    def _missing(self) -> int:
        """Return the bytes of the current box that are missing: of ``mdat`` those of its head only."""
        head = bytes(self._head)
        length = 8
        if len(head) >= 8 and int.from_bytes(head[:4], "big") == 1:
            length = 16
        if len(head) >= length and head[4:8] != b"mdat":
            length = _size(head)
        return length - len(head)

    def _end_of_head(self) -> None:
        head = bytes(self._head)
        self._begin += _size(head)
        self._skip = _size(head) - len(head)
        if head[4:8] == b"moof":
            self._counted += sum(_samples(track) for track in _boxes(head[8:], b"traf"))
        self._head.clear()


def _size(head: bytes) -> int:
    size = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:16], "big") if size == 1 else size


def _boxes(content: bytes, kind: bytes) -> Iterator[bytes]:
    """Yield the contents of the boxes of a kind."""
    place = 0
    while place + 8 <= len(content):
        size = max(8, int.from_bytes(content[place : place + 4], "big"))
        if content[place + 4 : place + 8] == kind:
            yield content[place + 8 : place + size]
        place += size


def _samples(track: bytes) -> int:
    """Return the number of samples of a box ``traf`` if it is of the video."""
    if not any(unpack_from(">I", head, 4)[0] == VIDEO for head in _boxes(track, b"tfhd")):
        return 0
    return sum(int(unpack_from(">I", run, 4)[0]) for run in _boxes(track, b"trun"))
