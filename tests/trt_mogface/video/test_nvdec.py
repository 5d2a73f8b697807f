"""NVDEC as far as it goes without a GPU: planes by DLPack, options, messages; and planes against BGR."""

from __future__ import annotations

import gc
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import clips
from trt_mogface import ArgumentError, Detector, Frame
from trt_mogface.errors import DeviceError, ImageError
from trt_mogface.reference.color import to_bgr
from trt_mogface.video.analysis import analyze
from trt_mogface.video.nvdec import OPTIONS, RESERVE, check_nvdec, is_on_device, planes_of, to_device_frame
from trt_mogface.video.planes import UPRIGHT, to_frame

av = pytest.importorskip("av")


def decoded(form: str, height: int, width: int) -> Any:
    """Return a frame of PyAV with noise."""
    frame, random = av.VideoFrame(width, height, form), np.random.default_rng(0)
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8)
        rows[:] = random.integers(0, 256, rows.shape, np.uint8)
    return frame


class Pointed:
    """Host memory by the interface of device memory."""

    def __init__(self, plane: Any) -> None:
        self.plane, self.__array_interface__ = plane, plane.__cuda_array_interface__


@pytest.mark.parametrize(("form", "kind"), [("nv12", "nv12"), ("p010le", "p010")])
@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 63), (2, 2)])
def test_planes_are_those_of_the_decoder(form: str, kind: str, height: int, width: int) -> None:
    frame = decoded(form, height, width)
    expected = to_bgr(to_frame(frame, UPRIGHT, "door", 0, None))
    luma, chroma = planes_of(frame, host=True)
    assert luma.memory.pitch == frame.planes[0].line_size
    del frame  # the planes keep the memory
    gc.collect()
    decoded(form, height, width).planes[0].update(bytes(len(bytes(decoded(form, height, width).planes[0]))))
    planes = tuple(np.asarray(Pointed(plane)) for plane in (luma, chroma))
    assert planes[1].shape == (-(-height // 2), -(-width // 2), 2)
    np.testing.assert_array_equal(to_bgr(Frame(planes, kind)), expected)  # type: ignore[arg-type]
    device = Frame((luma, chroma), kind)  # type: ignore[arg-type]
    assert device.size == (height, width)
    assert not device.on_host


def test_host_frames_are_not_taken_for_those_of_a_gpu() -> None:
    assert not is_on_device(decoded("nv12", 4, 4))
    with pytest.raises(ImageError, match=r"^door: the decoded frame .* in host memory.*; use decoder='cpu'$"):
        to_device_frame(decoded("nv12", 4, 4), "bt601", "limited", "door", 0, None)


class Foreign:
    """A frame, and its plane, as PyAV has them for a pixel format that it does not export."""

    height = width = 4

    @property
    def planes(self) -> tuple[Foreign]:
        return (self,)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, *, stream: None = None) -> object:
        raise NotImplementedError("unsupported sw_format for DLPack export")


def test_other_pixel_formats_are_refused() -> None:
    with pytest.raises(
        ImageError, match=r"^door: the decoded frame cannot be shared \(unsupported sw_format "
    ):
        to_device_frame(Foreign(), "bt601", "limited", "door", 0, None)  # type: ignore[arg-type]


def test_decoders_take_the_options(test_data: Path) -> None:
    with av.open(str(clips.clip(test_data, clips.PORTRAIT))) as container:
        context = container.streams.video[0].codec_context
        context.options = OPTIONS
        assert len(list(islice(container.decode(video=0), 2))) == 2
        assert RESERVE > 0


def test_without_a_gpu_nvdec_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trt_mogface.video.nvdec.LIBRARY", "libmissing.so.1")
    with pytest.raises(
        DeviceError, match=r"^decoder nvdec: libmissing\.so\.1 of the NVIDIA driver is missing; "
    ):
        check_nvdec()
    monkeypatch.setattr("trt_mogface.video.nvdec.LIBRARY", "libc.so.6")
    with pytest.raises(DeviceError, match=r"^decoder nvdec: GPU 99 does not open \(\w+\); use decoder="):
        check_nvdec(99)


def test_nvdec_needs_an_engine_and_one_gpu(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    with pytest.raises(
        ArgumentError, match=r"^decoder nvdec: leaves frames on the GPU, out of reach of \S+; "
    ):
        analyze(clip, decoder="nvdec")
    with pytest.raises(ArgumentError, match=r"^decoder nvdec: leaves frames on one GPU; pass one device$"):
        analyze(clip, "mogface.engine", decoder="nvdec", device=[0, 1])
    with pytest.raises(ArgumentError, match=r"^decoder 'gpu': unknown decoder \(choose from cpu, nvdec\)$"):
        analyze(clip, decoder="gpu")  # type: ignore[arg-type]


def test_planes_have_the_colors_and_faces_of_swscale(test_data: Path) -> None:
    """swscale rounds down, by one level in the mean; a level is 0.4% of the range."""
    path = clips.clip(test_data, clips.TALK)
    worst, moved = [], []
    with av.open(str(path)) as container, Detector(size=(640, 360), conf=0.5) as detector:
        for number, frame in enumerate(islice(container.decode(video=0), 0, 41, 20)):
            planes, image = to_frame(frame, UPRIGHT, "talk", number, None), frame.to_ndarray(format="bgr24")
            difference = np.abs(to_bgr(planes).astype(int) - image)
            worst.append(((difference <= 3).mean(), difference.mean()))
            ours, exact, theirs = detector(planes), detector(to_bgr(planes)), detector(image)
            np.testing.assert_array_equal(ours.xyxy, exact.xyxy)
            assert len(ours) == len(theirs)
            nearest = np.abs(ours.xyxy[:, None] - theirs.xyxy).max(axis=2).min(axis=1)
            moved.extend(nearest.tolist())
    shares, means = np.transpose(worst)
    assert shares.min() > 0.9999
    assert means.max() < 1.1
    assert np.quantile(moved, 0.9) < 0.5
    assert max(moved) < 3
