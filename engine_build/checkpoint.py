"""Trained weights of torch networks: read strictly, without running code from the file."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from engine_build.models.registry import cascades, recipes
from trt_mogface._files import sha256_of
from trt_mogface.errors import CheckpointError, first_line

Net = TypeVar("Net", bound=nn.Module)

CONTAINERS = ("state_dict", "model", "net", "model_state_dict")
"""Keys under which training code nests the weights."""

PREFIX = re.compile(r"^(?:detector\.)?(?:module\.)?")
"""Prefixes that wrappers of training code put in front of every key."""

COUNTER = r".*\.num_batches_tracked"
"""Pattern of the counters of batch normalization, which inference does not use."""

ENOUGH = 0.5
"""Share of common tensors, of all of both, from which a checkpoint is taken for that of a network."""

SHOWN = 6
"""Number of keys that a message lists."""


def load(network: Net, path: Path, name: str, unused: Sequence[str] = ()) -> Net:
    """Give a network the weights of a checkpoint, and return it in inference mode.

    Args:
        network: Network whose attributes have the names of the checkpoint's keys.
        path: A ``.pth``, ``.pt``, ``.bin`` or ``.safetensors`` file.
        name: Name of the model, for messages.
        unused: Patterns of keys that only training uses.

    Raises:
        CheckpointError: If the file is missing or damaged, or has pickled code or the weights of another
            network.  The message lists missing and unexpected keys, and names the model that they fit.
    """
    training = re.compile("|".join((*unused, COUNTER)))
    state = read_state(path)
    given = {key: value for key, value in state.items() if not training.fullmatch(key)}
    problems = differences(given, network)
    if problems:
        fitting = recognized(given, sha256_of(path))
        raise CheckpointError(f"{path}: {_verdict(name, fitting)}; keys {problems}")
    network.load_state_dict(given, strict=False)  # only counters are missing, see `differences`
    return network.eval()


def recognized(state: Mapping[str, Tensor], digest: str) -> list[str]:
    """Return the names of the models whose networks share most tensors, by name and shape, with a checkpoint.

    Several models can share one network; some are known by the file's `digest`.  The list is empty if no
    network shares half of the tensors.
    """
    given = {(key, value.shape) for key, value in state.items()}
    shares: dict[str, float] = {}
    known = recipes()
    for name, recipe in known.items():
        if recipe.network is not None and recipe.sha256 in ("", digest):
            with torch.device("meta"):
                wanted = recipe.network().state_dict()
            expected = {(k, v.shape) for k, v in wanted.items() if not re.fullmatch(COUNTER, k)}
            shares[name] = len(given & expected) / len(given | expected)
    best = max(shares.values(), default=0)
    names = [name for name, share in shares.items() if share == best and best > ENOUGH]
    of_cascades = [name for name, recipe in cascades().items() if recipe.fits(state)]
    return [name for name in names if known[name].sha256 == digest] or names or of_cascades


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint file by name, without the prefixes of wrappers.

    Raises:
        CheckpointError: If the file is missing or damaged, has pickled code, or is no collection of tensors.
    """
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
    state = {PREFIX.sub("", str(key), count=1): value for key, value in content.items()}
    if len(state) < len(content):
        raise CheckpointError(f"{path}: has some weights twice, with and without a prefix; save them once")
    return state


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


def _verdict(name: str, fitting: Sequence[str]) -> str:
    if name in fitting:
        return f"weights of {name}, but damaged"
    return f"not the weights of {name}, but of {' or '.join(fitting) or 'an unknown network'}"


def differences(state: Mapping[str, Tensor], network: nn.Module) -> str:
    """Return how the keys of weights differ from those of a network; empty if the weights fit."""
    wanted = {key: value for key, value in network.state_dict().items() if not re.fullmatch(COUNTER, key)}
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
    return "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in problems.items() if names)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
