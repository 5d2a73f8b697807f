"""MOT: tracks as CVAT and TrackEval read them, a text file for each source."""

from __future__ import annotations

from pathlib import Path

from trt_mogface.errors import OutputError
from trt_mogface.video.items import FrameFaces, Item
from trt_mogface.video.sinks.files import file_name
from trt_mogface.video.sinks.lines import LineFiles, LineSink, Rotation

FACE = "1,1"
"""Class and visibility: the first class of CVAT's list of labels, and TrackEval's only one; fully visible."""


class MotSink(LineSink):
    """Text files of ``frame,id,left,top,width,height,confidence,class,visibility``; frames count from 1.

    A face without a track is left out, because ids have to be unique within a frame.

    Args:
        name: Specification of the sink, for messages.
        target: Folder.
        rotation: See `Rotation`.
        resume: Whether the folder may have files of an earlier run.

    Raises:
        OutputError: If the folder cannot be written, is in use, or has files that are not to be continued.
    """

    def __init__(
        self, name: str, target: str, *, rotation: Rotation | None = None, resume: bool = False
    ) -> None:
        super().__init__(name, LineFiles(name, Path(target), "mot", ".txt", b"", rotation, resume=resume))

    def write(self, item: Item) -> None:
        """Append the tracked faces of a frame.

        Raises:
            OutputError: If faces have no ids, or the file cannot be written.
        """
        stem = file_name(item.source)
        if isinstance(item, FrameFaces):
            self._files.write(stem, item.captured, self._lines(item).encode())
        elif item.event in ("ended", "failed"):
            self._files.finish(stem)

    def _lines(self, item: FrameFaces) -> str:
        faces = item.faces
        if not len(faces):
            return ""
        if faces.tracker_id is None:
            raise OutputError(f"{self.name}: faces have no ids; turn tracking on")
        return "".join(
            f"{item.frame + 1},{number},{x0:.2f},{y0:.2f},{x1 - x0:.2f},{y1 - y0:.2f},{score:.6g},{FACE}\n"
            for number, (x0, y0, x1, y1), score in zip(
                faces.tracker_id.tolist(), faces.xyxy.tolist(), faces.confidence.tolist()
            )
            if number > 0
        )
