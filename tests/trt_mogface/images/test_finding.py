"""Images of folders and patterns, and what is left out, with the reason."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.specs import one_line
from trt_mogface.errors import ImageError
from trt_mogface.images import find_images, read_image, summarize
from trt_mogface.images.formats import FORMATS


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/er/c.webp", "d.jpg/not_a_file.txt"):
        touch(tmp_path / name)
    return tmp_path


def test_a_folder_gives_its_images_recursively_and_sorted(folder: Path) -> None:
    found = find_images([str(folder)])
    assert found.paths == [folder / "a.PNG", folder / "b.jpg", folder / "deep/er/c.webp"]
    assert found.skipped == {
        folder / "notes.txt": "with an unknown extension (.txt)",
        folder / "d.jpg/not_a_file.txt": "with an unknown extension (.txt)",
    }


def test_a_pattern_gives_its_files_sorted(folder: Path) -> None:
    found = find_images([f"{folder}/?.[jP]*"])
    assert found.paths == [folder / "a.PNG", folder / "b.jpg"]
    assert found.skipped == {folder / "d.jpg": "a folder that a pattern matches"}
    assert find_images([f"{folder}/**/*.webp"]).paths == [folder / "deep/er/c.webp"]
    assert find_images([f"{folder}/*.txt"]).paths == [folder / "notes.txt"]  # as it was named


def test_each_file_comes_once_in_the_order_it_was_named(folder: Path) -> None:
    names = [str(folder / "b.jpg"), str(folder), str(folder / "b.jpg"), f"{folder}/*.PNG"]
    assert find_images(names).paths == [folder / "b.jpg", folder / "a.PNG", folder / "deep/er/c.webp"]


def test_a_file_that_is_named_too_is_not_reported_as_skipped(folder: Path) -> None:
    found = find_images([str(folder), str(folder / "notes.txt")])
    assert found.paths[-1] == folder / "notes.txt"
    assert list(found.skipped) == [folder / "d.jpg/not_a_file.txt"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    touch(tmp_path / "a[1].jpg")
    touch(tmp_path / "a1.jpg")
    assert find_images([str(tmp_path / "a[1].jpg")]).paths == [tmp_path / "a[1].jpg"]


def test_a_plain_path_is_returned_unchecked(tmp_path: Path) -> None:
    for name in ("nope.jpg", "._a.jpg", ".hidden.png", "a.txt"):
        assert find_images([str(tmp_path / name)]).paths == [tmp_path / name]


def test_a_pattern_or_folder_without_images_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "sub/notes.txt")
    for pattern in (f"{tmp_path}/*.jpg", f"{tmp_path}/sub*", str(tmp_path)):
        with pytest.raises(ImageError) as error:
            find_images([pattern])
        assert pattern in one_line(error.value)
    assert "1 with an unknown extension (.txt)" in str(error.value)


def test_a_name_too_long_for_the_file_system_is_one_line() -> None:
    (path,) = find_images(["a" * 5000 + ".jpg"]).paths
    with pytest.raises(ImageError) as error:
        read_image(path)
    one_line(error.value)


@pytest.mark.parametrize("suffix", sorted({s for each in FORMATS.values() for s in each.suffixes}))
def test_every_extension_that_is_read_by_name_is_read_in_folders(tmp_path: Path, suffix: str) -> None:
    if suffix in FORMATS["HEIF"].suffixes:
        pytest.importorskip("pillow_heif")
    files = [touch(tmp_path / f"a{suffix}"), touch(tmp_path / f"b{suffix.upper()}")]
    assert find_images([str(tmp_path)]).paths == files


def test_heic_without_pillow_heif_is_counted_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "b.HEIC")
    touch(tmp_path / "c.heic")
    found = find_images([str(tmp_path)])
    assert found.paths == [tmp_path / "a.jpg"]
    assert summarize(found.skipped) == (
        "skipped 2 files: 2 .heic needs pillow-heif; pip install 'trt-mogface[heif]'"
    )


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    for name in ("._a.jpg", ".b.jpg", ".thumbnails/c.jpg", "__MACOSX/._d.jpg"):
        touch(tmp_path / name)
    found = find_images([str(tmp_path)])
    assert found.paths == [tmp_path / "a.jpg"]
    assert found.skipped == {
        tmp_path / "._a.jpg": "metadata of macOS (._*)",
        tmp_path / "__MACOSX/._d.jpg": "metadata of macOS (._*)",
        tmp_path / ".b.jpg": "hidden",
        tmp_path / ".thumbnails": "hidden",
    }


def test_a_hidden_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    path = touch(tmp_path / ".photos/a.jpg")
    assert find_images([str(path.parent)]).paths == [path]


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/sub/a.jpg")
    touch(tmp_path / "single.jpg")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "b.jpg").symlink_to(tmp_path / "single.jpg")
    found = find_images([str(root)])
    assert found.paths == [root / "b.jpg", root / "linked/sub/a.jpg"]
    assert found.skipped == {}


def test_loops_end_and_each_folder_is_searched_once_by_its_real_name(tmp_path: Path) -> None:
    touch(tmp_path / "z/a.jpg")
    links = {"again": tmp_path / "z", "z/up": tmp_path, "z/self": tmp_path / "z"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    found = find_images([str(tmp_path)])
    assert found.paths == [tmp_path / "z/a.jpg"]
    assert found.skipped == dict.fromkeys(
        (tmp_path / name for name in links), "link to a folder that is searched already"
    )


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    """Following every path without a loop would visit 14! folders."""
    names = [f"{number:02}" for number in range(14)]
    for name in names:
        touch(tmp_path / name / "a.jpg")
        for other in set(names) - {name}:
            (tmp_path / name / other).symlink_to(tmp_path / other)
    found = find_images([str(tmp_path / names[0])])
    assert len(found.paths) == 14
    assert len(found.skipped) == 14 * 13 - 13


def test_broken_links_and_pipes_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    (tmp_path / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "round.jpg").symlink_to(tmp_path / "round.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    found = find_images([str(tmp_path)])
    assert found.paths == [tmp_path / "a.jpg"]
    assert found.skipped == {
        tmp_path / "lost.jpg": "broken link",
        tmp_path / "round.jpg": "broken link",
        tmp_path / "pipe.jpg": "not a regular file",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "closed/b.jpg").parent.chmod(0)
    found = find_images([str(tmp_path)])
    (tmp_path / "closed").chmod(0o700)
    assert found.paths == [tmp_path / "a.jpg"]
    assert found.skipped == {tmp_path / "closed": "cannot be read (Permission denied)"}


def test_a_summary_counts_by_reason_and_stays_short() -> None:
    skipped = {Path(f"{number}.{number % 20}"): f"of kind {number % 20}" for number in range(30)}
    line = summarize(skipped)
    assert line.startswith("skipped 30 files: 2 of kind 0; 2 of kind 1; ")
    assert line.endswith("; 14 for other reasons")
    assert summarize({}) == ""
