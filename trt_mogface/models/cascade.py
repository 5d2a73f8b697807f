"""`CascadeManifest`: facts about a cascade, in ``cascade.json`` beside its three ONNX files.

A cascade of networks has no single contract file: it is a folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from trt_mogface import _json
from trt_mogface._files import sha256_of
from trt_mogface._text import read_text
from trt_mogface.errors import ModelError
from trt_mogface.spec import NAME, Origin, Thresholds

MANIFEST = "cascade.json"
FORMAT = 1

STAGES = ("pnet", "rnet", "onet")
"""Networks in the order in which they run: proposals, refinement, output."""


@dataclass(frozen=True)
class CascadeManifest:
    """Facts about a cascade.

    Attributes:
        name: Name of the model.
        thresholds: Thresholds of the last network.
        origin: Source and license of the weights.
        files: SHA-256 of each ONNX file by the name of its network, one of `STAGES`.
    """

    name: str
    thresholds: Thresholds
    origin: Origin
    files: dict[str, _json.Sha256]

    def to_json(self) -> str:
        """Return the manifest as JSON, which `load_cascade` reads back equal."""
        return json.dumps(_json.sealed({"format": FORMAT, **_json.dump(self)}), indent=1) + "\n"


def is_cascade_folder(path: str | Path) -> bool:
    """Return whether a path is that of a folder with a cascade's manifest."""
    return os.path.isfile(os.path.join(path, MANIFEST))  # noqa: PTH113, PTH118 -- impossible names too


def network_file(folder: Path, stage: str) -> Path:
    """Return the path of a network's ONNX file in a cascade's folder."""
    return folder / f"{stage}.onnx"


def load_cascade(folder: Path) -> CascadeManifest:
    """Read a cascade's manifest, which is untrusted input, and compare the networks with it.

    Raises:
        ModelError: If the manifest is unreadable, or a network is missing or not that of the manifest.
    """
    path = folder / MANIFEST
    try:
        manifest = _manifest(read_text(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ModelError(f"{path}: not the manifest of a cascade ({reason:.100}); export it again") from error
    for stage, digest in manifest.files.items():
        file = network_file(folder, stage)
        try:
            found = sha256_of(file)
        except OSError as error:
            raise ModelError(
                f"{file}: cannot be read ({error.strerror}); export the cascade again"
            ) from error
        if found != digest:
            raise ModelError(f"{file}: not the network of {MANIFEST}; export the cascade again")
    return manifest


def check_facts(name: str, networks: Collection[str], thresholds: Thresholds) -> None:
    """Check what the manifests of a cascade's files and of its engines share.

    Raises:
        ValueError: If the networks are not `STAGES`, or a name or threshold is impossible.
    """
    if set(networks) != set(STAGES):
        raise ValueError(f"the networks are not {', '.join(STAGES)}")
    if NAME.fullmatch(name) is None:
        raise ValueError("the name must be letters, digits, points and hyphens")
    if not all(0 <= share <= 1 for share in (thresholds.score_threshold, thresholds.iou_threshold)):
        raise ValueError("thresholds must lie within 0..1")
    if min(thresholds.top_k, thresholds.max_detections) < 1:
        raise ValueError("top_k and max_detections must be positive")


def _manifest(text: str) -> CascadeManifest:
    manifest, is_whole = _json.read_sealed(text, CascadeManifest, FORMAT)
    check_facts(manifest.name, manifest.files, manifest.thresholds)
    if not is_whole:
        raise ValueError("it was changed after it was written")
    return manifest
