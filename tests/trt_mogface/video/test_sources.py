"""Sources by their texts: names, lists, variables, and passwords that stay out of sight."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.made_clips import RecordedBackend, make_clip
from trt_mogface.errors import ArgumentError, ImageError, MogFaceError
from trt_mogface.video import FrameFaces, SourceEvent, analyze
from trt_mogface.video.addresses import redact
from trt_mogface.video.sources import Source, find_sources, read_source_file
from trt_mogface.video.watching import watching


def names(*texts: str) -> list[str]:
    return [source.name for source in find_sources(texts)]


def test_sources_have_the_given_name_or_their_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mkv", "x=y.mp4", "photo.jpg", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "clips").mkdir()
    for name in ("2.mp4", "1.mov", "1.jpg", "2.png", "readme.md"):
        (tmp_path / "clips" / name).touch()
    assert names("a.mp4", "door=b.mkv", "x=y.mp4") == ["a.mp4", "door", "x=y.mp4"]
    assert names("clips/") == ["clips/1.mov", "clips/2.mp4", "clips/"]
    assert names("*.m*") == ["a.mp4", "b.mkv", "x=y.mp4"]
    assert names("photo.jpg") == ["photo.jpg"]
    assert names("v4l2:/dev/video0") == ["v4l2:/dev/video0"]
    kinds = [source.kind for source in find_sources(["clips", "http://h/a.mp4", "http://h/l.m3u8?x=1"])]
    assert kinds == ["file", "file", "images", "http", "hls"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("missing.mp4", "no such file or folder"),
        ("*.nothing", "no file matches"),
        ("", "not a source"),
        ("a\0b", "not a source"),
        ("ftp://host/a.mp4", "ftp:// is not supported"),
        ("concat:a.mp4|b.mp4", "no such file or folder"),
        ("rtsp://", "names no server"),
        ("http://host/a b.mp4", "it has a blank"),
        ("@missing.txt", "cannot be read"),
        ("rtsp://${NO_SUCH_VARIABLE}@host/", "no variable NO_SUCH_VARIABLE"),
        ("/dev/null", "not a regular file"),
    ],
)
def test_impossible_sources_are_refused_with_one_line(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MogFaceError, match=problem) as raised:
        find_sources([text])
    assert "\n" not in str(raised.value)
    assert ";" in str(raised.value) or ":" in str(raised.value)


def test_a_name_is_used_once(tmp_path: Path) -> None:
    path = str(make_clip(tmp_path / "a.mp4", 2))
    with pytest.raises(ArgumentError, match="used twice"):
        find_sources([f"door={path}", f"door={path}"])
    with analyze([f"door={path}"], RecordedBackend()) as analysis:
        with pytest.raises(ArgumentError, match="in use"):
            analysis.add(f"door={path}")
        list(analysis)


SECRET_URLS = [
    ("rtsp://admin:hunter2@cam:554/live", "rtsp://cam:554/live"),
    ("rtsp://admin:hunt@er2@cam/live", "rtsp://cam/live"),
    ("rtsp://admin:hunter2/x@cam/live", "rtsp://cam/live"),
    ("rtsp://admin:hunter2?x@cam/live", "rtsp://cam/live"),
    ("rtsp://admin:hunter2#x@cam/live", "rtsp://cam/live"),
    ("http://cam/video.mjpg?user=admin&password=hunter2", "http://cam/video.mjpg"),
    ("rtsp://cam/user=admin&password=hunter2&channel=1", "rtsp://cam/user=***&password=***&channel=1"),
    ("http://cam/live.m3u8?mail=a@b.c", "http://cam/live.m3u8"),
    ("https://[::1]:8443/a.mp4", "https://[::1]:8443/a.mp4"),
]


@pytest.mark.parametrize(("address", "shown"), SECRET_URLS)
def test_names_hold_no_password(address: str, shown: str) -> None:
    assert redact(address) == shown
    source = find_sources([address])[0]
    assert source.name == shown
    assert source.address == address
    assert "hunter2" not in repr(source)


def test_variables_come_from_the_environment_and_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM_PASSWORD", "hunter2")
    monkeypatch.setenv("CAM_PATH", "secret-path")
    (source,) = find_sources(["rtsp://admin:${CAM_PASSWORD}@cam/${CAM_PATH}"])
    assert source.address == "rtsp://admin:hunter2@cam/secret-path"
    assert source.name == "rtsp://cam/${CAM_PATH}"


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_failures_hold_no_password(scheme: str, capfd: pytest.CaptureFixture[str]) -> None:
    with analyze(f"{scheme}://admin:hunter2@127.0.0.1:1/x", RecordedBackend(), timeout=2) as analysis:
        (failed,) = list(analysis)
        seen = f"{failed} {analysis.stats()} {analysis.sources}"
    assert isinstance(failed, SourceEvent)
    assert failed.message == "connection refused; check that the server runs, and the port"
    assert "hunter2" not in seen + "".join(capfd.readouterr())


def test_a_list_has_a_source_a_line(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", 2)
    path = tmp_path / "cameras.txt"
    path.write_text("# cameras\n\ndoor=rtsp://cam/1\na.mp4\n")
    found = find_sources([f"@{path}"])
    assert [source.name for source in found] == ["door", "a.mp4"]
    assert found[1].address == str(tmp_path / "a.mp4")
    path.write_text(f"@{path}\n")
    with pytest.raises(ArgumentError, match="a list in a list"):
        find_sources([f"@{path}"])


def test_a_toml_file_gives_each_source_its_options(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", 25)
    path = tmp_path / "sources.toml"
    path.write_text(
        '[door]\nsource = "a.mp4"\nrate = 5\nblur = "solid"\nmasks = [[[40, 0], [64, 0], [64, 48]]]\n'
        "zones.left = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]\nzones.right = [[0.6, 0], [1, 0], [1, 1]]\n"
        '[street]\nsource = "rtsp://cam/2"\n'
    )
    door, street = read_source_file(path)
    assert (door.name, door.rate, door.blur, street.name, street.kind) == (
        "door",
        5,
        "solid",
        "street",
        "rtsp",
    )
    with analyze([door], RecordedBackend()) as analysis:
        items = [item for item in analysis if isinstance(item, FrameFaces)]
    assert [item.frame for item in items] == [0, 5, 10, 15, 20]
    assert [list(item.faces.data["zones"]) for item in items] == [[("left",)]] * 5


def test_faces_in_a_mask_are_left_out(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 2)
    masked = Source("a", str(path), "file", masks=(((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5)),))
    beside = Source("b", str(path), "file", masks=(((33, 25), (64, 25), (64, 48)),))
    with analyze([masked, beside], RecordedBackend()) as analysis:
        counts = {item.source: len(item.faces) for item in analysis if isinstance(item, FrameFaces)}
    assert counts == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a]\nrate = 5\n", "source"),
        ('[a]\nsource = "rtsp://h/"\ntint = 1\n', "tint"),
        ('[a]\nsource = "rtsp://h/"\nrate = -1\n', "rate must be within"),
        ('[a]\nsource = "rtsp://h/"\nrate = true\n', "rate"),
        ('[a]\nsource = "rtsp://h/"\nblur = "mosaic"\n', "blur"),
        ('[a]\nsource = "rtsp://h/"\nmasks = [[[0, 0], [1, 1]]]\n', "three corners"),
        ('["a b"]\nsource = "rtsp://h/"\n', "not a name"),
        ("a = 1\n", "a:"),
        ("[a\n", "not a list of sources"),
    ],
)
def test_impossible_toml_is_refused_with_one_line(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=problem) as raised:
        read_source_file(path)
    assert "\n" not in str(raised.value)


def test_an_analysis_follows_a_file(tmp_path: Path) -> None:
    one, two = (str(make_clip(tmp_path / f"{n}.mp4", 5)) for n in (1, 2))
    path = tmp_path / "list.txt"
    path.write_text(f"one={one}\n")
    problems: list[str] = []
    with analyze([], RecordedBackend()) as analysis, watching(analysis, path, problems.append, 0.05):
        items: list[Any] = []
        thread = threading.Thread(target=lambda: items.extend(analysis))
        thread.start()
        wait_for(lambda: analysis.stats().frames == 5)
        path.write_text("three=missing.mp4\n")
        wait_for(lambda: bool(problems))
        path.write_text(f"one={one}\ntwo={two}\n")
        wait_for(lambda: analysis.stats().frames == 10)
        analysis.stop()
        thread.join(10)
    assert not thread.is_alive()
    assert [(i.source, i.event) for i in items if isinstance(i, SourceEvent)] == [
        ("one", "opened"), ("one", "ended"), ("two", "opened"), ("two", "ended"),
    ]  # fmt: skip
    assert len(problems) == 1
    assert "missing.mp4" in problems[0]


@pytest.mark.parametrize("half", ["", "one={}\n"])
def test_a_file_that_is_being_written_changes_nothing(half: str, tmp_path: Path) -> None:
    """Editors empty a file before they write it; a source that was taken away would begin anew."""
    one, two = (str(make_clip(tmp_path / f"{n}.mp4", 5)) for n in (1, 2))
    path, whole = tmp_path / "list.txt", f"one={one}\ntwo={two}\n"
    path.write_text(whole)
    problems: list[str] = []
    with analyze([], RecordedBackend()) as analysis, watching(analysis, path, problems.append, 0.3):
        items: list[Any] = []
        thread = threading.Thread(target=lambda: items.extend(analysis))
        thread.start()
        wait_for(lambda: analysis.stats().frames == 10)
        for _ in range(5):
            path.write_text(half.format(one))
            time.sleep(0.03)
            path.write_text(whole)
            time.sleep(0.35)
        analysis.stop()
        thread.join(10)
    assert problems == []
    assert sorted(i.event for i in items if isinstance(i, SourceEvent)) == ["ended"] * 2 + ["opened"] * 2


def test_a_file_to_follow_must_be_usable_at_first(tmp_path: Path) -> None:
    missing = tmp_path / "missing.txt"
    with analyze([], RecordedBackend()) as analysis:
        following = watching(analysis, missing, print)
        with pytest.raises(ImageError, match="cannot be read"):
            following.__enter__()


def wait_for(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
