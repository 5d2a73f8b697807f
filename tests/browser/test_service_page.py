"""The page of the HTTP service in Chromium: photos, the camera, and what goes wrong with them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from tests.browser.conftest import Launch
from tests.browser.test_pages import SCHEMES, SIZES, Scheme, violations
from tests.support import photos
from tests.support.http_service import Running, running
from trt_mogface import Detector, read_image
from trt_mogface.images import decode_image
from trt_mogface.runner import Runner
from trt_mogface.serving.http import ServiceOptions

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WAIT = 20_000
GREEN, RED = (60, 220, 80), (240, 60, 60)
STATUS = "#status"

FAKE = "--use-fake-device-for-media-stream"
GRANTED = "--use-fake-ui-for-media-stream"


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(Runner(batch=2), ServiceOptions(timeout=60, threads=2), at_once=64) as started:
        yield started


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "group.jpg"
    path.write_bytes(photos.jpeg(photos.group()))
    return path


@contextmanager
def opened(
    browser: Browser,
    url: str,
    size: str = "desk",
    scheme: Scheme = "light",
    refusals: int = 0,
    **options: Any,
) -> Iterator[Page]:
    """Open the page, which may neither report a problem nor request anything outside.

    Chromium itself reports each refused request on the console; `refusals` of them are expected.
    """
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=size == "phone", **options
    )
    problems: list[str] = []
    requested: list[str] = []
    shown = context.new_page()
    shown.set_default_timeout(WAIT)
    shown.on("console", lambda message: problems.append(message.text))
    shown.on("pageerror", lambda error: problems.append(f"error: {error}"))
    shown.on("request", lambda request: requested.append(request.url))
    shown.goto(url)
    shown.wait_for_function("() => document.getElementById('model').textContent.startsWith('Model')")
    yield shown
    reported = [text for text in problems if text.startswith("Failed to load resource")]
    assert [text for text in problems if text not in reported] == []
    assert len(reported) == refusals
    assert [each for each in requested if not each.startswith((f"{url}/", "blob:", "data:"))] == []
    context.close()


def status(shown: Page, text: str) -> None:
    """Wait until the status says a text."""
    shown.wait_for_function(
        "text => document.getElementById('status').textContent.includes(text)", arg=text, timeout=WAIT
    )


def pixels(shown: Page) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return what the first canvas shows: uint8 [H, W, 3], RGB."""
    width, height, data = shown.evaluate(
        "() => { const c = document.querySelector('article canvas');"
        " return [c.width, c.height, c.toDataURL('image/png').split(',')[1]]; }"
    )
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (height, width, 3)
    return image[:, :, ::-1].astype(np.uint8)


def is_near(image: Any, x: float, y: float, color: tuple[int, int, int]) -> bool:
    """Return whether a pixel beside a place has a color."""
    column, row = round(x), round(y)
    part = image[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3].astype(int)
    return bool((np.abs(part - color).max(axis=2) < 40).any())


def assert_faces_are_drawn(image: Any, faces: Any, scale: float = 1) -> None:
    for x0, y0, x1, y1 in faces.xyxy * scale:
        across, down = (x0 + x1) / 2, (y0 + y1) / 2
        for x, y in ((across, y1), (x0, down), (x1, down)):
            assert is_near(image, x, y, GREEN)
        assert not is_near(image, across, (down + y1) / 2 + 8, GREEN)
    for x, y in faces.landmarks.reshape(-1, 2) * scale:
        assert is_near(image, x, y, RED)


def test_photos_are_chosen_and_faces_are_on_their_pixels(
    browser: Browser, service: Running, photo: Path
) -> None:
    with opened(browser, service.url) as shown:
        shown.set_input_files("#files", [photo, photos.PORTRAIT])
        shown.wait_for_function("() => document.querySelectorAll('canvas:not([hidden])').length === 2")
        cards = shown.locator("article")
        assert cards.locator("h2").all_inner_texts() == ["astronaut.jpg", "group.jpg"]
        assert cards.locator(".summary").all_inner_texts() == ["1 face", "6 faces"]
        assert "network" in cards.locator(".times").first.inner_text()
        assert cards.last.locator("canvas").get_attribute("aria-label") == "group.jpg: 6 faces"
        with Detector() as detect:
            found = detect(read_image(photos.PORTRAIT))
        assert_faces_are_drawn(pixels(shown), found)


