"""Faces over HTTP are those of `Detector`, bit for bit, whatever the form of the request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support import photos
from tests.support.fakes import FakeBackend, Gate, in_thread
from tests.support.http_service import ROUTE, Running, png, running
from tests.trt_mogface.serving.http.conftest import Serve
from trt_mogface import Detector
from trt_mogface.images import decode_image
from trt_mogface.runner import Runner
from trt_mogface.serving.http import ServiceOptions

PORTRAIT = photos.PORTRAIT.read_bytes()


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    """The default model; limits that no test meets."""
    with running(Runner(batch=4, slots=2), ServiceOptions(timeout=60, threads=2), at_once=64) as started:
        yield started


@pytest.fixture(scope="module")
def group_file() -> bytes:
    return photos.jpeg(photos.group())


def faces(data: bytes, **options: Any) -> dict[str, Any]:
    with Detector(**options) as detector:
        return detector(decode_image(data)).to_dict()


def test_a_body_is_an_image(service: Running, group_file: bytes) -> None:
    done = service.post(group_file, "image/jpeg")
    assert done.status_code == 200
    assert done.json() == {"model": "retinaface-mnet025", "images": [{"name": None, **faces(group_file)}]}
    assert len(done.json()["images"][0]["faces"]) == 6


def test_a_form_has_several_images(service: Running, group_file: bytes) -> None:
    files = [("a", ("größe.jpg", group_file, "image/jpeg")), ("b", ("b.jpg", PORTRAIT, "image/jpeg"))]
    with service.client() as client:
        done = client.post(ROUTE, files=files)
    assert done.json()["images"] == [
        {"name": "größe.jpg", **faces(group_file)},
        {"name": "b.jpg", **faces(PORTRAIT)},
    ]
    for name in ("X-Decode-Ms", "X-Queue-Ms", "X-Network-Ms", "X-Batch-Size"):
        values = [float(value) for value in done.headers[name].split(",")]
        assert len(values) == 2
        assert min(values) >= 0


@pytest.mark.parametrize(
    "options", [{"conf": 0.02}, {"iou": 0.1, "conf": 0.02}, {"max_det": 2}, {"conf": 0.999}]
)
def test_options_are_those_of_a_detector(
    service: Running, group_file: bytes, options: dict[str, Any]
) -> None:
    expected = faces(group_file, **options)
    assert (
        service.post(group_file, "image/jpeg", params=options).json()["images"][0]["faces"]
        == expected["faces"]
    )


def test_an_image_is_drawn(service: Running) -> None:
    done = service.post(PORTRAIT, "image/jpeg", headers={"Accept": "image/jpeg"})
    assert done.headers["content-type"] == "image/jpeg"
    drawn = cv2.imdecode(np.frombuffer(done.content, np.uint8), cv2.IMREAD_COLOR)
    original = decode_image(PORTRAIT)
    assert drawn is not None
    assert drawn.shape == original.shape
    (face,) = faces(PORTRAIT)["faces"]
    x0, y0, x1, y1 = (round(value) for value in face["box"])
    changed = np.abs(drawn.astype(int) - original).max(axis=2) > 60
    assert changed[y0 : y1 + 1, x0].mean() > 0.8
    assert changed[y1, x0 : x1 + 1].mean() > 0.8
    assert changed[y1 + 8 :].mean() < 0.01


def test_clients_share_batches(served: Serve, backend: FakeBackend, gate: Gate) -> None:
    service = served(batch=4, per_client=32, threads=4)
    backend.at_wait = gate
    first = in_thread(service.post, png(1))
    assert backend.next_submitted() == [1]
    others = [in_thread(service.post, png(number)) for number in range(2, 6)]
    service.until(lambda: len(service.service._runner._queue._jobs) == 4)
    gate.open()
    assert sorted(backend.next_submitted()) == [2, 3, 4, 5]
    assert first.result(30).headers["X-Batch-Size"] == "1"
    assert {other.result(30).headers["X-Batch-Size"] for other in others} == {"4"}


def test_an_image_whose_client_leaves_does_not_run(served: Serve, backend: FakeBackend, gate: Gate) -> None:
    service = served()
    backend.at_wait = gate
    first = in_thread(service.post, png(1))
    assert backend.next_submitted() == [1]
    with service.connect() as leaving:
        data = png(2)
        leaving.sendall(
            f"POST {ROUTE} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        service.until(lambda: service.service._runner._queue._jobs)
    service.until(lambda: service.service.admission.images == 1)
    gate.open()
    assert first.result(30).status_code == 200
    assert service.post(png(3)).status_code == 200
    assert backend.all_submitted() == [[3]]


def test_a_model_with_its_own_thresholds(served: Serve) -> None:
    service = served()
    own = service.get("/v1/models").json()["models"][0]
    assert own["adjustable"] is False
    lower = service.post(png(7), params={"conf": own["thresholds"]["conf"] / 2})
    assert lower.status_code == 422
    assert lower.json()["error"] == "not_adjustable"
    assert service.post(png(7), params={"iou": 0.123}).status_code == 422
    above = service.post(png(7), params={"conf": 0.999}).json()["images"][0]
    assert above["faces"] == []
    assert len(service.post(png(7), params={"max_det": 1}).json()["images"][0]["faces"]) == 1
