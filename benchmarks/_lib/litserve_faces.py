"""The default model behind LitServe, which pickles the class and reads annotations as types."""

from typing import Any

import litserve
from fastapi import UploadFile

from trt_mogface.detections import Detections
from trt_mogface.detector import Detector
from trt_mogface.frame import Image
from trt_mogface.images import decode_image


class Faces(litserve.LitAPI):  # type: ignore[misc]
    """A form with an image as ``request``, and its faces as JSON."""

    def __init__(self, size: tuple[int, int], batch: int) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=0.01)
        self._size = size

    def setup(self, device: object) -> None:  # noqa: ARG002 -- the name is LitServe's
        self._detector = Detector(size=self._size)

    def decode_request(self, request: UploadFile) -> Image:
        return decode_image(request.file.read())

    def batch(self, inputs: list[Image]) -> list[Image]:
        return inputs

    def predict(self, images: list[Image]) -> list[Detections]:
        return self._detector(images)

    def unbatch(self, output: list[Detections]) -> list[Detections]:
        return output

    def encode_response(self, output: Detections) -> dict[str, Any]:
        return output.to_dict()


def server(size: tuple[int, int], batch: int) -> Any:
    """Return a server with one worker."""
    return litserve.LitServer(Faces(size, batch), accelerator="cpu", workers_per_device=1)
