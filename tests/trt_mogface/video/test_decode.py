"""Decoding against PyAV's own frames, and inputs that are damaged or rare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clips import PORTRAIT, clip
from tests.support.made_clips import RATE, RecordedBackend, av, gray, make_clip, make_sound
from trt_mogface.video import FrameFaces, SourceEvent, analyze
from trt_mogface.video.items import Item


def run(*sources: Any, **options: Any) -> list[Item]:
    with analyze([str(source) for source in sources], RecordedBackend(), **options) as analysis:
        return list(analysis)


def frames_of(items: list[Item]) -> list[FrameFaces]:
    return [item for item in items if isinstance(item, FrameFaces)]


def events_of(items: list[Item]) -> list[SourceEvent]:
    return [item for item in items if isinstance(item, SourceEvent)]


def shown_number(item: FrameFaces) -> int:
    """Return the number that a frame of a made clip shows."""
    level = float(item.faces.confidence[0]) * 255
    return int(np.argmin([abs(gray(number) - level) for number in range(30)]))


def decoded(path: Path) -> Iterator[Any]:
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def test_frames_have_numbers_times_and_pictures_of_the_stream(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 12)
    items = run(path)
    assert [event.event for event in events_of(items)] == ["opened", "ended"]
    assert [(i.frame, shown_number(i)) for i in frames_of(items)] == [(n, n) for n in range(12)]
    assert [i.time for i in frames_of(items)] == pytest.approx([n / RATE for n in range(12)])
    begun = path.stat().st_mtime
    assert {(i.clock, round(i.captured - begun - (i.time or 0), 3)) for i in frames_of(items)} == {
        ("arrival", 0.0)
    }


def test_a_file_that_says_when_it_was_made_has_that_clock(tmp_path: Path) -> None:
    made = {"creation_time": "2024-05-06T07:08:09.000000Z"}
    items = frames_of(run(make_clip(tmp_path / "a.mp4", 3, metadata=made)))
    assert {i.clock for i in items} == {"sender"}
    assert [i.captured for i in items] == pytest.approx([1714979289 + n / RATE for n in range(3)], abs=1e-3)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix", "size"),
    [
        ("libx264", "yuv420p", ".mp4", (64, 48)),
        ("libx264", "yuv420p", ".mp4", (66, 50)),
        ("ffv1", "yuv420p", ".mkv", (65, 49)),
        ("mjpeg", "yuvj420p", ".avi", (64, 48)),
        ("libx264", "yuv422p", ".mp4", (64, 48)),
        ("libx264", "yuv444p", ".mp4", (64, 48)),
        ("ffv1", "yuv444p", ".mkv", (65, 49)),
        ("libx264", "yuv420p10le", ".mp4", (64, 48)),
        ("ffv1", "yuv420p10le", ".mkv", (65, 49)),
        ("libx265", "yuv420p10le", ".mp4", (64, 48)),
        ("ffv1", "gray", ".mkv", (64, 48)),
        ("ffv1", "gray10le", ".mkv", (64, 48)),
        ("ffv1", "bgr0", ".mkv", (65, 49)),
        ("libvpx-vp9", "yuv420p", ".webm", (64, 48)),
    ],
)
def test_pictures_are_those_of_swscale(
    tmp_path: Path, codec: str, pix_fmt: str, suffix: str, size: tuple[int, int]
) -> None:
    y, x = np.mgrid[: size[1], : size[0]]
    image = np.stack([x, 60 + y, 90 + (x + y) // 2], axis=2).astype(np.uint8)
    path = make_clip(tmp_path / f"a{suffix}", 2, codec=codec, pix_fmt=pix_fmt, size=size, image=image)
    expected = [frame.to_ndarray(format="bgr24") for frame in decoded(path)]
    found = [item.image() for item in frames_of(run(path))]
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected):
        assert np.abs(one.astype(int) - other).max() <= 3


def test_a_network_on_the_cpu_gets_bgr_where_planes_would_be_slow(test_data: Path) -> None:
    path = clip(test_data, PORTRAIT)  # BT.709
    expected = next(decoded(path)).to_ndarray(format="bgr24")
    with analyze(str(path), size=(64, 64), duration=0.02) as analysis:
        (on_cpu,) = frames_of(list(analysis))
    kept = frames_of(run(path, duration=0.02))[0]
    assert on_cpu.picture is not None
    assert kept.picture is not None
    assert (on_cpu.picture.format, kept.picture.format) == ("bgr", "i420")
    assert np.array_equal(on_cpu.image(), expected)
    # Luma below black is cut by the reference and not by swscale: a few dark pixels differ by more.
    assert np.quantile(np.abs(kept.image().astype(int) - expected), 0.9999) <= 3


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_rotation_is_applied_as_players_do(tmp_path: Path, rotation: int, codec: str) -> None:
    size = (64, 48) if codec == "libx264" else (65, 49)
    pix_fmt = "yuv420p" if codec == "libx264" else "yuvj420p"
    path = make_clip(tmp_path / "a.mov", 2, rotation=rotation, codec=codec, size=size, pix_fmt=pix_fmt)
    upright = next(decoded(path)).to_ndarray(format="bgr24")
    expected = np.rot90(upright, rotation // 90)
    found = frames_of(run(path))[0]
    assert found.picture is not None
    assert found.picture.size == expected.shape[:2] == found.faces.image_size
    assert np.abs(found.image().astype(int) - expected).max() <= 3


def test_mirrored_frames_are_turned_back(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_matrix([65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30])
        image = np.zeros((48, 64, 3), np.uint8)
        image[:24] = 255
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    shown = frames_of(run(path))[0].image()
    assert shown[:20].mean() < 30
    assert shown[-20:].mean() > 225


def test_a_damaged_middle_costs_its_own_frames(test_data: Path, tmp_path: Path) -> None:
    whole = clip(test_data, PORTRAIT).read_bytes()
    first, last = len(whole) // 2, int(len(whole) * 0.55)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(whole[:first] + bytes(last - first) + whole[last:])
    good = make_clip(tmp_path / "good.mp4", 10)
    items = run(path, good)
    ours = [item for item in items if item.source == str(path)]
    assert len(frames_of(ours)) == 260
    assert sum(e.count for e in events_of(ours) if e.event == "corrupt") == 11
    (ended,) = [e for e in events_of(ours) if e.event == "ended"]
    assert ended.message == "260 of 275 frames; the others are missing or damaged"
    assert len(frames_of(items)) == 270


def test_a_truncated_file_gives_what_is_there(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", 30, size=(320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    items = run(path)
    numbers = [i.frame for i in frames_of(items)]
    assert numbers == list(range(len(numbers)))
    assert 3 < len(numbers) < 30
    assert events_of(items)[-1].event == "ended"


def failure(path: Path, good: Path) -> str:
    items = run(path, good)
    assert len(frames_of(items)) == 10  # the other source goes on
    (failed,) = [e for e in events_of(items) if e.event == "failed"]
    assert failed.source == str(path)
    assert "\n" not in failed.message
    return failed.message


def test_files_that_are_no_video_fail_with_one_line(tmp_path: Path) -> None:
    good = make_clip(tmp_path / "good.mp4", 10)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(good.read_bytes()[:500])
    assert "not a video, or a damaged one" in failure(cut, good)
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    assert ";" in failure(empty, good)
    unknown = tmp_path / "unknown.mp4"
    unknown.write_bytes(good.read_bytes().replace(b"avc1", b"zzzz"))
    assert "its codec is unknown here" in failure(unknown, good)
    assert "only sound" in failure(make_sound(tmp_path / "sound.mp4"), good)
    script = tmp_path / "script.mp4"
    script.write_text(f"ffconcat version 1.0\nfile '{good}'\n")
    assert "not a video in a supported format" in failure(script, good)
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{good}\n#EXT-X-ENDLIST\n")
    assert "not a video" in failure(playlist, good)


def test_the_last_event_is_never_lost(tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    path.write_bytes(make_clip(path, 2).read_bytes()[:300])
    for _ in range(100):
        assert events_of(run(path))[-1].event == "failed"


def test_a_file_without_frames_fails(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    with av.open(str(path), "w", options={"movflags": "empty_moov"}) as container:
        stream: Any = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.open()
        container.start_encoding()
    items = run(path)
    assert frames_of(items) == []
    assert events_of(items)[-1].event == "failed"


def test_raw_video_has_no_times(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.h264", 12, form="h264", options={"bf": "0"})
    items = frames_of(run(path))
    assert [(i.frame, shown_number(i)) for i in items] == [(n, n) for n in range(12)]
    assert all(i.captured > 0 for i in items)
    assert [i.frame for i in frames_of(run(path, fps=5))] == [0, 5, 10]


def test_times_that_jump_back_are_reported_as_they_are(tmp_path: Path) -> None:
    one = make_clip(tmp_path / "1.ts", 10, form="mpegts", options={"bf": "0"})
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() * 2)
    items = frames_of(run(joined))
    times = [i.time for i in items if i.time is not None]
    assert len(items) == 20
    assert times[10] < times[9]
    assert [i.frame for i in frames_of(run(joined, fps=5))] == [0, 5, 10, 15]


def test_a_variable_rate_is_sampled_by_its_times(tmp_path: Path) -> None:
    times = [0, 10, 20, 30, 1000, 1010, 2500, 2510, 2990, 3000]
    path = make_clip(tmp_path / "a.mkv", 10, times=times, options={"bf": "0"})
    items = frames_of(run(path, fps=1))
    assert [round((i.time or 0) * 1000) for i in items] == [0, 1000, 2500, 3000]


def test_a_change_of_size_is_an_event(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "1.ts", 5, form="mpegts")
    large = make_clip(tmp_path / "2.ts", 5, form="mpegts", size=(128, 96))
    path = tmp_path / "joined.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    items = run(path)
    (resized,) = [e for e in events_of(items) if e.event == "resized"]
    assert resized.message == "64x48 to 128x96"
    assert [i.faces.image_size for i in frames_of(items)] == [(48, 64)] * 5 + [(96, 128)] * 5
    assert resized.frame == 5


@pytest.mark.parametrize("gop", [5, 1000])
def test_start_and_duration_keep_the_numbers(tmp_path: Path, gop: int) -> None:
    path = make_clip(tmp_path / "a.mp4", 30, gop=gop)
    items = frames_of(run(path, start=0.5, duration=0.4))
    assert [(i.frame, shown_number(i)) for i in items] == [(n, n) for n in range(13, 23)]
    assert [i.frame for i in frames_of(run(path, start=0.48, duration=0.4, every=4))] == [12, 16, 20]
    assert frames_of(run(path, start=100)) == []


def test_key_frames_keep_the_numbers(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 30, gop=6)
    items = frames_of(run(path, keyframes=True))
    assert [(i.frame, shown_number(i)) for i in items] == [(n, n) for n in range(0, 30, 6)]
    assert [i.frame for i in frames_of(run(path, keyframes=True, start=0.5))] == [18, 24]


def test_every_and_fps_choose_frames(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 30)
    assert [shown_number(i) for i in frames_of(run(path, every=7))] == [0, 7, 14, 21, 28]
    assert [shown_number(i) for i in frames_of(run(path, fps=5))] == [0, 5, 10, 15, 20, 25]
    assert len(frames_of(run(path, fps=1000))) == 30


def test_sound_is_handed_along_with_its_frames(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 30, sound=True)
    with av.open(str(path)) as container:
        expected = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    items = frames_of(run(path, audio=True, every=3))
    assert [bytes(packet) for item in items for packet in item.audio] == expected
    assert frames_of(run(path))[0].audio == ()


def test_pictures_are_frames_too(tmp_path: Path) -> None:
    import cv2

    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((48, 64, 3), gray(number), np.uint8))
    (folder / "broken.png").write_bytes(b"\x89PNG")
    items = run(folder)
    assert [(i.source, i.frame, shown_number(i), i.time) for i in frames_of(items)] == [
        (str(folder), n, n, None) for n in range(3)
    ]
    (corrupt,) = [e for e in events_of(items) if e.event == "corrupt"]
    assert (corrupt.frame, corrupt.count) == (3, 1)
