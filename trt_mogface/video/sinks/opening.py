"""Sinks by specification: ``KIND:TARGET[,option=value]``."""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from trt_mogface.errors import ArgumentError, MogFaceError, UsageError
from trt_mogface.video.sinks.base import Sink
from trt_mogface.video.sinks.custom import CustomSink, Writable
from trt_mogface.video.sinks.lines import Rotation

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(argument: str, text: str) -> float:
    """Return the seconds of a duration such as ``90``, ``30s``, ``10m``, ``6h`` or ``7d``.

    Args:
        argument: Name of the argument, for the message.
        text: Number with an optional unit.

    Raises:
        ArgumentError: If it is another text, or not positive.

    >>> parse_duration("keep", "7d")
    604800.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip(), re.ASCII)
    seconds = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if not 0 < seconds < math.inf:
        raise ArgumentError(
            argument, "must be a positive number with s, m, h or d, such as 10m", repr(text[:40])
        )
    return seconds


def _share(argument: str, text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) <= 10:
            return float(text)
    raise ArgumentError(argument, "must be a number within 0..10", repr(text[:40]))


def _count(argument: str, text: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text[:10]) == int(text):
        return int(text)
    raise ArgumentError(argument, "must be a positive integer", repr(text[:40]))


def _flag(argument: str, text: str) -> bool:
    if text not in ("", "yes", "no"):
        raise ArgumentError(argument, "must be yes or no", repr(text[:40]))
    return text != "no"


Parser = Callable[[str, str], Any]


@dataclass(frozen=True)
class Kind:
    """A kind of sink.

    Attributes:
        module: Module below `trt_mogface.video.sinks`, imported when it is needed.
        maker: Class in it.
        target: Meaning of the text behind the colon.
        options: Parser of each option; a flag may stand without a value.
        rotates: Whether there are files to end (``segment``) and to delete (``keep``).
    """

    module: str
    maker: str
    target: str
    options: dict[str, Parser] = field(default_factory=dict)
    rotates: tuple[str, ...] = ("segment", "keep")

    @property
    def known(self) -> dict[str, Parser]:
        """Parser of each option, with those of the rotation."""
        return self.options | dict.fromkeys(self.rotates, parse_duration)


KINDS = {
    "jsonl": Kind("jsonl", "JsonLinesSink", "FILE"),
    "csv": Kind("csv", "CsvSink", "FILE"),
    "parquet": Kind("parquet", "ParquetSink", "DIR", {"rows": _count}),
    "mot": Kind("mot", "MotSink", "DIR"),
    "crops": Kind("crops", "CropsSink", "DIR", {"aligned": _flag, "margin": _share}, ("keep",)),
    "mp4": Kind("mp4", "Mp4Sink", "DIR", {"draw": _flag}),
    "prometheus": Kind("prometheus", "PrometheusSink", "PORT", {}, ()),
}
"""Kinds of sinks by name."""

STDOUT = "-"


@dataclass(frozen=True)
class Specification:
    """A sink that can be opened.

    Attributes:
        text: The specification as it was given, for messages.
        kind: Key of `KINDS`.
        target: File, folder, port, or ``-`` for standard output.
        options: Values by name.
    """

    text: str
    kind: str
    target: str
    options: dict[str, Any]

    @property
    def rotation(self) -> Rotation:
        """Times of segments and deletion."""
        return Rotation(self.options.get("segment"), self.options.get("keep"))


def parse_sink(text: str, *, segment: float | None = None, keep: float | None = None) -> Specification:
    """Return the parts of a specification.

    Args:
        text: ``KIND:TARGET[,option=value]``.
        segment, keep: Seconds for sinks that have files to end or to delete, unless the text has its own.

    Raises:
        UsageError: If kind or option is unknown, the target is missing, or ``keep`` has nothing to delete.
        ArgumentError: If the value of an option is unusable.
    """
    kind, colon, rest = text.partition(":")
    if kind not in KINDS:
        raise UsageError(f"{text}: unknown sink {kind[:40]!r} (choose from {', '.join(KINDS)})")
    known, name = KINDS[kind].known, KINDS[kind].target
    target, *given = rest.split(",")
    if not colon or not target:
        raise UsageError(f"{text}: has no target; write {kind}:{name}")
    options = {key: value for key, value in (("segment", segment), ("keep", keep)) if key in known and value}
    if target == STDOUT:
        options.clear()
    for part in given:
        key, _, value = part.partition("=")
        if key not in known:
            choice = f"choose from {', '.join(sorted(known))}" if known else "it has no options"
            raise UsageError(f"{text}: unknown option {key[:40]!r} of the sink {kind} ({choice})")
        options[key] = known[key](f"{kind}:{target},{key}", value)
    if "keep" in options and "segment" in known and "segment" not in options and name == "FILE":
        raise UsageError(f"{text}: keep deletes whole files, but there is only one; add segment")
    if target == STDOUT and (kind != "jsonl" or options):
        raise UsageError(f"{text}: standard output takes jsonl:- without options; name a {name.lower()}")
    return Specification(text, kind, target, options)


def open_sinks(
    sinks: Iterable[str | Specification | Writable],
    *,
    segment: float | None = None,
    keep: float | None = None,
    blur: bool = False,
    track: bool = True,
    resume: bool = False,
) -> list[Sink]:
    """Open sinks, all or none.

    Args:
        sinks: Specifications, sinks that are open already, or objects with `write`, `flush` and `close`.
        segment: Seconds in a file, of sinks that have no such option of their own; None for one file.
        keep: Seconds after which files are deleted, likewise; None keeps all.
        blur: Whether the pictures are blurred, which refuses sinks that show faces.
        track: Whether faces have ids, which some sinks need.
        resume: Whether sinks may have records of an earlier run, which `Sink.cut` reduces.

    Raises:
        UsageError: If a specification is wrong, or two sinks have the same target.
        OutputError: If a sink cannot be opened.
        MissingExtraError: If a package of a sink is not installed.
    """
    opened: list[Sink] = []
    given = [
        parse_sink(each, segment=segment, keep=keep) if isinstance(each, str) else each for each in sinks
    ]
    _check([each for each in given if isinstance(each, Specification)], blur=blur, track=track)
    try:
        for each in given:
            if isinstance(each, Specification):
                opened.append(_open(each, blur=blur, resume=resume))
            else:
                opened.append(_adopt(each, opened))
    except BaseException:
        for sink in opened:
            with suppress(MogFaceError):
                sink.close()
        raise
    return opened


def _check(given: list[Specification], *, blur: bool, track: bool) -> None:
    seen: set[tuple[str, str]] = set()
    for each in given:
        group = each.kind if KINDS[each.kind].target != "FILE" else ""  # one folder may have several kinds
        place = group, os.path.realpath(each.target)
        if place in seen:
            raise UsageError(f"{each.text}: named for two sinks; give each a place of its own")
        seen.add(place)
        if blur and each.kind == "crops":
            raise UsageError(f"{each.text}: crops show the faces that blur hides; omit one of them")
        if not track and each.kind == "mot":
            raise UsageError(f"{each.text}: MOT files are lists of tracks; turn tracking on")


def _adopt(given: Writable, others: list[Sink]) -> Sink:
    """Return an object of the caller as a sink, with a name of its own; one that is a sink stays as it is."""
    if isinstance(given, Sink):
        return given
    sink, names = CustomSink(given), {other.name for other in others}
    first, number = sink.name, 2
    while sink.name in names:
        sink.name, number = f"{first}-{number}", number + 1
    return sink


def _open(given: Specification, *, blur: bool, resume: bool) -> Sink:
    kind = KINDS[given.kind]
    module = import_module(f"trt_mogface.video.sinks.{kind.module}")
    maker = module.StdoutSink if given.target == STDOUT else getattr(module, kind.maker)
    offered = {"rotation": given.rotation, "resume": resume, "blur": blur}
    accepted = inspect.signature(maker).parameters
    options = {key: value for key, value in given.options.items() if key not in kind.rotates}
    options |= {key: value for key, value in offered.items() if key in accepted}
    targets = () if given.target == STDOUT else (given.target,)
    sink: Sink = maker(given.text, *targets, **options)
    return sink
