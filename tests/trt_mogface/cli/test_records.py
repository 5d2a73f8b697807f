"""Results that are written as they are found: whole documents at every moment."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.command import COMMAND, Run, hear_interrupts
from trt_mogface.cli.records import ARRAY, LINES, Format, keep, opened, recorded, write_all
from trt_mogface.errors import OutputError

FORMATS = pytest.mark.parametrize("form", [ARRAY, LINES], ids=["json", "jsonl"])
FACE = {"box": [1.5, 2, 3, 4], "confidence": 0.5}


def read(path: Path) -> list[Any]:
    """Read a whole file of either format by nothing but the json module."""
    text = path.read_text()
    if path.suffix == ".json":
        content = json.loads(text)
        assert isinstance(content, list)
        return content
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def record(name: str) -> dict[str, Any]:
    return {"image": name, "faces": [FACE]}


@pytest.fixture
def path(tmp_path: Path, form: Format) -> Path:
    return tmp_path / ("a.json" if form is ARRAY else "a.jsonl")


@FORMATS
def test_a_file_is_whole_before_and_after_each_record(path: Path, form: Format) -> None:
    path.write_text("x" * 1000)
    records = [record("a.jpg"), {"image": "ü\udcff\n.jpg", "error": "damaged"}, record("b.jpg")]
    with opened([(path, form)]) as writers:
        for count in range(4):
            assert read(path) == records[:count]
            if count < 3:
                write_all(writers, records[count])
    assert read(path) == records


@FORMATS
def test_a_full_disk_leaves_the_records_before(path: Path, form: Format) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = 0
    with opened([(path, form)]) as files:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with suppress(OutputError):
                for written in range(100):
                    write_all(files, record(f"{written}.jpg"))
            with pytest.raises(OutputError, match=r"cannot be written \(File too large\)"):
                write_all(files, record("last.jpg"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read(path) == [record(f"{number}.jpg") for number in range(written)]
    assert 5 < written < 50


@FORMATS
def test_what_is_kept_is_continued(path: Path, form: Format) -> None:
    assert recorded(path) == set()
    with opened([(path, form)]) as writers:
        for each in (record("a"), {"image": "b", "error": "x"}, record("c"), record("a"), record("d")):
            write_all(writers, each)
    assert recorded(path) == {"a", "c", "d"}
    keep(path, form, {"a", "c"})
    assert read(path) == [record("a"), record("c")]
    with opened([(path, form)], append=True) as writers:
        write_all(writers, record("e"))
    assert read(path) == [record("a"), record("c"), record("e")]


@FORMATS
@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_record_that_a_crash_cut_off_is_written_again(path: Path, form: Format, cut: int) -> None:
    with opened([(path, form)]) as writers:
        write_all(writers, record("a"))
        write_all(writers, record("b"))
    path.write_bytes(path.read_bytes()[: -len(form.tail + form.after_each) - cut])
    assert recorded(path) == {"a"}
    keep(path, form, {"a"})
    assert read(path) == [record("a")]


@FORMATS
@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff" * 9,
        b"photo.jpg\n",
        b'[\n {\n  "image": "a"\n }\n]\n',
        b'{"image": 3, "faces": []}\n',
        b"[" * 99999,
    ],
    ids=["binary", "text", "indented", "no name", "nested"],
)
def test_another_file_is_not_continued(path: Path, form: Format, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OutputError, match="is not a record of `detect`"):
        recorded(path)
    with pytest.raises(OutputError, match="is not a record of `detect`"):
        keep(path, form, set())
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of 300 names of one small image without a face."""
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((32, 32, 3), np.uint8))
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03}.png").symlink_to(tmp_path / "one.png")
    return folder


