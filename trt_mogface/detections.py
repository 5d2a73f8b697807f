"""`Detections`: the faces of one image, in the image's own coordinates."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trt_mogface._optional import require
from trt_mogface.errors import ImageError, ModelError
from trt_mogface.frame import Frame, ImageOrFrame

if TYPE_CHECKING:
    import supervision

Index: TypeAlias = "slice | list[int] | list[bool] | NDArray[np.integer[Any]] | NDArray[np.bool_]"
"""Selection of faces: a slice, a boolean mask, or an array of indices."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces of one image, best first.

    Attributes:
        xyxy: float32 [n, 4]: x0, y0, x1, y1 in pixels of the image; may reach beyond its edges.
        confidence: float32 [n], within 0..1.
        landmarks: float32 [n, points, 2], x and y, or None if the model has none.  Five points are right eye,
            left eye, nose, right and left corner of the mouth (the person's own right and left).
        image_size: Height and width of the image.
        dropped: Number of candidates that were not finite; other than 0 the model is broken.
        tracker_id: int64 [n], identity of each face across frames, or None without tracking.
        data: Further arrays of length n by name.
        truncated: Number of candidates beyond the largest number that a cascade looks at; the best stay.

    Raises:
        ValueError: If arrays have other shapes.

    Examples:
        >>> import numpy as np
        >>> faces = Detections(np.array([[1, 2, 3, 4], [5, 5, 9, 9]]), np.array([0.9, 0.4]), None, (8, 8))
        >>> len(faces), len(faces[faces.confidence > 0.5])
        (2, 1)
        >>> faces[:1].to_dict()["faces"][0]["box"]
        [1.0, 2.0, 3.0, 4.0]
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    landmarks: NDArray[np.float32] | None
    image_size: tuple[int, int]
    dropped: int = 0
    tracker_id: NDArray[np.int64] | None = None
    data: dict[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    truncated: int = 0

    def __post_init__(self) -> None:
        self._set("xyxy", np.asarray(self.xyxy, np.float32))
        self._set("confidence", np.asarray(self.confidence, np.float32))
        count = len(self.confidence)
        if self.xyxy.shape != (count, 4) or self.confidence.shape != (count,):
            raise ValueError(
                f"xyxy must be [n, 4] and confidence [n], not {self.xyxy.shape}, {self.confidence.shape}"
            )
        if self.landmarks is not None:
            self._set("landmarks", np.asarray(self.landmarks, np.float32))
            if self.landmarks.ndim != 3 or self.landmarks.shape[::2] != (count, 2):
                raise ValueError(f"landmarks must be [n, points, 2], not {self.landmarks.shape}")
        if self.tracker_id is not None:
            self._set("tracker_id", np.asarray(self.tracker_id, np.int64))
            if self.tracker_id.shape != (count,):
                raise ValueError(f"tracker_id must be [n], not {self.tracker_id.shape}")
        if self.data:
            self._set("data", {name: np.asarray(values) for name, values in self.data.items()})
            for name, values in self.data.items():
                if values.shape[:1] != (count,):
                    raise ValueError(f"data[{name!r}] must be [n, ...], not {values.shape}")

    def __len__(self) -> int:
        return len(self.confidence)

    def __getitem__(self, index: Index) -> Detections:
        """Return some of the faces.

        Raises:
            TypeError: If `index` is a single number; ``faces[:1]`` has one face.
        """
        chosen: Any = index
        if not isinstance(index, slice):
            chosen = np.asarray(index)
            if chosen.ndim != 1:
                raise TypeError("index faces with a slice, a boolean mask or an index array, e.g. faces[:1]")
            chosen = chosen if chosen.size else chosen.astype(int)  # an empty list has floats
        return dataclasses.replace(
            self,
            xyxy=self.xyxy[chosen],
            confidence=self.confidence[chosen],
            landmarks=None if self.landmarks is None else self.landmarks[chosen],
            tracker_id=None if self.tracker_id is None else self.tracker_id[chosen],
            data={name: values[chosen] for name, values in self.data.items()},
        )

    def clip(self) -> Detections:
        """Return the faces with boxes cut at the image's edges; landmarks are not changed."""
        height, width = self.image_size
        limit = np.array([width, height, width, height], np.float32)
        return dataclasses.replace(self, xyxy=np.clip(self.xyxy, 0, limit))

    def to_modelscope(self) -> dict[str, Any]:
        """Return the form of ModelScope's face detection pipelines: lists under scores, boxes and keypoints.

        ``keypoints`` has [x, y, x, y, ...] for each face, or is None if the model has no landmarks.
        """
        points = self.landmarks
        return {
            "scores": self.confidence.tolist(),
            "boxes": self.xyxy.tolist(),
            "keypoints": None if points is None else [np.ravel(face).tolist() for face in points],
        }

    def to_supervision(self) -> supervision.Detections:
        """Return a ``supervision.Detections`` of class 0 ("face"), with landmarks in ``data["landmarks"]``.

        Raises:
            MissingExtraError: If supervision is not installed.
        """
        sv = require("supervision", extra="supervision")
        data: dict[str, Any] = {**self.data, "class_name": np.full(len(self), "face")}
        if self.landmarks is not None:
            data["landmarks"] = self.landmarks
        face, ids = np.zeros(len(self), int), self.tracker_id
        made: supervision.Detections = sv.Detections(
            xyxy=self.xyxy, confidence=self.confidence, class_id=face, tracker_id=ids, data=data
        )
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: width, height, dropped and faces, and truncated if it is not 0.

        A face has box and confidence, and landmarks and tracker_id if there are any.
        """
        columns = {"box": self.xyxy, "confidence": self.confidence}
        more = {"landmarks": self.landmarks, "tracker_id": self.tracker_id}
        lists = {n: v.tolist() for n, v in {**columns, **more}.items() if v is not None}
        faces = [dict(zip(lists, face)) for face in zip(*lists.values())]
        height, width = self.image_size
        counts = {"dropped": self.dropped} | ({"truncated": self.truncated} if self.truncated else {})
        return {"width": width, "height": height, **counts, "faces": faces}

    def to_json(self) -> str:
        """Return `to_dict` as one line of JSON."""
        return json.dumps(self.to_dict())

    def save_picture(self, path: str | Path, image: NDArray[np.uint8]) -> None:
        """Write an image with the faces drawn on it.

        Args:
            path: File; its suffix chooses the format.
            image: uint8 [H, W, 3], BGR.

        Raises:
            OutputError: If the suffix is unknown or the file cannot be written; nothing is left behind.
        """
        from trt_mogface.reporting.drawing import draw, save  # OpenCV is slow to import

        save(Path(path), draw(image, self.clip().xyxy, self.confidence, self.landmarks))

    def aligned(self, image: ImageOrFrame) -> NDArray[np.uint8]:
        """Return each face as a crop for recognition networks, its landmarks at the places of ArcFace.

        Args:
            image: The image of the faces: uint8 [H, W, 3], BGR, or a frame on the host.

        Returns:
            uint8 [n, 112, 112, 3], BGR; black beyond the edges of the image.

        Raises:
            ModelError: If the faces do not have five landmarks.
            ImageError: If the image is of another size, has an unsupported type or lies on a GPU.
        """
        if self.landmarks is None or self.landmarks.shape[1] != 5:
            count = 0 if self.landmarks is None else self.landmarks.shape[1]
            raise ModelError(
                f"aligned crops: the model has {count or 'no'} landmarks; use a model with five, "
                "such as retinaface-mnet025"
            )
        frame = Frame.of(image)
        if frame.size != self.image_size:
            size, expected = ("x".join(map(str, each[::-1])) for each in (frame.size, self.image_size))
            raise ImageError(f"image: {size} but the faces are of an image of {expected}; pass that image")
        if not frame.on_host:
            raise ImageError("image: lies on a GPU; copy it to the host first")
        from trt_mogface.images.alignment import align  # OpenCV is slow to import
        from trt_mogface.reference.color import to_bgr

        return align(to_bgr(frame), self.landmarks)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