def test_the_threshold_filters_and_json_is_that_of_the_service(
    browser: Browser, service: Running, photo: Path
) -> None:
    with opened(browser, service.url) as shown:
        shown.set_input_files("#files", photo)
        shown.wait_for_selector("canvas:not([hidden])")
        assert shown.locator("#value").inner_text() == "0.90"
        shown.locator("summary").click()
        listed = json.loads(shown.locator("pre").inner_text())
        answered = service.post(photo.read_bytes(), "image/jpeg").json()
        assert listed["faces"] == answered["images"][0]["faces"]
        assert (listed["name"], listed["model"]) == ("group.jpg", answered["model"])
        shown.locator("#threshold").focus()
        shown.keyboard.press("End")
        assert shown.locator(".summary").inner_text() == "0 faces"
        shown.keyboard.press("Home")
        assert len(json.loads(shown.locator("pre").inner_text())["faces"]) >= 6


def test_json_is_copied(browser: Browser, service: Running, photo: Path) -> None:
    with opened(browser, service.url, permissions=["clipboard-read", "clipboard-write"]) as shown:
        shown.set_input_files("#files", photo)
        shown.locator(".copy").click()
        status(shown, "Copied the JSON of group.jpg.")
        copied = json.loads(shown.evaluate("navigator.clipboard.readText()"))
        assert len(copied["faces"]) == 6


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_photo_is_pasted_and_dropped(browser: Browser, service: Running, photo: Path, way: str) -> None:
    with opened(browser, service.url) as shown:
        shown.evaluate(
            """async ([way, bytes]) => {
                const carried = new DataTransfer();
                carried.items.add(new File([new Uint8Array(bytes)], "carried.jpg", {type: "image/jpeg"}));
                const event = way === "paste"
                    ? new ClipboardEvent("paste", {clipboardData: carried, bubbles: true})
                    : new DragEvent("drop", {dataTransfer: carried, bubbles: true});
                document.body.dispatchEvent(event);
            }""",
            [way, list(photo.read_bytes())],
        )
        status(shown, "carried.jpg: 6 faces.")


def test_text_is_not_pasted(browser: Browser, service: Running) -> None:
    with opened(browser, service.url) as shown:
        shown.evaluate(
            "document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: new DataTransfer()}))"
        )
        shown.evaluate(
            "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: new DataTransfer()}))"
        )
        status(shown, "The clipboard has no image")


