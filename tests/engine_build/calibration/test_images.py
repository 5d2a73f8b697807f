"""Images to calibrate on: found, placed, spread, and skipped with a reason."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine_build.calibration.images import Images, Size, find_images
from tests.support.specs import one_line
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.backends.onnxruntime import OnnxNetwork
from trt_mogface.detector import Detector
from trt_mogface.errors import ArgumentError, ImageError
from trt_mogface.images import read_image
from trt_mogface.reference.resize import paint, place_letterbox, place_native
from trt_mogface.spec import InputSpec

Pixels = NDArray[np.uint8]

PLAIN = InputSpec()
MOGFACE = InputSpec(pad=(104, 117, 123), longest_over=1500, longest_to=1000)


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write(path: Path, image: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def folder_of(folder: Path, count: int, height: int = 6, width: int = 9) -> list[Path]:
    """PNG files, which keep every pixel, named in order."""
    return [write(folder / f"{i:03}.png", noise(height, width, i)) for i in range(count)]


def find(
    pattern: Path | str,
    *,
    size: Size = None,
    limit: int = 512,
    resize: InputSpec = PLAIN,
) -> Images:
    return find_images(str(pattern), resize, size, limit)


def names(images: Images) -> list[str]:
    return [item.name for item in images]


def test_folders_patterns_and_single_files(tmp_path: Path) -> None:
    paths = folder_of(tmp_path / "photos", 3)
    write(tmp_path / "photos" / "deeper" / "zzz.bmp", noise(5, 5))
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    assert names(find(tmp_path / "photos")) == ["000.png", "001.png", "002.png", "deeper/zzz.bmp"]
    assert names(find(tmp_path / "photos" / "0*1.png")) == ["001.png"]
    assert names(find(tmp_path / "**" / "*.bmp")) == ["photos/deeper/zzz.bmp"]
    assert names(find(paths[1])) == ["001.png"]
    (item,) = find(paths[2])
    assert item.batch.shape == (1, 32, 32, 3)
    np.testing.assert_array_equal(item.batch[0, :6, :9], noise(6, 9, 2))


def test_a_file_named_like_a_pattern(tmp_path: Path) -> None:
    write(tmp_path / "[1]*.png", noise(4, 4))
    assert names(find(tmp_path / "[1]*.png")) == ["[1]*.png"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1, [0]),
        (2, [0, 5]),
        (3, [0, 3, 6]),
        (4, [0, 2, 5, 7]),
        (9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (10, list(range(10))),
        (11, list(range(10))),
        (512, list(range(10))),
    ],
)
def test_a_limit_spreads_evenly(tmp_path: Path, limit: int, expected: Sequence[int]) -> None:
    folder_of(tmp_path, 10)
    images = find(tmp_path, limit=limit)
    found = [int(name[:3]) for name in names(images)]
    assert found == list(expected)
    assert [int(item.name[:3]) for item in images] == found  # again the same


def test_every_pass_gives_the_same(tmp_path: Path) -> None:
    folder_of(tmp_path, 5, 30, 40)
    (tmp_path / "002.png").write_bytes(b"damaged")
    images = find(tmp_path, size=(64, 48))
    passes = [list(images) for _ in range(3)]
    batches = list(images.batches())
    for other in passes[1:]:
        for item, again, batch in zip(passes[0], other, batches, strict=True):
            assert item.name == again.name
            assert item.scale == again.scale
            np.testing.assert_array_equal(item.batch, again.batch)
            np.testing.assert_array_equal(item.batch, batch)
    assert len(passes[0]) == 4
    assert len(images.skipped) == 1


def test_images_are_read_one_by_one(tmp_path: Path) -> None:
    folder_of(tmp_path, 3)
    walk = iter(find(tmp_path))
    assert next(walk).name == "000.png"
    (tmp_path / "001.png").unlink()  # not opened before its turn
    assert next(walk).name == "002.png"


def test_status_receives_the_progress(tmp_path: Path) -> None:
    folder_of(tmp_path, 3)
    lines: list[str] = []
    assert len(list(find(tmp_path).batches(lines.append))) == 3
    assert lines == ["image 1", "image 2", "image 3"]


def test_what_cannot_be_used_is_skipped_and_noted(tmp_path: Path) -> None:
    folder_of(tmp_path, 6)
    whole = (tmp_path / "001.png").read_bytes()
    (tmp_path / "001.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "003.png").write_bytes(b"")
    (tmp_path / "005.png").write_bytes(b"GIF89a no, not at all")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    images = find(tmp_path / "*")
    assert images.skipped == {}
    assert names(images) == ["000.png", "002.png", "004.png"]
    noted = {Path(path).name: reason for path, reason in images.skipped.items()}
    assert sorted(noted) == ["001.png", "003.png", "005.png", "gone.jpg"]
    for name, reason in noted.items():
        assert name in reason
        assert "\n" not in reason
        with pytest.raises(ImageError) as caught:
            read_image(tmp_path / name)
        assert str(caught.value) == reason
    assert "empty" in noted["003.png"]


def test_folders_that_a_pattern_matches_are_skipped(tmp_path: Path) -> None:
    write(tmp_path / "b" / "inside.png", noise(3, 3))
    write(tmp_path / "c.png", noise(3, 3))
    images = find(tmp_path / "*")
    assert names(images) == ["c.png"]
    assert [path.name for path in images.left_out] == ["b"]
    assert len(images.digest()) == 64


@pytest.mark.parametrize("case", ["missing", "empty folder", "no images", "pattern", "missing video"])
def test_nothing_to_calibrate_on(tmp_path: Path, case: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no image")
    name = {
        "missing": "nowhere",
        "empty folder": "empty",
        "no images": "texts",
        "pattern": "*.png",
        "missing video": "film.mp4",
    }[case]
    with pytest.raises(ImageError) as caught:
        find(tmp_path / name)
    assert name in one_line(caught.value)


@pytest.mark.parametrize("size", [(0, 64), (64, 0), (-1, 64)])
def test_impossible_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    folder_of(tmp_path, 1)
    with pytest.raises(ArgumentError, match=f"{size[0]}x{size[1]}") as caught:
        find(tmp_path, size=size)
    one_line(caught.value)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (33, 32), (1, 1), (700, 1), (1600, 3), (1501, 1000)])
@pytest.mark.parametrize("size", [None, (64, 48), (97, 31)])
@pytest.mark.parametrize("resize", [PLAIN, MOGFACE])
def test_images_are_placed_as_the_detector_places_them(
    tmp_path: Path, shape: tuple[int, int], size: tuple[int, int] | None, resize: InputSpec
) -> None:
    image = noise(*shape)
    path = write(tmp_path / "one.png", image)
    (item,) = find(path, size=size, resize=resize)
    if size is None:
        placement = place_native(*shape, resize, pad=True)
        assert all(side % 32 == 0 for side in item.batch.shape[1:3])
    else:
        placement = place_letterbox(*shape, (size[1], size[0]))
        assert item.batch.shape == (1, size[1], size[0], 3)
    expected = np.empty((*placement.canvas, 3), np.uint8)
    paint(image, placement, resize.pad, expected)
    assert item.batch.dtype == np.uint8
    np.testing.assert_array_equal(item.batch, expected[None])
    rows, columns = placement.content
    assert np.all(item.batch[0, rows:] == resize.pad)
    assert np.all(item.batch[0, :, columns:] == resize.pad)
    assert item.scale == placement.scale
    if size is not None:
        scale = min(size[0] / shape[1], size[1] / shape[0])
    else:
        scale = 1.0 if resize is PLAIN or max(shape) <= 1500 else 1000 / max(shape)
    assert item.scale == (scale, scale)


def test_a_model_with_an_input_size_gets_it_unless_another_is_requested(tmp_path: Path) -> None:
    path = write(tmp_path / "one.png", noise(40, 60))
    stretched = dataclasses.replace(PLAIN, size=(32, 64), resize="stretch")
    (item,) = find(path, resize=stretched)
    assert (item.batch.shape, item.scale) == ((1, 64, 32, 3), (32 / 60, 64 / 40))
    (item,) = find(path, resize=stretched, size=(64, 64))
    assert (item.batch.shape, item.scale) == ((1, 64, 64, 3), (64 / 60, 64 / 40))
    (item,) = find(path, resize=stretched, size="native")
    assert (item.batch.shape, item.scale) == ((1, 64, 64, 3), (1, 1))


def test_the_network_sees_what_the_detector_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(45, 70)
    path = write(tmp_path / "one.png", image)
    for size in (None, (96, 64)):
        with Detector(size=size, threads=1) as detector:
            seen: list[Pixels] = []
            network = cast(CpuBackend, detector._backend).network
            plain = OnnxNetwork.run  # of the class, as a slot runs a clone
            with monkeypatch.context() as patch:
                patch.setattr(
                    OnnxNetwork, "run", lambda n, x, f=plain, s=seen: (s.append(x.copy()), f(n, x))[1]
                )
                detector(image)
            (item,) = find(path, size=size, resize=network.spec.input)
        np.testing.assert_array_equal(item.batch, seen[0])


def film(path: Path, frames: int, code: str = "MJPG", side: int = 64) -> Path:
    """Frame i is gray of value 20 + 8 i."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10, (side, side))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {code}")
    for i in range(frames):
        writer.write(np.full((side, side, 3), 20 + 8 * i, np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize(("name", "code"), [("film.avi", "MJPG"), ("film.mp4", "mp4v"), ("FILM.AVI", "MJPG")])
@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (512, list(range(12))),
        (12, list(range(12))),
        (4, [0, 3, 6, 9]),
        (5, [0, 2, 4, 7, 9]),
        (1, [0]),
    ],
)
def test_frames_of_a_video(tmp_path: Path, name: str, code: str, limit: int, expected: Sequence[int]) -> None:
    images = find(film(tmp_path / name, 12, code), limit=limit)
    items = list(images)
    assert [item.name for item in items] == [f"frame {i}" for i in expected]
    for i, item in zip(expected, items, strict=True):
        assert item.batch.shape == (1, 64, 64, 3)
        assert item.scale == (1, 1)
        assert abs(float(item.batch.mean()) - (20 + 8 * i)) < 4
    again = list(images)
    assert len(again) == len(items)
    for item, other in zip(items, again):
        np.testing.assert_array_equal(item.batch, other.batch)


