"""Ground truth and predictions from other sources."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from trt_mogface.evaluation.wider_face import Annotated, read_ground_truth, read_subset


@pytest.fixture(scope="session")
def truth(test_data: Path) -> Sequence[Annotated]:
    """All 3,226 images of WIDER FACE's validation set."""
    return read_ground_truth(test_data / "gt")


@pytest.fixture(scope="session")
def subset(test_data: Path, truth: Sequence[Annotated]) -> Sequence[Annotated]:
    """The 244 images that the test data contains."""
    return read_subset(test_data / "wider_val_subset" / "annotations.json", truth)


@pytest.fixture(scope="session")
def yunet(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """YuNet's text files for all images."""
    folder = tmp_path_factory.mktemp("yunet")
    shutil.unpack_archive(test_data / "predictions" / "yunet_made_here.tar.gz", folder)
    return folder / "yunet_pred"