def test_a_turned_photo_is_upright(browser: Browser, service: Running, tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[274] = 6
    Image.open(photos.PORTRAIT).rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    with opened(browser, service.url) as shown:
        shown.set_input_files("#files", tmp_path / "turned.jpg")
        status(shown, "turned.jpg: 1 face.")
        with Detector() as detect:
            found = detect(decode_image((tmp_path / "turned.jpg").read_bytes()))
        assert_faces_are_drawn(pixels(shown), found)


def test_files_that_are_no_photos(browser: Browser, service: Running, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    with opened(browser, service.url, refusals=1) as shown:
        shown.set_input_files("#files", tmp_path / "text.txt")
        status(shown, "text.txt: This file is not an image. Choose a JPEG")
        shown.set_input_files("#files", tmp_path / "broken.jpg")
        status(shown, "broken.jpg: This file cannot be used. Choose a JPEG")
        assert shown.locator("canvas:not([hidden])").count() == 0


def test_a_busy_service_and_another_try(browser: Browser, service: Running, photo: Path) -> None:
    admission = service.service.admission
    with opened(browser, service.url, refusals=1) as shown:
        admission.phase = "starting"
        try:
            shown.set_input_files("#files", photo)
            status(shown, "The service is busy. Try again in 1 s.")
        finally:
            admission.phase = "ready"
        shown.get_by_role("button", name="Try again").click()
        status(shown, "group.jpg: 6 faces.")


def test_a_service_that_is_down(browser: Browser, photo: Path) -> None:
    with (
        running(Runner(), ServiceOptions(threads=1)) as service,
        opened(browser, service.url, refusals=1) as shown,
    ):
        service.end()
        service.unanswered.result(30)
        shown.set_input_files("#files", photo)
        status(shown, "The service cannot be reached. Check that it runs")


def test_a_service_with_keys(browser: Browser, photo: Path) -> None:
    options = ServiceOptions(threads=1, keys=("secret",))
    with running(Runner(), options) as service:
        context = browser.new_context()
        shown = context.new_page()
        shown.goto(service.url)
        status(shown, "This service needs an API key.")
        shown.get_by_label("API key").fill("secret")
        shown.keyboard.press("Enter")
        shown.wait_for_function("() => document.getElementById('model').textContent.startsWith('Model')")
        shown.set_input_files("#files", photo)
        status(shown, "group.jpg: 6 faces.")
        context.close()


@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_and_is_accessible(browser: Browser, service: Running, photo: Path, size: str) -> None:
    with opened(browser, service.url, size) as shown:
        for state in ("empty", "photo"):
            if state == "photo":
                shown.set_input_files("#files", photo)
                shown.wait_for_selector("canvas:not([hidden])")
                shown.locator("summary").click()
            assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
            for scheme in SCHEMES:
                shown.emulate_media(color_scheme=scheme)
                assert violations(shown) == []
        for control in shown.locator("button:visible, .button, #threshold").all():
            box = control.bounding_box()
            assert box is not None
            assert box["height"] >= 43  # a finger


def test_the_keyboard_reaches_everything(browser: Browser, service: Running, photo: Path) -> None:
    with opened(browser, service.url) as shown:
        shown.set_input_files("#files", photo)
        shown.wait_for_selector("canvas:not([hidden])")
        shown.evaluate("document.activeElement.blur()")
        reached = []
        for _ in range(6):
            shown.keyboard.press("Tab")
            reached.append(
                shown.evaluate(
                    "document.activeElement.id || document.activeElement.className || "
                    "document.activeElement.tagName"
                )
            )
        assert reached[:5] == ["files", "camera", "threshold", "copy", "SUMMARY"]


# The camera


@pytest.fixture(scope="module")
def six_faces(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a photo with six faces, as Chromium's fake camera plays it."""
    image = read_image(test_data / "demo_images" / "insightface_t1.jpg")
    height, width = (side // 2 * 2 for side in image.shape[:2])
    frame = cv2.cvtColor(image[:height, :width], cv2.COLOR_BGR2YUV_I420).tobytes()
    path = tmp_path_factory.mktemp("video") / "six.y4m"
    path.write_bytes(
        f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode() + (b"FRAME\n" + frame) * 5
    )
    return path


def test_the_camera_finds_six_faces(launch: Launch, service: Running, six_faces: Path) -> None:
    with (
        launch(FAKE, GRANTED, f"--use-file-for-fake-video-capture={six_faces}") as browser,
        opened(browser, service.url, permissions=["camera"]) as shown,
    ):
        shown.get_by_role("button", name="Start camera").click()
        status(shown, "Camera: 6 faces.")
        image = pixels(shown)
        listed = shown.locator("pre").text_content()
        assert listed is not None
        found = json.loads(listed)
        assert len(found["faces"]) == 6
        assert (found["height"], found["width"]) == image.shape[:2]
        for face in found["faces"]:
            x0, _, x1, y1 = face["box"]
            assert is_near(image, (x0 + x1) / 2, y1, GREEN)
        assert "frames/s" in shown.locator(".times").inner_text()
        assert violations(shown) == []
        shown.get_by_role("button", name="Stop camera").click()
        status(shown, "The camera is off.")


def test_a_camera_while_the_service_is_busy(launch: Launch, service: Running, six_faces: Path) -> None:
    admission = service.service.admission
    with launch(FAKE, GRANTED, f"--use-file-for-fake-video-capture={six_faces}") as browser:
        context = browser.new_context(permissions=["camera"])
        shown = context.new_page()
        shown.goto(service.url)
        admission.phase = "starting"
        try:
            shown.get_by_role("button", name="Start camera").click()
            status(shown, "The service is busy.")
        finally:
            admission.phase = "ready"
        status(shown, "Camera: 6 faces.")
        context.close()


def test_a_denied_camera(launch: Launch, service: Running) -> None:
    with launch(FAKE, "--deny-permission-prompts") as browser, opened(browser, service.url) as shown:
        shown.get_by_role("button", name="Start camera").click()
        status(shown, "The camera is denied. Allow it for this site")


def test_a_missing_camera(browser: Browser, service: Running) -> None:
    with opened(browser, service.url, permissions=["camera"]) as shown:
        shown.get_by_role("button", name="Start camera").click()
        status(shown, "No camera was found. Connect one")


def test_a_page_without_a_secure_context_has_no_camera(launch: Launch) -> None:
    with (
        running(Runner(), ServiceOptions(threads=1)) as service,
        launch("--host-resolver-rules=MAP insecure.test 127.0.0.1") as browser,
    ):
        context = browser.new_context()
        shown = context.new_page()
        shown.goto(f"http://insecure.test:{service.port}/")
        shown.get_by_role("button", name="Start camera").click()
        status(shown, "Browsers allow the camera on HTTPS and on localhost only")
        context.close()
