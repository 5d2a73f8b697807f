"""Weights of MTCNN: a folder of three files, read strictly and without running their pickles."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.specs import one_line
from trt_mogface.errors import CheckpointError
from trt_mogface.models.files import model_path

torch = pytest.importorskip("torch", reason="the networks need torch")

from engine_build.models import mtcnn  # noqa: E402
from engine_build.models.mtcnn.weights import NETWORKS, load, read_arrays  # noqa: E402
from engine_build.models.registry import recipes  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with random weights under the published keys."""
    for stage, network in NETWORKS.items():
        save(tmp_path / f"{stage}.npy", state_of(network))
    return tmp_path


def state_of(network: Any) -> dict[str, Any]:
    return {name: value.numpy() for name, value in network().state_dict().items()}


def save(path: Path, state: object) -> None:
    np.save(path, state, allow_pickle=True)  # type: ignore[arg-type]


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        load(mtcnn.weight_files(folder))
    return one_line(error.value)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_what_numpy_reads(tmp_path: Path, protocol: int) -> None:
    state = {"a.weight": np.arange(6, dtype=">f4").reshape(2, 3), "b": np.ones((2, 2), "f8", order="F")}
    path = tmp_path / "w.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        held: Any = np.empty((), object)
        held[()] = OrderedDict(state)
        pickle.dump(held, file, protocol=protocol)
    expected, found = np.load(path, allow_pickle=True)[()], read_arrays(path)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == np.float32


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_runs_no_pickled_code(folder: Path) -> None:
    target = folder / "made"
    save(folder / "pnet.npy", {**state_of(NETWORKS["pnet"]), "conv4_1.bias": Evil(target)})
    assert "has pickled code, posix.mkdir" in refused(folder)
    assert not target.exists()
    np.load(folder / "pnet.npy", allow_pickle=True)  # the file is as harmful as it should be
    assert target.exists()


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3),
        np.array(["a"]),
        np.array([[1.0], None], object),
        [1.0],
        "text",
    ],
    ids=["integers", "texts", "objects", "list", "text"],
)
def test_refuses_other_values(folder: Path, value: object) -> None:
    save(folder / "rnet.npy", {**state_of(NETWORKS["rnet"]), "conv5_1.bias": value})
    assert "rnet.npy: damaged, or not a dictionary of arrays" in refused(folder)


def test_refuses_damaged_files(folder: Path) -> None:
    path = folder / "onet.npy"
    whole = path.read_bytes()
    numbers = np.random.default_rng(0)
    for size in numbers.integers(0, 2000, 40):
        path.write_bytes(whole[:size])
        assert "onet.npy: damaged" in refused(folder)
    for at in numbers.integers(0, 3000, 60):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        try:
            read_arrays(path)
        except CheckpointError as error:
            one_line(error)
    np.save(path, np.zeros(3))
    assert "not a dictionary" in refused(folder)


def test_lists_all_that_differs_in_one_line(folder: Path) -> None:
    pnet, rnet = (state_of(NETWORKS[stage]) for stage in ("pnet", "rnet"))
    del pnet["conv4_1.bias"]
    pnet["features.conv1.weight"] = np.zeros((10, 3, 5, 5), np.float32)
    rnet["extra"] = np.zeros(1, np.float32)
    rnet["features.conv4.bias"][3] = np.nan
    save(folder / "pnet.npy", pnet)
    save(folder / "rnet.npy", rnet)
    text = refused(folder)
    assert "pnet.npy: 1 missing: conv4_1.bias; 1 of another shape: features.conv1.weight" in text
    assert "rnet.npy: 1 unexpected: extra; 1 not finite: features.conv4.bias" in text
    assert "onet.npy" not in text


def test_names_the_files_it_wants(folder: Path) -> None:
    (folder / "rnet.pt").write_bytes(b"")
    assert "both files for rnet" in refused(folder)
    (folder / "rnet.pt").unlink()
    (folder / "rnet.npy").unlink()
    assert "no file for rnet" in refused(folder)
    assert "not a folder" in refused(folder / "pnet.npy")
    torch.save({"weight": torch.zeros(2)}, folder / "rnet.pt")
    assert "rnet.pt: 16 missing" in refused(folder)


def test_weights_of_others_are_named(folder: Path, tmp_path: Path) -> None:
    onet = {name: torch.from_numpy(value) for name, value in state_of(NETWORKS["onet"]).items()}
    torch.save(onet, tmp_path / "net.pt")
    with pytest.raises(CheckpointError) as error:
        model_path("retinaface-r50", weights=tmp_path / "net.pt")
    assert "but of mtcnn" in one_line(error.value)
    (folder / "pnet.npy").unlink()
    other = recipes()["retinaface-r50"].network
    assert other is not None
    torch.save(other().state_dict(), folder / "pnet.pt")
    assert "pnet.pt: weights of retinaface-r50, " in refused(folder)
    (folder / "pnet.pt").unlink()
    torch.save(onet, folder / "pnet.pt")
    assert "pnet.pt: weights of mtcnn, " in refused(folder)
