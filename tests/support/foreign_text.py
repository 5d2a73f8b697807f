"""Text as the tools of other systems write it."""

from __future__ import annotations

import codecs
from collections.abc import Callable

FOREIGN: dict[str, Callable[[str], bytes]] = {
    "UTF-8 with a byte order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16, little-endian": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16, big-endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "Windows-1252": lambda text: text.encode("cp1252"),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR only": lambda text: text.replace("\n", "\r").encode(),
    "UTF-16 and CRLF": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "blanks at ends of lines": lambda text: text.replace("\n", " \t\n").encode(),
    "blank lines": lambda text: ("\n \n" + text.replace("\n", "\n\n") + "\n\n").encode(),
    "no newline at the end": lambda text: text.rstrip("\n").encode(),
    "the end-of-file byte of DOS": lambda text: text.encode() + b"\x1a",
    "a mark within, as of joined files": lambda text: ("\ufeff" + text.replace("\n", "\n\ufeff", 1)).encode(),
}
"""Writers of a text; all but JSON may be written by each."""

AS_JSON = ["UTF-8 with a byte order mark", "UTF-16, little-endian", "UTF-16, big-endian", "UTF-16 and CRLF"]
"""Encodings of JSON files; PowerShell's ``>`` writes UTF-16."""
