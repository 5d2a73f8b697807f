"""Weights that are the same wherever they are made, for comparing with outputs recorded elsewhere."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn


def made_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a state for a network: each tensor depends only on its name and shape."""
    import torch

    state = {}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(value.shape))
        if value.ndim == 4:
            made = normal * np.sqrt(2 / np.prod(value.shape[1:]))
        elif name.endswith("running_var"):
            made = 1 + np.abs(normal)
        else:
            made = 0.1 * normal + (1 if name.endswith("weight") else 0)
        state[name] = torch.tensor(made, dtype=torch.float32)
    return state
