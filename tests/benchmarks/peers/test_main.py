"""``python -m benchmarks.peers``: results of a contest as a table and as JSON."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.peers import __main__ as module
from benchmarks.peers.contest import Standing
from tests.support.fakes import echo_network
from trt_mogface.reporting.tables import print_whole

OURS = Standing(
    "trt-mogface",
    "measured",
    does="network only",
    runs=9,
    images_per_s=88.5,
    min_per_s=80.0,
    max_per_s=90.0,
    median_ms=1.0,
    p99_ms=2.0,
    ratio=1.0,
)
BAD = Standing("bad", "failed", "ValueError: <script>[b]no[/b]")


@pytest.mark.parametrize("width", [20, 80, 300])
def test_figures_are_whole_and_reasons_are_no_markup_on_any_terminal(width: int) -> None:
    text = io.StringIO()
    print_whole(Console(file=text, width=width), module.table("batch 8", [OURS, BAD]))
    for figure in ("88.50", "80.00", "90.00", "1.00x"):
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d])", text.getvalue()), figure
    assert "ValueError: <script>[b]no[/b]" in text.getvalue()


def test_ratios_are_those_of_peers_with_figures() -> None:
    peer = Standing("onnxruntime", "measured", does="network only", ratio=1.5)
    assert module.ratios({8: [OURS, peer, BAD]}) == {("8", "onnxruntime", "network only"): 1.5}


def test_peers_run_beside_the_model_and_skipped_ones_have_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, path = echo_network(tmp_path / "echo.onnx"), tmp_path / "peers.json"
    arguments = ["--model", str(model), "--peers", "onnxruntime,retinaface,yunet,trtexec", "--batch", "1"]
    options = ["--size", "64x48", "--duration", "0.05", "--images", "none", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", ["peers", *arguments, *options])
    module.main()
    assert "onnxruntime" in capsys.readouterr().out
    rows = json.loads(path.read_text())["contests"]["1"]
    assert [(row["peer"], row["status"]) for row in rows] == [
        ("trt-mogface", "measured"),
        ("trt-mogface, network", "measured"),
        ("onnxruntime", "measured"),
        ("retinaface", "skipped"),
        ("yunet", "skipped"),
        ("trtexec", "skipped"),
    ]
    assert rows[2]["ratio"] > 0
    assert all(row["why"] and row["images_per_s"] is None for row in rows[3:])


@pytest.mark.parametrize("given", ["yunet", "yunet=/no/such.onnx", "yolo=/dev/null"])
def test_a_file_of_a_peer_must_exist_and_be_of_a_known_one(given: str) -> None:
    with pytest.raises(SystemExit, match="--peer-model"):
        module.peer_files([given])
