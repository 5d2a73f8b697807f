"""Containers of PyAV, opened with a whitelist of protocols and formats; no message of PyAV gets out.

PyAV's messages and names hold the whole URL, with its password.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from trt_mogface._optional import needs
from trt_mogface.errors import ImageError
from trt_mogface.video.nvdec import OPTIONS, acceleration
from trt_mogface.video.sources import Source, SourceKind

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

T = TypeVar("T")

FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpegtsraw,mpeg,mpegvideo,asf,flv,live_flv,ogg,mxf,ivf,"
    "h264,hevc,obu,av1,m4v,mjpeg,mjpeg_2000,mpjpeg,yuv4mpegpipe,dv,nut,gxf,rm,vvc,wtv,swf,cavsvideo,vc1,h263,h261"
)
"""Formats that name no other file, unlike concat, HLS, DASH or patterns of images."""

NETWORK = "tcp,tls,udp,http,https,httpproxy,crypto,data"

WHITELISTS: dict[SourceKind, tuple[str, str]] = {
    "file": ("file", FILE_FORMATS),
    "http": (NETWORK, FILE_FORMATS),
    "hls": (NETWORK, f"hls,{FILE_FORMATS},aac,mp3,ac3,eac3,webvtt"),
    "rtsp": (f"{NETWORK},rtp,srtp,rtsp,rtsps", f"rtsp,sdp,rtp,{FILE_FORMATS}"),
    "v4l2": ("file", "video4linux2,v4l2"),
}
"""Protocols and formats of each kind."""

REASONS: dict[str, str] = {
    "ExitError": "silent for too long; check that it sends, or raise timeout",
    "TimeoutError": "silent for too long; check that it sends, or raise timeout",
    "HTTPUnauthorizedError": "the server refuses the user or password (401); correct them",
    "HTTPForbiddenError": "the server forbids access (403); check user and rights",
    "HTTPNotFoundError": "the server has no such stream (404); check the path",
    "HTTPBadRequestError": "the server refuses the request (400); check the address",
    "HTTPTooManyRequestsError": "the server has too many requests (429); try again later",
    "HTTPServerError": "the server failed (5xx); try again later",
    "ConnectionRefusedError": "connection refused; check that the server runs, and the port",
    "ConnectionResetError": "the server closed the connection; try again",
    "InvalidDataError": "not a video, or a damaged one; check it with another player",
    "DecoderNotFoundError": "its codec is unknown here; convert it to H.264",
    "PatchWelcomeError": "has a feature that no decoder here knows; convert it to H.264",
    "ProtocolNotFoundError": "its protocol is not supported; use rtsp, http or a file",
    "ArgumentError": "not a video in a supported format; convert it to MP4",
    "EOFError": "it has no frames; check it with another player",
    "PermissionError": "permission denied; allow reading it",
    "OSError": "cannot be read (input or output error); check the network or disk",
}
"""Problem and remedy for each of PyAV's exceptions."""


class DamagedError(ImageError):
    """Data that is damaged; what follows may be whole."""


def open_container(
    source: Source, timeout: float, gpu: int | None = None
) -> tuple[InputContainer, VideoStream]:
    """Open a source and return its container and video stream.

    Args:
        source: Any but one of images.
        timeout: Seconds that opening, and each read later, may take.
        gpu: Number of the GPU that decodes, or None.

    Raises:
        ImageError: If it cannot be opened in time, or has no video.
        MissingExtraError: If PyAV is not installed.
    """
    with needs("video"):
        import av

    protocols, formats = WHITELISTS[source.kind]
    options = {"protocol_whitelist": protocols, "format_whitelist": formats}
    if source.kind == "rtsp":
        # The rate is that of the stream's description: measuring it would take another second.
        options |= {"rtsp_transport": "tcp", "fpsprobesize": "0"}
    address = f"file:{source.address}" if source.kind == "file" else source.address
    form = "v4l2" if source.kind == "v4l2" else None
    hwaccel = None if gpu is None else acceleration(gpu)
    container: InputContainer = reading(
        source.name,
        timeout,
        lambda: av.open(
            address,
            format=form,
            options=options,
            timeout=(timeout, timeout),
            metadata_errors="replace",
            hwaccel=hwaccel,
        ),
    )
    stream = next((each for each in container.streams.video if not _is_cover(each)), None)
    if stream is None:
        container.close()
        raise ImageError(f"{source.name}: has no video, only sound or other data; name a video")
    if stream.codec_context is None:
        container.close()
        raise ImageError(f"{source.name}: {REASONS['DecoderNotFoundError']}")
    # Sources decode side by side: one thread for each leaves the least to pay for handing work over.
    stream.codec_context.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    if hwaccel is not None:
        stream.codec_context.options = OPTIONS
    return container, stream


def reading(name: str, timeout: float, call: Callable[[], T]) -> T:
    """Return what a call of PyAV returns; its exceptions become one line without the address.

    Raises:
        DamagedError: If the data is damaged.
        ImageError: If the call fails otherwise, or takes `timeout` seconds.
    """
    started = time.monotonic()
    try:
        return call()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 -- FFmpeg's errors have many types
        # PyAV says "invalid data" of an RTSP server that is silent.
        failure = _failure(name, error, timeout if took(started, timeout) else None)
    raise failure  # outside of the block, because its context would show the address


def took(started: float, timeout: float) -> bool:
    """Return whether a call that began at `started`, in monotonic seconds, took all of its time."""
    return time.monotonic() - started >= timeout * 0.98


def silence(name: str, timeout: float) -> ImageError:
    """Return the error of a source that sent nothing in time."""
    return ImageError(f"{name}: silent for {timeout:g} s; check that it sends, or raise timeout")


def _failure(name: str, error: Exception, timeout: float | None) -> ImageError:
    kind = type(error).__name__
    if timeout is not None:
        return silence(name, timeout)
    if kind == "InvalidDataError":
        return DamagedError(f"{name}: {REASONS[kind]}")
    if kind in REASONS:
        return ImageError(f"{name}: {REASONS[kind]}")
    number: int = getattr(error, "errno", None) or 0
    reason = os.strerror(number) if number in errno.errorcode else kind
    return ImageError(f"{name}: cannot be read ({reason}); check it with another player")


def _is_cover(stream: Any) -> bool:
    """Return whether a video stream is the picture of a sound file."""
    return bool(int(stream.disposition) & ATTACHED_PICTURE)


ATTACHED_PICTURE = 0x400
