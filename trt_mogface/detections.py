"""`Detections`: the faces of one picture, in the picture's own coordinates."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trt_mogface._optional import require
from trt_mogface.reporting.drawing import draw, save

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces, best first.

    Attributes:
        xyxy: float32 [n, 4]: x0, y0, x1, y1 in pixels of the caller's image; may reach beyond its edges.
        confidence: float32 [n], within 0..1.
        landmarks: float32 [n, 5, 2], x and y of right eye, left eye, nose, right and left mouth corner (the
            person's own right and left), or None where the model has none.
        image_size: Height and width of the caller's image.
        dropped: Candidates whose numbers were not finite; anything but 0 points at a broken model.

    Example:
        >>> import numpy as np
        >>> faces = Detections(np.array([[1, 2, 3, 4]]), np.array([0.9]), None, (8, 8))
        >>> len(faces), faces.to_modelscope()["boxes"]
        (1, [[1.0, 2.0, 3.0, 4.0]])
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    landmarks: NDArray[np.float32] | None
    image_size: tuple[int, int]
    dropped: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "xyxy", np.asarray(self.xyxy, np.float32))
        object.__setattr__(self, "confidence", np.asarray(self.confidence, np.float32))
        count = len(self.confidence)
        if self.xyxy.shape != (count, 4) or self.confidence.shape != (count,):
            raise ValueError(
                f"xyxy must be [n, 4] and confidence [n], not {self.xyxy.shape}, {self.confidence.shape}"
            )
        if self.landmarks is not None:
            object.__setattr__(self, "landmarks", np.asarray(self.landmarks, np.float32))
            if self.landmarks.ndim != 3 or self.landmarks.shape[::2] != (count, 2):
                raise ValueError(f"landmarks must be [n, points, 2], not {self.landmarks.shape}")

    def __len__(self) -> int:
        return len(self.confidence)

    def clip(self) -> Detections:
        """The same faces with their boxes cut off at the image's edges; landmarks stay where they are."""
        height, width = self.image_size
        limit = np.array([width, height, width, height], np.float32)
        return dataclasses.replace(self, xyxy=np.clip(self.xyxy, 0, limit))

    def to_modelscope(self) -> dict[str, Any]:
        """What ModelScope's face detection pipelines return: lists under scores, boxes and keypoints.

        ``keypoints`` holds [x, y, x, y, ...] per face, or is None where the model has no landmarks.
        """
        points = self.landmarks
        return {
            "scores": self.confidence.tolist(),
            "boxes": self.xyxy.tolist(),
            "keypoints": None if points is None else [np.ravel(face).tolist() for face in points],
        }

    def to_supervision(self) -> supervision.Detections:
        """A ``supervision.Detections`` of class 0 ("face"); landmarks lie in ``data["landmarks"]``.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        sv = require("supervision", extra="supervision")
        data: dict[str, Any] = {"class_name": np.full(len(self), "face")}
        if self.landmarks is not None:
            data["landmarks"] = self.landmarks
        detections: supervision.Detections = sv.Detections(
            xyxy=self.xyxy, confidence=self.confidence, class_id=np.zeros(len(self), int), data=data
        )
        return detections

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers: width, height and faces, each with box, confidence and landmarks."""
        faces = [
            {"box": box, "confidence": score}
            for box, score in zip(self.xyxy.tolist(), self.confidence.tolist())
        ]
        if self.landmarks is not None:
            for face, points in zip(faces, self.landmarks.tolist()):
                face["landmarks"] = points
        height, width = self.image_size
        return {"width": width, "height": height, "faces": faces}

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict())

    def save_picture(self, path: str | Path, image: NDArray[np.uint8]) -> None:
        """Write ``image`` (uint8 [H, W, 3], BGR) with the faces drawn; the path's suffix is the format.

        Raises:
            OutputError: An unknown suffix, or a place that cannot be written; nothing is left behind.
        """
        save(Path(path), draw(image, self.clip().xyxy, self.confidence, self.landmarks))