def test_videos_are_placed_too(tmp_path: Path) -> None:
    (item,) = find(film(tmp_path / "film.avi", 3), limit=1, size=(48, 32), resize=MOGFACE)
    assert item.batch.shape == (1, 32, 48, 3)
    assert item.scale == (0.5, 0.5)
    assert np.all(item.batch[0, :, 32:] == MOGFACE.pad)


@pytest.mark.parametrize("content", [b"", b"no film at all", bytes(5000)])
def test_a_video_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "film.mp4").write_bytes(content)
    images = find(tmp_path / "film.mp4")
    with pytest.raises(ImageError, match=r"film\.mp4") as caught:
        list(images)
    one_line(caught.value)


def test_a_video_that_ends_early(tmp_path: Path) -> None:
    path = film(tmp_path / "film.avi", 12)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        found = names(find(path))
    except ImageError:  # without the index at its end some readers find nothing, and say so
        found = []
    assert found == [f"frame {i}" for i in range(len(found))]
    assert len(found) < 12


def test_a_pattern_that_matches_a_video_among_images(tmp_path: Path) -> None:
    film(tmp_path / "a.avi", 2)
    folder_of(tmp_path, 3)
    (tmp_path / "002.png").rename(tmp_path / "b.png")
    with pytest.raises(ImageError, match=r"a\.avi"):
        find(tmp_path / "[ab]*")


