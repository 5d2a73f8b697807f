"""The verb video from the command line: statuses, messages, signals, pipes and what it leaves behind."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.support.command import COMMAND, Run, hear_interrupts
from tests.support.photos import Photo

pytest.importorskip("av", reason="pip install 'trt-mogface[video]'")

from tests.support.made_clips import make_clip
from trt_mogface.cli.video_progress import table
from trt_mogface.errors import MogFaceError
from trt_mogface.video import analyze
from trt_mogface.video.items import FrameFaces
from trt_mogface.video.records import read_records
from trt_mogface.video.stats import AnalysisStats, SourceStats

SMALL = ("--size", "160x128", "--scales", "native")
"""Options for a quick network."""

SECRET = "S3cret-pass"  # noqa: S105 -- of a camera that does not exist


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, portrait: Photo) -> Path:
    """Ten frames of a portrait, 160x120."""
    import cv2

    image = cv2.resize(portrait[:384], (160, 120))
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", size=(160, 120), image=image)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory, portrait: Photo) -> Path:
    """24 seconds of a portrait, which takes longer than a test waits."""
    import cv2

    image = cv2.resize(portrait[:384], (160, 120))
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    return make_clip(path, 600, size=(160, 120), gop=250, image=image)  # type: ignore[arg-type]


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def frames(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["record"] == "frame"]


def test_records_of_every_frame(run: Run, clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.jsonl"
    status, out, err = run("video", f"door={clip}", *SMALL, "--sink", f"jsonl:{target}")
    assert (status, out) == (0, "")
    total, written = err.splitlines()
    assert total.startswith("1 source: 1 ended; 10 frames, 10 faces, 0 dropped in ")
    assert written == f"written: jsonl:{target}"
    lines = records(target)
    assert [line["frame"] for line in frames(lines)] == list(range(10))
    assert {line["source"] for line in lines} == {"door"}
    assert [line["event"] for line in lines if line["record"] == "event"] == ["opened", "ended"]


def test_stdout_has_nothing_but_the_sink(run: Run, clip: Path) -> None:
    status, out, err = run("video", clip, *SMALL, "--fps", "5", "--sink", "jsonl:-")
    assert status == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(frames(lines)) == 2
    assert "written: jsonl:-" in err


def test_without_a_sink_there_is_a_summary(run: Run, clip: Path) -> None:
    status, out, err = run("video", clip, *SMALL, "--every", "5")
    assert (status, out) == (0, "")
    assert "2 frames, 2 faces" in err


def test_a_source_that_fails_spares_the_others(run: Run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    target = tmp_path / "a.jsonl"
    broken = tmp_path / "broken.mp4"
    status, _, err = run("video", broken, clip, *SMALL, "--sink", f"jsonl:{target}")
    assert status == 1
    assert f"trt-mogface: {broken}: failed: " in err
    assert "1 ended, 1 failed" in err
    lines = records(target)
    assert len(frames(lines)) == 10
    assert [line["source"] for line in lines if line.get("event") == "failed"] == [str(broken)]


def test_if_all_sources_fail_so_does_the_command(run: Run, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_bytes(b"not a video")
    status, _, err = run("video", tmp_path, *SMALL)
    assert status == 2
    assert err.splitlines()[-1] == "trt-mogface: sources: none of the 2 could be used"
    status, _, err = run("video", tmp_path / "a.mp4", *SMALL)
    assert status == 2
    assert err.splitlines()[-1].startswith(f"trt-mogface: {tmp_path / 'a.mp4'}: ")


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        ((), "no source; name a video"),
        (("missing.mp4",), "missing.mp4: no such file"),
        (("CLIP", "CLIP"), "used twice"),
        (("CLIP", "--nonsense"), "--nonsense"),
        (("CLIP", "--sink", "nonsense:x"), "unknown sink 'nonsense'"),
        (("CLIP", "--sink", "jsonl"), "has no target; write jsonl:FILE"),
        (("CLIP", "--sink", "jsonl:a,rows=3"), "unknown option 'rows'"),
        (("CLIP", "--sink", "jsonl:a", "--sink", "jsonl:./a"), "named for two sinks"),
        (("CLIP", "--sink", "crops:a", "--blur", "gaussian"), "crops show the faces that blur hides"),
        (("CLIP", "--sink", "mot:a"), "tracks"),
        (("CLIP", "--decoder", "nvdec", "--sink", "mp4:a"), "leaves pictures on the GPU"),
        (("CLIP", "--decoder", "nvdec", "--blur", "solid"), "leaves pictures on the GPU"),
        (("CLIP", "--sink", "jsonl:missing/a"), "missing"),
        (("CLIP", "--sink", "jsonl:/proc/a"), "/proc/a: cannot be written"),
        (("CLIP", "--blur", "fog"), "--blur"),
        (("CLIP", "--tracker", "guess"), "--tracker"),
        (("CLIP", "--fps", "-1"), "--fps -1"),
        (("CLIP", "--every", "0"), "--every"),
        (("CLIP", "--start", "soon"), "--start 'soon'"),
        (("CLIP", "--segment", "0"), "--segment '0'"),
        (("CLIP", "--timeout", "x"), "--timeout 'x'"),
        (("CLIP", "--open", "0"), "--open"),
        (("CLIP", "--progress", "loud"), "--progress"),
        (("CLIP", "--device", "0"), "--device 0: names a GPU"),
        (("CLIP", "--decoder", "magic"), "--decoder"),
        (("ftp://host/a.mp4",), "ftp:// is not supported"),
        (("@missing.txt",), "missing.txt"),
        (("CLIP", "--watch", "missing.txt"), "missing.txt"),
        (("CLIP", "--resume"), "--resume goes on with the files of a sink"),
        (("CLIP", "--resume", "--sink", "jsonl:-"), "--resume goes on with the files of a sink"),
    ],
)
def test_usage_is_refused_in_one_line(
    run: Run,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    phrase: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        phrase in run("video", *(str(clip) if each == "CLIP" else each for each in arguments), *SMALL).message
    )
    assert list(tmp_path.iterdir()) == []


def test_two_runs_on_one_sink(run: Run, clip: Path, tmp_path: Path) -> None:
    import fcntl

    target = tmp_path / "a.jsonl"
    with open(target, "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "in use by another run" in run("video", clip, *SMALL, "--sink", f"jsonl:{target}").message
    assert run("video", clip, *SMALL, "--sink", f"jsonl:{target}").status == 0
    before = target.read_bytes()
    assert "earlier run" in run("video", clip, *SMALL, "--sink", f"jsonl:{target}").message
    assert target.read_bytes() == before


def test_progress_for_machines(run: Run, clip: Path) -> None:
    status, out, err = run("video", f"door={clip}", *SMALL, "--progress", "json")
    assert (status, out) == (0, "")
    last = json.loads(err.splitlines()[-1])
    assert (last["frames"], last["faces"], last["dropped"], last["written"]) == (10, 10, 0, [])
    assert last["states"] == {"ended": 1}
    assert last["sources"]["door"]["frames"] == 10


def started(*arguments: object, **streams: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "video", *map(str, arguments), *SMALL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
        **streams,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_what_is_in_flight(long_clip: Path, tmp_path: Path, number: signal.Signals) -> None:
    target = tmp_path / "a.jsonl"
    process = started(long_clip, "--sink", f"jsonl:{target}")
    try:
        while not target.exists() or target.stat().st_size < 5000:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (128 + number, "")
    total, written, end = err.splitlines()
    lines = frames(records(target))
    assert f" {len(lines)} frames, " in total
    assert written == f"written: jsonl:{target}"
    assert end == "trt-mogface: " + ("interrupted" if number == signal.SIGINT else "ended by SIGTERM")
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    assert len(lines) < 600


def test_a_reader_that_has_gone_ends_the_run_quietly(long_clip: Path) -> None:
    process = started(long_clip, "--sink", "jsonl:-")
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "opened"
        process.stdout.close()
        process.wait(timeout=30)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (141, "")
    finally:
        process.kill()


def test_a_thousand_sources_of_a_list(run: Run, tmp_path: Path) -> None:
    dot = make_clip(tmp_path / "dot.mp4", 1, size=(32, 32))
    (tmp_path / "list.txt").write_text("".join(f"camera-{number}={dot}\n" for number in range(1000)))
    target = tmp_path / "a.jsonl"
    given = f"@{tmp_path / 'list.txt'}", "--size", "32", "--scales", "native", "--sink", f"jsonl:{target}"
    status, _, err = run("video", *given)
    assert status == 0
    assert err.startswith("1000 sources: 1000 ended; 1000 frames, ")
    assert len({item.source for item in read_records(target)}) == 1000


LOGGED = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from trt_mogface.cli.app import main
main()
"""