def stop(number: signal.Signals, *arguments: object, after: Path) -> tuple[int, str]:
    """End a command by a signal as soon as a file has some records; return its status and messages."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    try:
        deadline = time.monotonic() + 60
        while not (after.exists() and after.stat().st_size > 500) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert process.poll() is None, "too fast to be interrupted"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, err


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)],
)
def test_a_run_that_is_ended_keeps_its_results_and_is_resumed(
    run: Run, many: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    files = tmp_path / "a.json", tmp_path / "a.jsonl"
    options = ("--json", files[0], "--jsonl", files[1], "--save", f"{tmp_path}/drawn/")
    ended, _ = stop(number, "detect", many, *options, after=files[0])
    assert ended == status
    first = read(files[0])
    assert 0 < len(first) < 300
    assert first[: len(read(files[1]))] == read(files[1])
    if number != signal.SIGKILL:
        assert not list(tmp_path.rglob(".tmp-*"))
    resumed = run("detect", many, *options, "--resume")
    assert resumed.status == 0
    assert f"{len(read(files[0]))} of 300" not in resumed.err
    for path in files:
        content = read(path)
        assert [each["image"] for each in content] == sorted(map(str, many.iterdir()))
        assert content[: len(first) - 1] == first[: len(first) - 1]
    assert len([path for path in (tmp_path / "drawn").iterdir() if not path.name.startswith(".")]) == 300


def test_failed_images_are_records_and_are_tried_again(run: Run, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    result = run("detect", bad, photo, "--jsonl", tmp_path / "a.jsonl", "--json", "-")
    assert result.status == 1
    failed, found = json.loads(result.out)
    assert failed == {"image": str(bad), "error": "not an image in a known format"}
    assert read(tmp_path / "a.jsonl") == [failed, found]
    bad.write_bytes(photo.read_bytes())
    assert run("detect", bad, photo, "--jsonl", tmp_path / "a.jsonl", "--resume").status == 0
    assert read(tmp_path / "a.jsonl") == [found, found | {"image": str(bad)}]


def test_a_single_image_that_fails_is_a_record_too(run: Run, tmp_path: Path) -> None:
    assert run("detect", tmp_path / "a.jpg", "--json", tmp_path / "a.json").message
    assert read(tmp_path / "a.json") == [
        {"image": str(tmp_path / "a.jpg"), "error": "cannot be read (No such file or directory)"}
    ]


def test_json_lines_on_stdout_are_alone(run: Run, photo: Path) -> None:
    result = run("detect", photo, photo.parent / "none.jpg", "--jsonl", "-")
    assert [list(json.loads(line))[:2] for line in result.out.splitlines()] == [
        ["image", "width"],
        ["image", "error"],
    ]


def test_a_pipe_is_written_as_a_stream(photo: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" --jsonl >(cat >&2)', "_", *COMMAND, "detect", str(photo)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert json.loads(done.stderr)["image"] == str(photo)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--json", "-", "--jsonl", "-"], "stdout takes one result only"),
        (["--resume"], "--resume continues a file"),
        (["--resume", "--json", "-"], "--resume continues a file"),
        (["--resume", "--json", "{other}"], "other.txt: line 1 is not a record of `detect`"),
        (["--json", "{other}", "--conf", "7"], "0..1"),
    ],
)
def test_what_is_refused_changes_no_file(
    run: Run, photo: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("precious\n")
    assert said in run("detect", photo, *[each.format(other=other) for each in options]).message
    assert other.read_text() == "precious\n"


def test_a_full_disk_ends_a_run_with_its_results(many: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "bash",
            "-c",
            'ulimit -f 8; exec "$@"',
            "_",
            *COMMAND,
            "detect",
            many,
            "--json",
            tmp_path / "a.json",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "a.json: cannot be written (File too large); raise the limit" in done.stderr
    assert 20 < len(read(tmp_path / "a.json")) < 300


@pytest.mark.parametrize("option", ["--json", "--jsonl"])
def test_a_full_device_is_named(run: Run, photo: Path, option: str) -> None:
    message = run("detect", photo, option, "/dev/full").message
    assert message.startswith("/dev/full: cannot be written (No space left on device); free disk space")


def test_a_full_disk_is_told_from_an_image_that_cannot_be_encoded(
    run: Run, photo: Path, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        message = run("detect", photo, "--save", tmp_path / "a.png").message
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert message.startswith(f"{tmp_path}/a.png: cannot be written (File too large); raise the limit")
    wide = tmp_path / "wide.png"
    cv2.imwrite(str(wide), np.zeros((32, 20_000, 3), np.uint8))
    message = run("detect", wide, "--size", "640x640", "--save", tmp_path / "a.webp").message
    assert "20000x32 cannot be encoded as .webp" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.jpg", "wide.png"]


def test_an_image_too_large_for_the_memory_is_a_failed_image(photo: Path, tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    cv2.imwrite(str(big), np.zeros((6000, 6000, 3), np.uint8))
    after = tmp_path / "z.jpg"
    after.write_bytes(photo.read_bytes())
    limited = ["bash", "-c", 'ulimit -v 2000000; exec "$@"', "_", *COMMAND]
    done = subprocess.run(
        [*limited, "detect", photo, big, after, "--json", tmp_path / "a.json", "--threads", "1"],
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found, failed, another = read(tmp_path / "a.json")
    assert len(found["faces"]) == len(another["faces"]) == 6
    assert "memory" in failed["error"]


def test_a_reader_that_leaves_early_keeps_the_file_whole(many: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -c 100 >/dev/null; exit ${PIPESTATUS[0]}', "_",
         *COMMAND, "detect", many, "--json", tmp_path / "a.json"],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")
    assert len(read(tmp_path / "a.json")) < 300


@pytest.mark.slow
def test_memory_stays_flat_over_many_images(tmp_path: Path) -> None:
    """Peak of the resident memory over 2,000 names of an image and over 12,000, within 10 MB."""
    peaks = []
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((32, 32, 3), np.uint8))
    for count in (2_000, 12_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.png").symlink_to(tmp_path / "one.png")
        process = subprocess.Popen([*COMMAND, "detect", folder, "--jsonl", tmp_path / "a.jsonl"])
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks.append(used.ru_maxrss / 1024)
    assert peaks[1] - peaks[0] < 10
