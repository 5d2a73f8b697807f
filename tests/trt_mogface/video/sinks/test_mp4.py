"""MP4 files read back by PyAV: times, sound, colors, sizes; killed, cut and resumed; ugly input."""

from __future__ import annotations

import io
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.frames import made_frame
from trt_mogface import Detections, Frame
from trt_mogface.errors import ImageError, OutputError
from trt_mogface.frame import FORMATS, MATRICES, ColorMatrix, PixelFormat
from trt_mogface.reference.color import to_bgr
from trt_mogface.reporting.drawing import BOX
from trt_mogface.video.items import FrameFaces, SourceEvent
from trt_mogface.video.sinks.fragments import Fragments
from trt_mogface.video.sinks.lines import Rotation
from trt_mogface.video.sinks.mp4 import Mp4Sink

av = pytest.importorskip("av")

NOBODY = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)


def shown(number: int, time: float | None, picture: Frame | None, **more: Any) -> FrameFaces:
    size = (4, 4) if picture is None else picture.size
    more.setdefault("faces", Detections(*NOBODY, None, size))
    return FrameFaces("door", number, time, 1e9 + number / 25, "arrival", picture=picture, **more)


def gray(level: int, size: tuple[int, int] = (48, 64)) -> Frame:
    return Frame((np.full((*size, 3), level, np.uint8),))


def written(folder: Path, items: Iterable[Any], **options: Any) -> list[str]:
    """Write items to a sink, and return the names of its files."""
    sink = Mp4Sink(f"mp4:{folder}", str(folder), **options)
    for item in items:
        sink.write(item)
    sink.close()
    sink.close()
    return videos(folder)


def videos(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".mp4")


def frames(path: Path | io.BytesIO) -> list[Any]:
    with av.open(str(path) if isinstance(path, Path) else path) as container:
        return list(container.decode(video=0))


def level(frame: Any) -> int:
    return round(float(frame.to_ndarray(format="gray").mean()))


def levels(path: Path | io.BytesIO) -> list[int]:
    return list(map(level, frames(path)))


def levels_up_to_an_error(data: bytes) -> list[int]:
    found: list[int] = []
    with av.open(io.BytesIO(data)) as container, suppress(av.error.InvalidDataError):
        found.extend(map(level, container.decode(video=0)))
    return found


def sound(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(audio=0) if packet.size]


