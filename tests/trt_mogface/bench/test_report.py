"""The report: as JSON, on a terminal and as a page."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import pytest
from rich.console import Console

from trt_mogface.bench.load import LoadResult
from trt_mogface.bench.measurement import Latency, Measurement, MeasureOptions
from trt_mogface.bench.report import SCHEMA, Report, show
from trt_mogface.bench.report_page import report_page
from trt_mogface.bench.trials import LoadRow, Row
from trt_mogface.machine.sensors import Readings

LATENCY = Latency(1.5, 2.25, 2.0, 3.5, 4.5, 5.5, 6.5)
MEASURED = Measurement(1234, 3.0, 411.25, LATENCY)

REPORT = Report(
    command="trt-mogface bench --model '<b>.onnx'",
    started="2026-01-02T03:04:05+00:00",
    machine={"cpu": "A <fast> one", "cores": 2, "versions": {"numpy": "2.0"}, "commit": None},
    load_before=0.1,
    model=("mogface", "[b]<b>.onnx"),
    runs_on="the CPU",
    size=(640, 480),
    passes=[(640, 480)],
    threads=2,
    images="8 images of noise",
    options=MeasureOptions(),
    rows=[
        Row("network", "fp32", 8, MEASURED, Readings(process_memory_mb=321.0)),
        Row("memory", "fp32", 8, MEASURED, Readings(power_w=250.0), {"run": 1.25}, 77),
    ],
    load=[
        LoadRow("fp32", 8, 100.0, "constant", LoadResult(100.0, 99.5, 300, 7, 0, LATENCY, 0.1), Readings()),
        LoadRow("fp32", 8, 200.0, "constant", LoadResult(200.0, 0.0, 0, 600, 0, None, 0.1), Readings()),
    ],
    notes=["no roofline in fp8: <script>[b]no[/b]"],
)


def printed(width: int, report: Report = REPORT) -> str:
    text = io.StringIO()
    show(report, Console(file=text, width=width))
    return text.getvalue()


def test_json_has_a_schema_and_null_for_what_was_not_measured() -> None:
    read = json.loads(REPORT.to_json())
    assert read["schema"] == SCHEMA
    assert read["rows"][0]["measurement"]["latency"]["p99"] == 5.5
    assert read["rows"][0]["readings"]["power_w"] is None
    assert read["rows"][0]["faces"] is None
    assert read["load"][1]["result"]["latency"] is None
    assert read["rows"][1]["measurement"]["images_per_s"] == 411.25
    assert read["machine"]["commit"] is None


@pytest.mark.parametrize("width", [20, 80, 300])
def test_figures_are_whole_on_any_terminal(width: int) -> None:
    text = printed(width)
    for figure in ("411.25", "2.25", "1234", "99.50", "600"):
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d])", text), figure


def test_options_and_the_differences_to_trtexec_are_printed() -> None:
    text = " ".join(printed(80).split())
    assert "warm-up 200 ms, at least 3 s and 10 runs" in text
    assert "trtexec 10 and 11" in text
    assert "commit unknown" in text


def test_further_passes_are_printed() -> None:
    assert "passes" not in printed(200)
    report = dataclasses.replace(REPORT, passes=[(640, 480), (224, 192), (96, 64)])
    assert "3 passes over an image, further ones at 224x192 and 96x64" in printed(200, report)


def test_a_machine_that_was_not_idle_is_printed() -> None:
    busy = dataclasses.replace(REPORT, load_before=3.2)
    assert "load average 3.2, 2 cores" in printed(300, busy)
    assert "not idle" not in printed(300)
    assert json.loads(busy.to_json())["load_before"] == 3.2


def test_markup_is_printed_as_it_is() -> None:
    assert "<script>[b]no[/b]" in printed(300)


def test_readings_that_are_missing_are_not_printed() -> None:
    text = printed(300)
    assert "power 250 W" in text
    assert "None" not in text
    assert "clock" not in text


def test_the_page_has_plots_and_escapes_all_text() -> None:
    html = report_page(REPORT)
    assert html.count("<svg") == 2
    assert "<script>[b]" not in html
    assert "&lt;script&gt;[b]no[/b]" in html
    assert "A <fast> one" not in html
    assert "A &lt;fast&gt; one" in html
    assert "<b>.onnx" not in html
    assert "411.25" in html


def test_a_page_without_measurements_has_no_plots() -> None:
    html = report_page(dataclasses.replace(REPORT, rows=[], load=[]))
    assert "<svg" not in html
