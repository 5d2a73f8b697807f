"""Report of an analysis as one HTML page with plots; its size does not grow with the number of records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from trt_mogface.reporting.html import Section, bullets, page, photo, photos, plot, plots, table
from trt_mogface.reporting.plots import SERIES, SOFT, Point, bars, bars_height, printable
from trt_mogface.video.report import CONFIDENCES, PER_OCTAVE, Bin, Crop, SourceReport, TrackSpan

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

PLOTTED = 12
"""Sources with plots: those with most faces."""

TOGETHER = 6
"""Sources in one plot, each with a color of its own."""

POINTS = 120
"""Points of a line, about."""

SHOWN_TRACKS = 120
"""Tracks in the timeline of a source: those seen most often."""

LISTED_TRACKS = 50
"""Rows in the table of tracks."""

LISTED_INCIDENTS = 500
"""Rows in the table of incidents."""

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
"""Distances of ticks in seconds."""

DAY = 86400

CROPS_TEXT = "Tracks with most sightings, each where it is seen best: by confidence, size and frontality."

LANE = 0.09
"""Height of a lane of a timeline in inches."""

Value = Callable[[Bin], "float | None"]


def report_page(
    sources: Mapping[str, SourceReport], problems: Sequence[str] = (), crops: Sequence[Crop] = ()
) -> str:
    """Return the page; needs Jinja2 and matplotlib.

    Args:
        sources: Reports by name.
        problems: What could not be read.
        crops: Best crops.
    """
    found = sorted(sources.values(), key=lambda source: -source.total.faces)
    plotted = found[:PLOTTED]
    sections = [Section(text=_note(found), parts=[_sources(sources.values())] if found else [])]
    sections += [Section("Problems", parts=[bullets(problems)])] if problems else []
    sections += _over_time("Faces over time", "faces in a frame", plotted, lambda each: _mean(each))
    sections += _tracks(plotted)
    sections += (
        [Section("Best crops", CROPS_TEXT, [photos([_crop(each) for each in crops])])] if crops else []
    )
    if any(each.total.faces for each in found):
        sections.append(Section("Sizes and confidences", parts=[_histograms(found)]))
    sections += _over_time("Dropped frames", "dropped frames", plotted, lambda each: each.dropped)
    sections += _over_time("Longest lag", "seconds", plotted, lambda each: each.lag)
    sections += _incidents(found)
    return page("Faces in videos", sections)


def _note(sources: Sequence[SourceReport]) -> str:
    if not sources:
        return "There are no records."
    return f"Plots show the {PLOTTED} sources with most faces." if len(sources) > PLOTTED else ""


def _sources(sources: Iterable[SourceReport]) -> Markup:
    head = ["source", "state", "frames", "faces", "faces/frame", "most", "tracks", "dropped", "corrupt"]
    head += ["losses", "longest lag s"]
    rows = []
    for each in sources:
        total, mean = each.total, _mean(each.total)
        counts = [total.most, len(each.tracks) + each.forgotten, total.dropped, each.corrupt]
        share, lag = ("" if value is None else f"{value:.2f}" for value in (mean, total.lag))
        row = [each.name, each.state or "unknown", str(total.frames), str(total.faces), share]
        rows.append([*row, *map(str, counts), str(each.events["lost"]), lag])
    return table("Sources", head, rows, total=_total(rows) if len(rows) > 1 else ())


def _total(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a last row with sums; cells of means and maxima are empty."""
    summed = {column: sum(int(row[column]) for row in rows) for column in (2, 3, 6, 7, 8, 9)}
    return ["all", *(str(summed.get(column, "")) for column in range(1, len(rows[0])))]


def _mean(each: Bin) -> float | None:
    return each.faces / each.frames if each.frames else None


def _over_time(heading: str, up: str, sources: Sequence[SourceReport], value: Value) -> list[Section]:
    """Return plots of a value over time, live sources apart from files; nothing if it is never positive."""
    figures = []
    for is_live in (True, False):
        alike = [each for each in sources if each.is_live == is_live]
        lines = {each.name: _line(each, value) for each in alike}
        lines = {name: points for name, points in lines.items() if any(y > 0 for _, y in points)}
        names = list(lines)
        for start in range(0, len(names), TOGETHER):
            shown = {name: lines[name] for name in names[start : start + TOGETHER]}
            number = f" ({start // TOGETHER + 1})" if len(names) > TOGETHER else ""
            caption = f"{heading}, {'cameras' if is_live else 'files'}{number}"
            draw = partial(_draw_lines, lines=shown, up=up, is_live=is_live)
            figures.append(plot(draw, caption, f"{caption}. {_peaks(shown)}."))
    return [Section(heading, parts=[plots(figures)])] if figures else []