def clip(path: Path, codec: str, form: str) -> list[tuple[float, list[Any]]]:
    """Write a clip of 40 frames with sound, and return times and the packets of sound after each frame."""
    with av.open(str(path), "w", format=form) as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(codec, rate=8000 if codec == "pcm_mulaw" else 48000)
        audio.layout = "mono"
        for number in range(40):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
            samples = np.random.default_rng(number).integers(-9999, 9999, (1, audio.rate // 25), np.int16)
            block = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = (
                audio.rate,
                number * audio.rate // 25,
                Fraction(1, audio.rate),
            )
            container.mux(audio.encode(block))
        container.mux([*video.encode(None), *audio.encode(None)])
    found: list[tuple[float, list[Any]]] = []
    container = av.open(str(path))
    early: list[Any] = []
    for packet in container.demux():
        if packet.stream.type == "audio" and packet.size:
            (found[-1][1] if found else early).append(packet)
        elif packet.stream.type == "video":
            found += [(float(frame.time), []) for frame in packet.decode()]
    found[0][1][:0] = early
    return found


@pytest.mark.parametrize(
    ("codec", "form"),
    [("aac", "mp4"), ("aac", "mpegts"), ("libmp3lame", "matroska"), ("libopus", "matroska")],
)
def test_times_and_sound_are_those_of_the_source(tmp_path: Path, codec: str, form: str) -> None:
    source = tmp_path / "clip"
    found = clip(source, codec, form)
    items = [
        shown(number, time, gray(number), audio=tuple(packets))
        for number, (time, packets) in enumerate(found)
    ]
    assert written(tmp_path / "out", items) == ["door.mp4"]
    made, begin = tmp_path / "out" / "door.mp4", found[0][0]
    times = [float(frame.time) for frame in frames(made)]
    np.testing.assert_allclose(times, [time - begin for time, _ in found], atol=1.1e-5)
    expected = [packet for packet in sound(source) if float(packet.pts * packet.time_base) >= begin - 1e-6]
    copied = sound(made)
    assert len(copied) == len(expected) > 20
    for ours, theirs in zip(copied, expected):
        assert abs(float(ours.pts * ours.time_base - theirs.pts * theirs.time_base) + begin) < 1e-3
        if form != "mpegts":  # whose packets have a head of their own, which MP4 has once
            assert bytes(ours) == bytes(theirs)
        else:
            assert bytes(theirs).endswith(bytes(ours))
    with av.open(str(made)) as container:
        decoded = sum(frame.samples for frame in container.decode(audio=0))
    assert decoded > 60_000


def test_sound_that_mp4_cannot_hold_is_left_out(tmp_path: Path) -> None:
    found = clip(tmp_path / "clip", "pcm_mulaw", "avi")
    items = [shown(n, time, gray(n), audio=tuple(packets)) for n, (time, packets) in enumerate(found)]
    written(tmp_path / "out", items)
    assert len(frames(tmp_path / "out" / "door.mp4")) == 40
    with av.open(str(tmp_path / "out" / "door.mp4")) as container:
        assert not container.streams.audio


def test_uneven_times_are_kept_and_jumps_back_are_closed(tmp_path: Path) -> None:
    times = [5.0, 5.01, 5.5, 7.25, 2.0, 2.5, 2.5, 2.75, 1e9, 1e9 + 1]
    written(tmp_path, [shown(number, time, gray(99)) for number, time in enumerate(times)])
    found = [float(frame.time) for frame in frames(tmp_path / "door.mp4")]
    np.testing.assert_allclose(found, [0, 0.01, 0.5, 2.25, 4, 4.5, 5, 5.25, 5.5, 6.5], atol=1e-4)


def test_without_times_those_of_the_capture_count(tmp_path: Path) -> None:
    written(tmp_path, [shown(number, None, gray(99)) for number in (0, 1, 3)])
    found = [float(frame.time) for frame in frames(tmp_path / "door.mp4")]
    np.testing.assert_allclose(found, [0, 0.04, 0.12], atol=1e-4)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("matrix", MATRICES)
def test_colors_and_odd_sizes(tmp_path: Path, form: PixelFormat, matrix: ColorMatrix) -> None:
    rows, columns = np.mgrid[:45, :63]
    image = np.stack([40 + 3 * columns, 60 + 2 * rows, 200 - columns - rows], -1).astype(np.uint8)
    picture = made_frame(form, (45, 63), matrix, flat=64, legal=True) if form != "bgr" else Frame((image,))
    if form != "bgr":
        planes = [np.full_like(plane, np.median(plane)) for plane in picture.planes]
        picture = Frame(tuple(planes), form, matrix)
    written(tmp_path, [shown(number, number / 25, picture) for number in range(3)])
    (first, *_) = frames(tmp_path / "door.mp4")
    assert (first.height, first.width) == (46, 64)
    expected = to_bgr(picture).astype(int)
    found = first.to_ndarray(format="bgr24")[:45, :63].astype(int)
    assert np.abs(found - expected).mean() < 4
    assert np.abs(found - expected).max() < 30


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (2, 2)])
def test_tiny_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    written(tmp_path, [shown(number, number / 25, gray(128, size)) for number in range(3)])
    assert len(frames(tmp_path / "door.mp4")) == 3


def test_another_size_opening_or_segment_begins_another_file(tmp_path: Path) -> None:
    (tmp_path / "sized").mkdir()
    (tmp_path / "sized" / "door-2.mp4").write_bytes(b"of somebody else")
    items: list[Any] = [shown(0, 0, gray(1)), shown(1, 1, gray(2, (50, 64))), shown(2, 2, gray(3, (50, 64)))]
    items += [shown(3, 0, gray(4, (50, 64)), opening=2), SourceEvent("door", "ended", 1e9)]
    assert written(tmp_path / "sized", items) == ["door-2.mp4", "door-3.mp4", "door-4.mp4", "door.mp4"]
    assert (tmp_path / "sized" / "door-2.mp4").read_bytes() == b"of somebody else"
    assert [len(frames(tmp_path / "sized" / name)) for name in ("door.mp4", "door-3.mp4", "door-4.mp4")] == [
        1,
        2,
        1,
    ]
    later = [shown(number, number / 25, gray(9)) for number in range(0, 100, 5)]
    names = written(tmp_path / "segments", later, rotation=Rotation(segment=2))
    assert names == ["door-20010909T014640Z.mp4", "door-20010909T014642Z.mp4"]
    assert [len(frames(tmp_path / "segments" / name)) for name in names] == [10, 10]


def test_faces_are_drawn_with_their_ids(tmp_path: Path) -> None:
    boxes = np.array([[40, 60, 120, 130]], np.float32)
    faces = Detections(boxes, np.ones(1, np.float32), None, (200, 300), tracker_id=np.array([17]))
    items = [shown(number, number / 25, gray(128, (200, 300)), faces=faces) for number in range(2)]
    ways: dict[str, dict[str, bool]] = {"drawn": {}, "plain": {"draw": False}, "blurred": {"blur": True}}
    for name, options in ways.items():
        written(tmp_path / name, items, **options)
    drawn, plain, blurred = (
        frames(tmp_path / name / "door.mp4")[0].to_ndarray(format="bgr24") for name in ways
    )
    np.testing.assert_array_equal(plain, blurred)
    assert np.abs(plain.astype(int) - 128).max() < 6
    assert np.abs(drawn[130, 45:115].astype(int) - BOX).mean() < 40
    without = written(tmp_path / "anonymous", [shown(0, 0, gray(128, (200, 300)), faces=faces[:0])])
    assert without == ["door.mp4"]


