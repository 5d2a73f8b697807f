"""TensorRT's two flavors, TensorRT 10.3 to 11 and TensorRT-RTX, behind the one API they share.

What has run where is in docs/engines.md.  Everything that differs between the flavors is in this file.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trt_mogface.errors import EngineError, MissingExtraError

FlavorName = Literal["tensorrt", "tensorrt-rtx"]

MODULES: dict[FlavorName, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}

OLDEST: dict[FlavorName, tuple[int, int]] = {"tensorrt": (10, 3), "tensorrt-rtx": (1, 0)}
NEWEST: dict[FlavorName, int] = {"tensorrt": 11, "tensorrt-rtx": 1}
"""Releases whose API is known; another major release has changed it before."""


@dataclass(frozen=True)
class Flavor:
    """An installed TensorRT.

    Attributes:
        name: Which of the two.
        version: As it names itself, e.g. ``10.3.0``.
        module: The Python module.
    """

    name: FlavorName
    version: str
    module: Any

    @property
    def is_rtx(self) -> bool:
        """Whether engines are compiled further on the machine that runs them, and need no GPU to build."""
        return self.name == "tensorrt-rtx"


def find_tensorrt(name: FlavorName | None = None) -> Flavor:
    """The installed TensorRT; of two, the full one unless the other is asked for.

    Raises:
        MissingExtraError: None is installed; the message says which package this machine needs.
        EngineError: A release this project does not know.
    """
    for candidate in (name,) if name else MODULES:
        try:
            module = importlib.import_module(MODULES[candidate])
        except ImportError:
            continue
        version = str(module.__version__)
        release = tuple(int(part) for part in version.split(".")[:2])
        if release < OLDEST[candidate] or release[0] > NEWEST[candidate]:
            first = ".".join(map(str, OLDEST[candidate]))
            raise EngineError(
                f"{candidate} {version} is installed; this release works with {first} to "
                f"{NEWEST[candidate]}.x: install one of those"
            )
        return Flavor(candidate, version, module)
    raise MissingExtraError(f"{name or 'TensorRT'} is not installed: {_advice(name)}")


def flavor_name(text: str) -> FlavorName:
    """A flavor's name, as given by a user or a manifest.

    Raises:
        EngineError: Neither of the two.
    """
    for name in MODULES:
        if text == name:
            return name
    raise EngineError(f"{text!r} is no TensorRT known here: use {' or '.join(MODULES)}")


def _advice(name: FlavorName | None) -> str:
    if name == "tensorrt-rtx":
        return "pip install 'trt-mogface[rtx]'"
    if Path("/etc/nv_tegra_release").exists():
        return (
            "on Jetson it comes with JetPack: sudo apt install python3-libnvinfer, and a virtual "
            "environment made with --system-site-packages"
        )
    full = (
        "pip install 'trt-mogface[tensorrt]' (data center GPUs; Jetson: sudo apt install python3-libnvinfer)"
    )
    return full if name else f"pip install 'trt-mogface[rtx]' (RTX GPUs; builds without a GPU too) or {full}"