def test_a_password_is_nowhere(run: Run, clip: Path, tmp_path: Path) -> None:
    """Both addresses refuse at once: nothing listens on port 1."""
    server = f"viewer:{SECRET}@127.0.0.1:1"
    sources = [f"rtsp://{server}/live", f"http://{server}/a.mp4?token={SECRET}", f"file={clip}"]
    sinks = ["jsonl:a.jsonl", "csv:a.csv", "parquet:out", "jsonl:-"]
    written = [part for sink in sinks for part in ("--sink", sink)]
    done = subprocess.run(
        [COMMAND[0], "-c", LOGGED, "video", *sources, *SMALL, "--progress", "json", *written],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert run("report", tmp_path / "a.jsonl", "-o", tmp_path / "r.html").status == 0
    for file in [path for path in tmp_path.rglob("*") if path.is_file()]:
        assert SECRET.encode() not in file.read_bytes(), file
    assert done.stdout.count('"failed"') == 2
    assert "rtsp://127.0.0.1:1/live" in done.stdout


@pytest.mark.parametrize("address", ["ftp://viewer:{}@host/a", "rtsp://{}@", "rtsp://viewer:{}@host/a b"])
def test_a_password_is_in_no_traceback(address: str) -> None:
    """A caller who prints the whole chain of exceptions sees no password either."""
    with pytest.raises(MogFaceError) as error:
        analyze([address.format(SECRET)])
    assert SECRET not in "".join(traceback.format_exception(error.value))


def test_a_killed_run_is_resumed(run: Run, long_clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.jsonl"
    options = long_clip, "--duration", "2", "--track", "--sink", f"jsonl:{target}"
    process = started(*options)
    try:
        while not (tmp_path / "a.jsonl.checkpoint").exists() or target.stat().st_size < 8_000:
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.communicate()
    assert "earlier run" in run("video", *options, *SMALL).message
    other = run("video", *options, "--every", "2", *SMALL, "--resume").message
    assert "not the same run (every: 1, now 2)" in other
    assert run("video", *options, *SMALL, "--resume").status == 0
    whole = tmp_path / "whole.jsonl"
    assert run("video", *options[:-1], f"jsonl:{whole}", *SMALL).status == 0
    assert target.read_bytes() == whole.read_bytes()
    assert len(frames(records(whole))) == 50


def test_a_list_that_changes_is_followed(clip: Path, tmp_path: Path) -> None:
    """A source that has ended is not analyzed again when the run is resumed."""
    listed, target = tmp_path / "list.txt", tmp_path / "a.jsonl"

    def follow(name: str, *options: str) -> str:
        process = started("--watch", listed, "--sink", f"jsonl:{target}", "--progress", "none", *options)
        try:
            while not target.exists() or f'"source":"{name}","event":"ended"' not in target.read_text():
                assert process.poll() is None
                if name == "second" and target.exists() and "first" in target.read_text():
                    listed.write_text(f"first={clip}\nsecond={clip}\n")
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 130
        return err

    listed.write_text(f"first={clip}\n")
    assert follow("second").startswith("2 sources: 2 ended; 20 frames, ")
    listed.write_text(f"first={clip}\nsecond={clip}\nthird={clip}\n")
    assert "; 10 frames, " in follow("third", "--resume")
    found = Counter((line["source"], line["frame"]) for line in frames(records(target)))
    assert len(found) == 30
    assert [each for each, count in found.items() if count > 1] == []


def test_blurred_videos_and_tables_of_a_folder(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of README.md."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    for name in "ab":
        (tmp_path / "clips" / f"{name}.mp4").write_bytes(clip.read_bytes())
    given = "--track", "--sink", "parquet:out/", "--sink", "mp4:out/", "--blur", "solid"
    status, out, err = run("video", f"door={clip}", "clips/", *given, *SMALL)
    assert (status, out) == (0, "")
    assert err.splitlines()[-2:] == ["written: parquet:out/", "written: mp4:out/"]
    assert {path.name for path in (tmp_path / "out").glob("*.mp4")} == {
        "door.mp4", "clips%2Fa.mp4.mp4", "clips%2Fb.mp4.mp4",
    }  # fmt: skip
    import av

    with av.open("out/door.mp4") as container:
        shown = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(shown) == 10
    items = [item for item in read_records("out") if item.source == "door" and isinstance(item, FrameFaces)]
    x0, y0, x1, y1 = items[5].faces.xyxy[0].astype(int)
    assert shown[5][y0:y1, x0:x1].std(axis=(0, 1)).max() < 8  # one color
    assert run("report", "out/", "-o", "report.html") == (0, "", "written: report.html\n")
    assert "door" in (tmp_path / "report.html").read_text()


def test_faces_of_a_film_have_ids(run: Run, test_data: Path, tmp_path: Path) -> None:
    film = test_data / "video" / "facenet_video.mp4"
    if not film.is_file():
        pytest.skip("no facenet_video.mp4 in the test data")
    target = tmp_path / "a.jsonl"
    given = "--every", "5", "--size", "640x384", "--track", "--sink", f"jsonl:{target}"
    assert run("video", f"film={film}", *given).status == 0
    lines = records(target)
    seen = Counter(face["tracker_id"] for line in frames(lines) for face in line["faces"])
    assert len(frames(lines)) == 21
    assert sum(count >= 19 for number, count in seen.items() if number > 0) == 3  # three are seen throughout
    ended = {line["tracker_id"]: line["faces"] for line in lines if line["record"] == "track"}
    assert ended == {number: count for number, count in seen.items() if number > 0}


def test_the_table_of_a_terminal() -> None:
    running = SourceStats("running", True, frames=3, fps=25, lag=0.01)
    sources = {f"camera-{number} [red]": running for number in range(99)}
    sources |= {"door": SourceStats("lost", True), "\x1b[31mhall": SourceStats("failed", True)}
    console = Console(width=100, record=True, file=io.StringIO())
    readings = {"gpu_percent": 93.0, "decoder_percent": 41.0, "power_w": 300.0}
    console.print(table(AnalysisStats(sources, 10.0, 0), readings, 5))
    text = console.export_text()
    names = [line.split()[0] for line in text.splitlines() if line.strip(" ─")]
    assert names[1:5] == ["\\x1b[31mhall", "door", "camera-0", "camera-1"]
    assert "camera-0 [red]" in text
    assert "96 more" in text
    assert "GPU 93%, decoder 41%" in text
    assert len(text.splitlines()) < 16
