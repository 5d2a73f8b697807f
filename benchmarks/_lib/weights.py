"""Weights of every detector by name: trained ones where they are available, made-up ones elsewhere."""

from __future__ import annotations

from pathlib import Path

from engine_build.models.registry import recipes

TRAINED = {
    "retinaface-mnet025-1mb": "retinaface_mobilenet0.25_Final_1MB.pth",
    "scrfd-500m": "scrfd_500m_kps.onnx",
    "ulfd-rfb": "ulfd_version-RFB-640.pth",
    "ulfd-slim": "ulfd_version-slim-640.pth",
    "yunet": "yunet_n_dynamic.onnx",
    "yunet-s": "yunet_s_dynamic.onnx",
}
"""Files in the test data, by model."""


def weights_of(name: str, data: Path, folder: Path) -> Path | None:
    """Return the weights of a model; None if it is embedded, or has them in a package.

    Args:
        name: Name of the model.
        data: Folder of the test data.
        folder: Folder for a checkpoint of made-up weights.
    """
    recipe = recipes().get(name)
    if name in TRAINED:
        return data / "weights" / TRAINED[name]
    if recipe is None or recipe.network is None or recipe.card.embedded:
        return None
    import torch  # only made-up weights need it

    torch.manual_seed(0)
    path = folder / f"{name}.pt"
    torch.save(recipe.network().state_dict(), path)
    return path
