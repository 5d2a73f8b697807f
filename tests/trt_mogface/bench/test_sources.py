"""Endless images, and folders and videos without any."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.specs import one_line
from trt_mogface.bench.sources import from_files, from_memory, from_video, jpeg_files, noise, photos
from trt_mogface.errors import ImageError
from trt_mogface.images import find_images

FRAMES = 5


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Five frames of one gray each, by 40."""
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()
    return path


def grays(path: Path, count: int) -> list[int]:
    return [round(float(frame.mean()) / 40) for frame in islice(from_video(path), count)]


def test_a_video_begins_again_after_its_last_frame(video: Path) -> None:
    assert grays(video, 12) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_a_video_has_frames_of_its_own_size(video: Path) -> None:
    frame = next(from_video(video))
    assert frame.shape == (48, 64, 3)
    assert frame.dtype == np.uint8


@pytest.mark.parametrize("content", [None, b"", b"no video at all"])
def test_a_file_that_is_not_a_video_is_refused_at_once(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "video.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError) as refusal:
        from_video(path)
    assert str(path) in one_line(refusal.value)


def test_files_are_decoded_at_each_request(tmp_path: Path) -> None:
    for name, gray in (("a.jpg", 10), ("b.jpg", 200)):
        cv2.imwrite(str(tmp_path / name), np.full((16, 16, 3), gray, np.uint8))
    source = from_files(jpeg_files(find_images([str(tmp_path)])).paths)
    assert [round(float(each.mean())) for each in islice(source, 3)] == [10, 200, 10]
    cv2.imwrite(str(tmp_path / "b.jpg"), np.full((16, 16, 3), 90, np.uint8))
    assert round(float(next(source).mean())) == 90
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(ImageError, match=r"a\.jpg"):
        next(source)


def test_a_folder_of_other_images_has_no_jpeg(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ImageError) as refusal:
        jpeg_files(find_images([str(tmp_path)]))
    assert "no JPEG" in one_line(refusal.value)


def test_photos_keep_their_shape_in_the_requested_size(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.full((50, 200, 3), 255, np.uint8))
    (photo,) = photos([tmp_path / "wide.png"], (100, 100))
    assert photo.shape == (100, 100, 3)
    white = (photo == 255).all(axis=(1, 2))
    assert white.sum() == 25  # 200 x 50 scaled by half
    assert set(np.unique(photo)) == {127, 255}


def test_noise_is_the_same_each_time() -> None:
    one, other = noise((6, 4), 2), noise((6, 4), 2)
    np.testing.assert_array_equal(one, other)
    assert one[0].shape == (4, 6, 3)
    assert not np.array_equal(one[0], one[1])


def test_images_in_memory_take_turns() -> None:
    images = noise((4, 4), 2)
    assert [id(each) for each in islice(from_memory(images), 3)] == [
        id(images[0]),
        id(images[1]),
        id(images[0]),
    ]
