"""Image formats that are read, with the file name extensions and the decoder of each.

Formats of documents and drawings (EPS, PDF, WMF) are left out: their decoders run programs.
"""

from __future__ import annotations

from typing import NamedTuple

from trt_mogface._optional import needs

HEIF = "HEIF"
"""HEIC photos of phones; read with the extra ``heif``."""

MPO = "MPO"
"""Several JPEGs in a file, as 3D cameras write; Pillow finds it while it opens a JPEG."""

HEIF_HINT = "needs pillow-heif; pip install 'trt-mogface[heif]'"


class Format(NamedTuple):
    """An image format.

    Attributes:
        suffixes: File name extensions, in lower case.
        by_opencv: Whether OpenCV decodes it; else Pillow does.
        spare: Whether Pillow decodes the variants that OpenCV lacks.
    """

    suffixes: tuple[str, ...]
    by_opencv: bool = True
    spare: bool = False


_JPEG = Format((".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"))
_BMP = Format((".bmp", ".dib"), spare=True)

FORMATS = {
    "JPEG": _JPEG,
    MPO: _JPEG,
    "PNG": Format((".apng", ".png")),
    "GIF": Format((".gif",), spare=True),
    "BMP": _BMP,
    "DIB": _BMP._replace(by_opencv=False),
    "PPM": Format((".pbm", ".pgm", ".pnm", ".ppm"), spare=True),
    "WEBP": Format((".webp",)),
    "TIFF": Format((".tif", ".tiff"), spare=True),
    "AVIF": Format((".avif", ".avifs")),
    HEIF: Format((".heic", ".heif", ".hif"), by_opencv=False),
    "JPEG2000": Format((".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx"), spare=True),
    "ICO": Format((".ico",), by_opencv=False),
    "PCX": Format((".pcx",), by_opencv=False),
    "PSD": Format((".psd",), by_opencv=False),
    "QOI": Format((".qoi",), by_opencv=False),
    "SGI": Format((".bw", ".rgb", ".rgba", ".sgi"), by_opencv=False),
    "SUN": Format((".ras", ".sr"), spare=True),
    "TGA": Format((".icb", ".tga", ".vda", ".vst"), by_opencv=False),
}
"""Formats by Pillow's name, in the order in which they are tried; the first ones cost Pillow no import."""

VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
"""File name extensions of videos."""

SUFFIXES = frozenset(suffix for each in FORMATS.values() for suffix in each.suffixes)


def register_heif() -> None:
    """Make Pillow open HEIF files.

    Raises:
        MissingExtraError: If pillow-heif is not installed, or is broken.
    """
    with needs("heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()


def has_heif() -> bool:
    """Return whether HEIF files can be read."""
    from trt_mogface.errors import MissingExtraError

    try:
        register_heif()
    except MissingExtraError:
        return False
    return True
