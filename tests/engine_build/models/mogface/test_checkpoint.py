"""Checkpoints: the three file kinds load; everything else is refused in one line that says why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="checkpoints are read with torch")

import torch
from safetensors.torch import save_file

from engine_build import checkpoint
from engine_build.models.mogface import TRAINING_ONLY, network
from engine_build.models.registry import recipes
from trt_mogface.errors import CheckpointError


class Pickled:
    """Runs a command when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return network.mogface().state_dict()


def load_mogface(path: Path) -> torch.nn.Module:
    return checkpoint.load(network.mogface(), path, "mogface", TRAINING_ONLY)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_mogface(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_the_three_file_kinds_give_the_same_network(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "a.pt")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "b.pth")
    save_file(state, tmp_path / "c.safetensors")
    for name in ("a.pt", "b.pth", "c.safetensors"):
        loaded = load_mogface(tmp_path / name).state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in state.items()), name


def test_the_published_checkpoints_training_keys_are_known(mogface_reference: Any, tmp_path: Path) -> None:
    published = mogface_reference.MogFace().state_dict()
    assert any("dsfd_modules" in key for key in published)
    torch.save(published, tmp_path / "published.pt")
    load_mogface(tmp_path / "published.pt")


def test_missing_unexpected_and_misshapen_keys_are_listed(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    changed = dict(state)
    del changed["fpn.p2_lat.bias"]
    changed["fpn.dsfd_modules.9.weight"] = torch.zeros(1)
    changed["pred_net.pred_cls.weight"] = torch.zeros(2, 512, 3, 3)
    changed["backbone.conv1.weight"] = torch.full_like(state["backbone.conv1.weight"], torch.nan)
    torch.save(changed, tmp_path / "changed.pt")
    message = refusal(tmp_path / "changed.pt")
    for part in (
        "1 missing: fpn.p2_lat.bias",
        "1 unexpected: fpn.dsfd_modules.9.weight",
        "1 of another shape: pred_net.pred_cls.weight [2, 512, 3, 3] for [1, 512, 3, 3]",
        "1 not finite: backbone.conv1.weight",
        "weights of mogface, but damaged",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("retinaface_mobilenet0.25_Final_1MB.pth", "retinaface-mnet025-1mb"),
        ("ulfd_version-slim-640.pth", "ulfd-slim"),
        ("ulfd_version-RFB-320.pth", "ulfd-rfb"),
    ],
)
def test_real_weights_of_other_networks_are_named(test_data: Path, file: str, name: str) -> None:
    assert f"not the weights of mogface, but of {name}; keys" in refusal(test_data / "weights" / file)


NETWORKS = [name for name, recipe in recipes().items() if recipe.network is not None]


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_of_each_network_are_named_from_their_shapes(name: str) -> None:
    recipe = recipes()[name]
    assert recipe.network is not None
    with torch.device("meta"):
        state = recipe.network().state_dict()
    assert name in checkpoint.recognized(state, recipe.sha256)


def test_weights_of_no_known_network_are_said_to_be_so(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    assert "of an unknown network" in refusal(tmp_path / "other.pt")


def test_the_authors_files_have_further_keys(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    more = {
        f"pred_net.dsfd_{kind}.{part}": torch.zeros(1)
        for kind in ("loc", "conf")
        for part in ("weight", "bias")
    }
    torch.save({**state, **more}, tmp_path / "authors.pth")
    load_mogface(tmp_path / "authors.pth")


def test_a_weight_with_and_without_a_prefix_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1), "module.a": torch.ones(1)}, tmp_path / "twice.pt")
    assert "twice" in refusal(tmp_path / "twice.pt")


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"weight": torch.zeros(1), "x": Pickled(marker)}, tmp_path / "evil.pt")
    assert "pickled code" in refusal(tmp_path / "evil.pt")
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0", b"PK\x03\x04broken", b"\x80\x02."])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    refusal(path)


def test_truncated_checkpoint_is_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    for name, save in (("a.pt", torch.save), ("a.safetensors", save_file)):
        path = tmp_path / name
        save({"backbone.conv1.weight": state["backbone.conv1.weight"]}, path)
        path.write_bytes(path.read_bytes()[:-1000])
        refusal(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, torch.zeros(3)])
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError):
        checkpoint.read_state(tmp_path / "odd.pt")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nowhere.pt")