def _line(source: SourceReport, value: Value) -> list[Point]:
    """Return the values of a source over time; where a loss separates two of them, NaN breaks the line."""
    series = source.series
    times = [time for time, _ in series.bins()]
    width = (times[-1] - times[0]) / POINTS if times else 0.0
    losses = [(begun + ended) / 2 for begun, ended in _losses(source)]
    points: list[Point] = []
    for time, each in series.bins(width):
        found = value(each)
        if found is None:
            continue
        if points and any(points[-1][0] < loss <= time for loss in losses):
            points.append((time, math.nan))
        points.append((time, found))
    return points


def _losses(source: SourceReport) -> Iterator[tuple[float, float]]:
    """Yield begin and end of each loss, on the axis of a live source."""
    begun = None
    for event in source.incidents:
        if event.event == "lost":
            begun = event.captured
        elif event.event == "reopened" and begun is not None:
            yield begun, event.captured
            begun = None
    if begun is not None and source.is_live:
        times = [time for time, _ in source.series.bins()]
        yield begun, max(times[-1] if times else begun, begun)


def _peaks(lines: Mapping[str, Sequence[Point]]) -> str:
    return "; ".join(
        f"{name}: at most {max(y for _, y in points if not math.isnan(y)):.4g}"
        for name, points in lines.items()
    )