def test_the_digest_is_of_what_is_used(tmp_path: Path) -> None:
    paths = folder_of(tmp_path / "a", 6)
    digest = find(tmp_path / "a").digest()
    assert len(digest) == 64
    assert set(digest) <= set("0123456789abcdef")
    assert find(tmp_path / "a").digest() == digest
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").iterdir():
        os.utime(path, (0, 0))
        path.rename(path.with_name(f"photo {path.name}"))
    copy = find(tmp_path / "elsewhere")
    assert copy.digest() == digest  # neither places nor names nor times
    list(copy)
    assert copy.digest() == digest  # nor whether it was gone through
    assert find(tmp_path / "elsewhere" / "*.png").digest() == digest
    (tmp_path / "a" / "notes.txt").write_text("no image")
    assert find(tmp_path / "a").digest() == digest
    others = [
        find(tmp_path / "a", size=(64, 48)).digest(),
        find(tmp_path / "a", size=(48, 64)).digest(),
        find(tmp_path / "a", limit=3).digest(),
        find(tmp_path / "a", limit=5).digest(),
        find(tmp_path / "a", resize=MOGFACE).digest(),
    ]
    data = bytearray(paths[4].read_bytes())
    data[-1] ^= 1
    paths[4].write_bytes(data)
    others.append(find(tmp_path / "a").digest())
    # The fifth is not among three of six, so that the digest of those stays.
    assert find(tmp_path / "a", limit=3).digest() == others[2] or "004.png" in names(
        find(tmp_path / "a", limit=3)
    )
    paths[4].unlink()
    others.append(find(tmp_path / "a").digest())
    assert len({digest, *others}) == len(others) + 1


def test_the_digest_of_a_video(tmp_path: Path) -> None:
    digest = find(film(tmp_path / "one.avi", 4)).digest()
    assert find(film(tmp_path / "same.avi", 4)).digest() == digest
    assert find(film(tmp_path / "other.avi", 5)).digest() != digest


def test_photos(annotated_photos: Path) -> None:
    folder = annotated_photos / "images"
    images = find(folder, limit=6, size=(160, 128))
    items = list(images)
    assert len(items) == 6
    assert images.skipped == {}
    every = sorted(path for path in folder.rglob("*") if path.suffix == ".jpg")
    used = [every[i * len(every) // 6] for i in range(6)]
    assert [item.name for item in items] == [str(path.relative_to(folder)) for path in used]
    assert all(item.batch.shape == (1, 128, 160, 3) and item.batch.std() > 5 for item in items)