def noise(number: int) -> Frame:
    """Return a frame whose mean brightness tells its number."""
    texture = np.random.default_rng(number).integers(-9, 10, (48, 64, 3))
    return Frame(((20 + 4 * number + texture).clip(0, 255).astype(np.uint8),))


def test_a_file_is_readable_up_to_its_last_fragment_wherever_it_is_cut(tmp_path: Path) -> None:
    sink = Mp4Sink("mp4:x", str(tmp_path))
    for number in range(40):
        sink.write(shown(number, number / 25, noise(number)))
    data = (tmp_path / "door.mp4").read_bytes()
    whole = levels(io.BytesIO(data))
    assert len(whole) == 39
    for end in np.random.default_rng(0).integers(len(data) // 3, len(data), 12).tolist():
        fragments = Fragments()
        for part in np.array_split(np.frombuffer(data[:end], np.uint8), 7):
            fragments.feed(part.tobytes())
        assert fragments.end <= end
        assert fragments.frames > 8
        assert levels(io.BytesIO(data[: fragments.end])) == whole[: fragments.frames]
        assert levels_up_to_an_error(data[:end])[: fragments.frames] == whole[: fragments.frames]
    sink.close()
    assert len(frames(tmp_path / "door.mp4")) == 40


@pytest.mark.parametrize("flushed", [1, 2, 17, 39])
def test_a_resumed_run_has_every_frame_once(tmp_path: Path, flushed: int) -> None:
    items = [shown(number, number / 25, noise(number)) for number in range(40)]
    sink = Mp4Sink("mp4:x", str(tmp_path / "run"))
    for item in items[:flushed]:
        sink.write(item)
    sink.flush()
    position, pending = sink.position(), sink.pending().get("door", 0)
    for item in items[flushed:]:
        sink.write(item)
    shutil.copytree(tmp_path / "run", tmp_path / "killed")
    sink.close()
    folder = tmp_path / "killed"
    with pytest.raises(OutputError, match="has files of an earlier run; resume that run"):
        Mp4Sink("mp4:x", str(folder))
    again = Mp4Sink("mp4:x", str(folder), resume=True)
    again.cut(position)
    for item in items[flushed - pending :]:
        again.write(item)
    again.close()
    names = [name for name in ("door.mp4", "door-2.mp4") if (folder / name).exists()]
    found = [level for name in names for level in levels(folder / name)]
    assert len(found) == 40
    assert found == sorted(found)


KILLED = """
import sys
from tests.trt_mogface.video.sinks.test_mp4 import Mp4Sink, noise, shown
sink = Mp4Sink("mp4:x", sys.argv[1])
number = 0
while True:
    sink.write(shown(number, number / 25, noise(number % 40)))
    number += 1
    if number == 60:
        sink.flush()
        print(sink.pending()["door"], flush=True)
"""


def test_a_killed_run_leaves_readable_video(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pending = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert len(frames(tmp_path / "door.mp4")) >= 60 - pending >= 59


@pytest.fixture
def _small_disk() -> Iterator[None]:
    """Files of at most 40 kB: the system refuses more, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("_small_disk")
def test_a_full_disk_is_one_line_and_leaves_a_readable_file(tmp_path: Path) -> None:
    sink = Mp4Sink("mp4:x", str(tmp_path))
    items = [shown(number, number / 25, made_frame("bgr", (48, 64), seed=number)) for number in range(50)]
    with pytest.raises(OutputError, match=r"^\S+door\.mp4: cannot be written \(File too large\); [^\n]+$"):
        list(map(sink.write, items))
    sink.close()
    assert len(frames(tmp_path / "door.mp4")) > 3


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    sink = Mp4Sink("mp4:x", str(tmp_path / "out"))
    with pytest.raises(OutputError, match=r"^mp4:x: frame 7 of door has no picture"):
        sink.write(shown(7, 0, None))

    class Device:
        __cuda_array_interface__ = {"shape": (4, 4, 3), "typestr": "|u1", "data": (0, True), "version": 3}  # noqa: RUF012

    with pytest.raises(ImageError, match=r"^mp4:x: door is decoded on a GPU; use decoder=.cpu.$"):
        sink.write(shown(0, 0, Frame((Device(),))))
    sink.close()
    assert videos(tmp_path / "out") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        Mp4Sink("mp4:x", str(tmp_path / "file"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]