def _draw_lines(axes: Axes, lines: Mapping[str, Sequence[Point]], up: str, is_live: bool) -> None:
    for name, points in lines.items():
        finite = sum(not math.isnan(y) for _, y in points)
        axes.plot(*zip(*points), label=printable(name), marker="." if finite < POINTS // 4 else "")
    axes.set_ylabel(up)
    axes.set_ylim(bottom=0)
    axes.grid()
    times = [x for points in lines.values() for x, _ in points]
    _time_axis(axes, min(times), max(times), is_live)


def _time_axis(axes: Axes, first: float, last: float, is_live: bool) -> None:
    """Label an axis with the time of day in UTC, or with the time in the file."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    span = max(last - first, 1.0)
    step = next((step for step in STEPS if span / step <= 5), DAY * math.ceil(span / DAY / 5))
    axes.set_xlim(first - 0.02 * span, last + 0.02 * span)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    if is_live:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: _clock(time, step, span)))
        axes.set_xlabel(f"UTC, from {_utc(first)}")
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: _elapsed(time)))
        axes.set_xlabel("time in the file, minutes:seconds")


def _clock(time: float, step: float, span: float) -> str:
    moment = datetime.fromtimestamp(time, timezone.utc)
    if step >= DAY:
        return f"{moment:%m-%d}"
    if span >= DAY:
        return f"{moment:%m-%d\n%H:%M}"
    return f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"


def _utc(time: float) -> str:
    return f"{datetime.fromtimestamp(time, timezone.utc):%Y-%m-%d %H:%M:%S}"


def _elapsed(time: float) -> str:
    sign, seconds = "-" if time < 0 else "", round(abs(time))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{sign}{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{sign}{minutes}:{seconds % 60:02}"


def _tracks(sources: Sequence[SourceReport]) -> list[Section]:
    tracked = [each for each in sources if each.tracks]
    if not tracked:
        return []
    rows = [(source, track) for source in tracked for track in source.tracks.values()]
    rows.sort(key=lambda row: -row[1].faces)
    text = "A bar is a face from its first to its last sighting; gray marks a lost source."
    parts = [plots([_timeline(each) for each in tracked])]
    head = ["source", "track", "faces", "first", "last", "seconds", "best confidence", "largest px"]
    longest = [_track_row(*row) for row in rows[:LISTED_TRACKS]]
    caption = "Tracks" if len(rows) <= LISTED_TRACKS else f"The {LISTED_TRACKS} tracks with most sightings"
    return [Section("Tracks", text, [*parts, table(caption, head, longest)])]


def _track_row(source: SourceReport, track: TrackSpan) -> list[str]:
    first, last = source.moment(track.first), source.moment(track.last)
    show = _utc if source.is_live else _elapsed
    figures = [f"{last - first:.1f}", f"{track.confidence:.3f}", f"{track.size:.0f}"]
    return [source.name, str(track.number), str(track.faces), show(first), show(last), *figures]


def _timeline(source: SourceReport) -> Markup:
    longest = sorted(source.tracks.values(), key=lambda track: -track.faces)[:SHOWN_TRACKS]
    spans = [(source.moment(track.first), source.moment(track.last), track.number) for track in longest]
    lanes = _lanes(spans)
    number = len(source.tracks) + source.forgotten
    what = f"{number} tracks" if number <= len(longest) else f"{len(longest)} of {number} tracks"
    caption = f"{source.name}: {what}"
    draw = partial(_draw_timeline, lanes=lanes, losses=list(_losses(source)), is_live=source.is_live)
    return plot(draw, caption, f"Timeline of {caption}; the table has them.", 0.8 + LANE * len(lanes))


def _lanes(spans: Iterable[tuple[float, float, int]]) -> list[list[tuple[float, float, int]]]:
    """Put spans into as few rows as possible, in which none overlaps another."""
    lanes: list[list[tuple[float, float, int]]] = []
    for span in sorted(spans):
        lane = next((lane for lane in lanes if lane[-1][1] < span[0]), None)
        if lane is None:
            lanes.append([span])
        else:
            lane.append(span)
    return lanes


def _draw_timeline(
    axes: Axes,
    lanes: Sequence[Sequence[tuple[float, float, int]]],
    losses: Iterable[tuple[float, float]],
    is_live: bool,
) -> None:
    first = min(span[0] for lane in lanes for span in lane)
    last = max(span[1] for lane in lanes for span in lane)
    least = max(last - first, 1.0) / 200  # one sighting has no duration, and is to be seen
    for begun, ended in losses:
        axes.axvspan(begun, max(ended, begun + least), color=SOFT, alpha=0.3, linewidth=0)
    for place, lane in enumerate(lanes):
        extents = [(begun, max(ended - begun, least)) for begun, ended, _ in lane]
        colors = [SERIES[number % len(SERIES)] for *_, number in lane]
        axes.broken_barh(extents, (place, 0.7), facecolors=colors)
    axes.set_ylim(len(lanes), -0.3)
    axes.set_yticks([])
    axes.set_ylabel("tracks")
    axes.grid(axis="x")
    _time_axis(axes, first, last, is_live)


def _histograms(sources: Sequence[SourceReport]) -> Markup:
    sizes = sum((each.sizes for each in sources), Counter[int]())
    confidences = sum((each.confidences for each in sources), Counter[int]())
    zones = sum((each.zones for each in sources), Counter[str]())
    named = {
        "Faces by longer side": [(_pixels(number), sizes[number]) for number in _from_to(sizes)],
        "Faces by confidence": [
            (f"{number / CONFIDENCES:.2f}", confidences[number]) for number in _from_to(confidences)
        ],
        "Faces by zone": zones.most_common(2 * CONFIDENCES),
    }
    return plots([_counted(caption, rows) for caption, rows in named.items() if rows])


def _from_to(counts: Counter[int]) -> range:
    return range(min(counts), max(counts) + 1) if counts else range(0)


def _pixels(number: int) -> str:
    return f"{2 ** (number / PER_OCTAVE):.0f}-{2 ** ((number + 1) / PER_OCTAVE):.0f} px"


def _counted(caption: str, rows: Sequence[tuple[str, int]]) -> Markup:
    summary = f"{caption}: {'; '.join(f'{name}: {count}' for name, count in rows)}."
    return plot(partial(bars, values=rows, across="faces"), caption, summary, bars_height(len(rows)))


def _crop(crop: Crop) -> Markup:
    name = f"{crop.source}, track {crop.track.number}"
    return photo(crop.image, (), f"Face of {name}", f"{name}, {crop.track.faces} sightings")


def _incidents(sources: Sequence[SourceReport]) -> list[Section]:
    found = sorted((event for each in sources for event in each.incidents), key=lambda event: event.captured)
    if not found:
        return []
    rows = [
        [_utc(event.captured), event.source, event.event, str(event.count or ""), event.message]
        for event in found[:LISTED_INCIDENTS]
    ]
    number = sum(sum(each.events[name] for name in ("lost", "failed", "corrupt")) for each in sources)
    text = f"{number} losses, failures and damages" if len(rows) == len(found) else f"The first {len(rows)}"
    return [
        Section(
            "Incidents", f"{text}.", [table("Incidents", ["UTC", "source", "event", "count", "what"], rows)]
        )
    ]
