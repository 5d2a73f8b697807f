"""MogFace with random weights as a contract file: the work does not depend on the weights."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mogface_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="MogFace is exported by torch")
    from engine_build import contract
    from engine_build.export import export_mogface
    from engine_build.mogface.network import MogFace
    from engine_build.mogface.spec import mogface_spec

    path = tmp_path_factory.mktemp("roofline") / "mogface.onnx"
    contract.save(export_mogface(MogFace().eval(), mogface_spec("0" * 64)), path)
    return path
