"""Strict reading of trained MogFace weights, which never runs code from the file."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from engine_build.models.mogface.network import MogFace
from trt_mogface.errors import CheckpointError, first_line

TRAINING_ONLY = (
    r"fpn\.dsfd_modules\.[0-5]\.(weight|bias)",  # feeds a training loss
    r"pred_net\.deep_(cls|loc)_head\.conv[234]\.(weight|bias)",  # the published head reuses its conv1
    r".*\.num_batches_tracked",  # a counter of batch normalization
)
"""Patterns of keys of the published checkpoint that inference does not use."""

CONTAINERS = ("state_dict", "model", "net", "model_state_dict")
"""Keys under which training code nests the weights."""

SHOWN = 6
"""Number of keys that a message lists."""


def load_mogface(path: Path) -> MogFace:
    """Return the network with the weights of a checkpoint, in inference mode.

    Args:
        path: ModelScope's ``pytorch_model.pt``, the authors' ``.pth``, or a ``.safetensors`` file; a
            ``module.`` prefix and a ``state_dict`` around the weights are removed.

    Raises:
        CheckpointError: If the file is missing or damaged, or has pickled code or the weights of another
            network.  The message lists missing and unexpected keys, and guesses which network they are of.
    """
    training = re.compile("|".join(TRAINING_ONLY))
    state = {name: value for name, value in read_state(path).items() if not training.fullmatch(name)}
    network = MogFace()
    wanted = {k: v for k, v in network.state_dict().items() if not k.endswith(".num_batches_tracked")}
    _check(path, state, wanted)
    network.load_state_dict(state, strict=False)  # only num_batches_tracked is missing, see _check
    return network.eval()


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint file by name, without ``module.`` prefixes."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; pass the downloaded checkpoint as weights")
    content = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    for name in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path}: contains a {type(content).__name__}, not named weights")
    odd = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        raise CheckpointError(f"{path}: entries that are not tensors: {_some(odd)}")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def looks_like(keys: Iterable[str]) -> str:
    """Return a guess, for error messages, of the network that the keys belong to."""
    names = list(keys)
    if any(name.startswith("body.stage1") for name in names):
        return "RetinaFace MobileNet-0.25"
    if any(name.startswith("body.layer") for name in names):
        return "RetinaFace ResNet-50"
    if any(name.startswith(("base_net.", "classification_headers.")) for name in names):
        return "ULFD (Ultra-Light-Fast)"
    if not any(name.startswith("backbone.layer3.") for name in names):
        return "an unknown network"
    return _mogface_variant(names)


def _mogface_variant(names: list[str]) -> str:
    blocks = {int(m.group(1)) for n in names if (m := re.match(r"backbone\.layer3\.(\d+)\.", n))}
    depth = {5: "ResNet-50", 22: "ResNet-101", 35: "ResNet-152"}.get(max(blocks), "an unknown ResNet")
    if depth == "ResNet-152":
        return "MogFace-E (ResNet-152)"
    if depth == "ResNet-50":
        has_context = any("context" in name or "cpm" in name.lower() for name in names)
        variant = "MogFace HCAM" if has_context else "MogFace Baseline, Ali-AMS or SSE"
        return f"{variant} (ResNet-50)"
    deep = any(name.startswith("pred_net.deep_cls_head.") for name in names)
    return f"MogFace on {depth}" + ("" if deep else " without its deep head")


def _read_torch(path: Path) -> object:
    try:
        # weights_only keeps a pickle from running code.
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or one with pickled code beside its tensors; "
            "save its state_dict, or convert it to .safetensors"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything, IndexError among them
        raise CheckpointError(f"{path}: damaged or not a PyTorch checkpoint ({first_line(error)})") from error


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged or not a safetensors file ({first_line(error)})") from error


def _check(path: Path, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    common = sorted(wanted.keys() & state.keys())
    shapes = {name: (list(state[name].shape), list(wanted[name].shape)) for name in common}
    problems = {
        "missing": sorted(wanted.keys() - state.keys()),
        "unexpected": sorted(state.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {has} for {want}" for name, (has, want) in shapes.items() if has != want
        ],
        "not finite": [name for name in common if not torch.isfinite(state[name].float()).all()],
    }
    found = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in problems.items() if names)
    if found:
        raise CheckpointError(
            f"{path}: not MogFace ResNet-101, but looks like {looks_like(state)}; keys {found}"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
