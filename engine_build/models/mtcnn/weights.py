"""Trained weights of MTCNN: three files, PyTorch's or pickled dictionaries of numpy arrays."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine_build import checkpoint
from engine_build.models.mtcnn.network import ONet, PNet, RNet, Stage
from trt_mogface.errors import CheckpointError, first_line

NETWORKS: dict[str, type[Stage]] = {"pnet": PNet, "rnet": RNet, "onet": ONet}

LAYER = re.compile(r"(?:conv|prelu|dense)[1-6](?:_[1-3])?")
"""Form of the names of layers in facenet-pytorch."""

DENSE = {"dense4": (64, 3, 3), "dense5": (128, 3, 3)}
"""Channels, rows and columns of the maps in front of the dense layers of facenet-pytorch."""

RENAMED = {
    "rnet": {"dense4": "conv4", "dense5_1": "conv5_1", "dense5_2": "conv5_2"},
    "onet": {"dense5": "conv5", "dense6_1": "conv6_1", "dense6_2": "conv6_2", "dense6_3": "conv6_3"},
}
"""Layers that facenet-pytorch names otherwise."""

MAX_BYTES = 1 << 26
"""Largest file of arrays; the published ones have 1.6 MB."""


def load(files: Mapping[str, Path]) -> dict[str, Stage]:
    """Return the networks with the weights of their files, in inference mode.

    Raises:
        CheckpointError: If files are damaged, have pickled code, or do not fit; the message lists the keys.
    """
    networks = {stage: NETWORKS[stage]() for stage in files}
    states = {stage: read(path, stage) for stage, path in files.items()}
    problems = {stage: checkpoint.differences(states[stage], networks[stage]) for stage in files}
    wrong = [
        f"{files[stage].name}: {_named(states[stage])}{problem}"
        for stage, problem in problems.items()
        if problem
    ]
    if wrong:
        folder = next(iter(files.values())).parent
        raise CheckpointError(f"{folder}: not the weights of mtcnn; {'; '.join(wrong)}")
    for stage, network in networks.items():
        network.load_state_dict(states[stage])
        network.eval()
    return networks


def _named(state: Mapping[str, Tensor]) -> str:
    """Return the name of the model that weights belong to, for a message; empty for an unknown one."""
    names = checkpoint.recognized(state, "")
    return f"weights of {' or '.join(names)}, " if names else ""


def read(path: Path, stage: str) -> dict[str, Tensor]:
    """Return the weights of a network by the keys of `engine_build.models.mtcnn.network`.

    Raises:
        CheckpointError: If the file is damaged, or has pickled code.
    """
    if path.suffix == ".npy":
        return {name: torch.from_numpy(array) for name, array in read_arrays(path).items()}
    return _in_our_layout(checkpoint.read_state(path), stage)


def fits(state: Mapping[str, Tensor]) -> bool:
    """Return whether tensors are the weights of one of the networks, in either layout."""
    return any(
        not checkpoint.differences(_in_our_layout(state, stage), network())
        for stage, network in NETWORKS.items()
    )


def _in_our_layout(state: Mapping[str, Tensor], stage: str) -> dict[str, Tensor]:
    if any(name.startswith("features.") for name in state):
        return dict(state)
    return dict(_renamed(name, value, stage) for name, value in state.items())


def _renamed(key: str, value: Tensor, stage: str) -> tuple[str, Tensor]:
    """Return a weight of facenet-pytorch under ModelScope's key, and in its order of inputs."""
    layer, _, kind = key.rpartition(".")
    if not LAYER.fullmatch(layer):  # of another network
        return key, value
    maps = DENSE.get(layer)
    if maps and kind == "weight" and value.ndim == 2 and value.shape[1] == math.prod(maps):
        channels, rows, columns = maps
        # It flattens columns, rows, channels; ModelScope's network flattens channels, columns, rows.
        value = value.reshape(-1, columns, rows, channels).permute(0, 3, 1, 2).flatten(1)
    name = RENAMED.get(stage, {}).get(layer, layer)
    heads = ("conv4_", "conv5_", "conv6_")
    return f"{name if name.startswith(heads) else f'features.{name}'}.{kind}", value


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a pickled dictionary in a ``.npy`` file, without running code of the file.

    Raises:
        CheckpointError: If the file is damaged, or has anything but arrays of numbers.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path}: larger than {MAX_BYTES >> 20} MB, so not the weights of mtcnn")
        with open(path, "rb") as file:
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }
            shape, _, dtype = read_header[np.lib.format.read_magic(file)](file)
            if dtype != np.dtype(object) or shape:
                raise ValueError(f"an array of {dtype}, not a dictionary")
            held = _Unpickler(file).load()
        (named,) = held.state[4]
        return {_text(name): _array(value) for name, value in named.items()}
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        reason = first_line(error)
        raise CheckpointError(f"{path}: damaged, or not a dictionary of arrays ({reason:.120})") from error


class _Dtype:
    """Stand-in for `numpy.dtype` in a pickle: keeps the arguments and the state."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Stand-in for `numpy.ndarray` in a pickle: keeps the state, which is checked before it is used."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Unpickler of arrays and plain containers, for which it needs no code of others."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return _Dtype
        if (module, name) == ("numpy", "ndarray"):
            return _Array
        if (module, name) in (
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
        ):
            return lambda *_: _Array()
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if (module, name) == ("_codecs", "encode"):  # bytes, in protocol 2
            return lambda text, _: text.encode("latin1")
        raise pickle.UnpicklingError(f"has pickled code, {module}.{name}")


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise ValueError(f"a key is {type(name).__name__}, not text")
    return name


def _array(held: object) -> NDArray[np.float32]:
    if not isinstance(held, _Array):
        raise ValueError(f"a value is {type(held).__name__}, not an array")
    _, shape, dtype, fortran, data = held.state
    if not isinstance(dtype, _Dtype) or dtype.code not in ("f2", "f4", "f8") or dtype.order not in "<>=|":
        raise ValueError("an array is not of floats")
    values = np.frombuffer(data, np.dtype(f"{dtype.order}{dtype.code}"))
    array: NDArray[np.float32] = values.reshape(shape, order="F" if fortran else "C").astype("f4", order="C")
    return array
