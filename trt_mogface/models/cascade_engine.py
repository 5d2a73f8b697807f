"""`CascadeEngine`: facts about a cascade's engines, in ``cascade.engine.json`` beside the three plans."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from trt_mogface import _json
from trt_mogface._text import read_text
from trt_mogface.errors import EngineError
from trt_mogface.machine.tensorrt import FlavorName
from trt_mogface.models.cascade import STAGES, check_facts
from trt_mogface.models.manifest import (
    CASCADE_MANIFEST,
    Duration,
    EngineTarget,
    Layer,
    Positive,
    Profile,
    Shape,
    Share,
    check_plan,
    profile_of,
)
from trt_mogface.models.precision import Precision
from trt_mogface.spec import Origin, Thresholds

FORMAT = 1


@dataclass(frozen=True)
class NetworkEngine:
    """Facts about the engine of one network.

    Attributes:
        profile: Accepted input shapes.
        multiply_adds, layers: See `trt_mogface.models.manifest.Manifest`.
        onnx_sha256: Digest of the ONNX file.
        plan_sha256, plan_bytes: Digest and size of the plan.
    """

    profile: Profile
    multiply_adds: dict[str, Share]
    layers: tuple[Layer, ...]
    onnx_sha256: _json.Sha256
    plan_sha256: _json.Sha256
    plan_bytes: Positive


@dataclass(frozen=True)
class CascadeEngine(EngineTarget):
    """Facts about the engines of a cascade.

    Attributes:
        name: Name of the model.
        thresholds: Thresholds of the last network.
        origin: Source and license of the weights.
        precision: Requested precision.
        profile: Accepted sizes of images, as batch, height and width.
        networks: Facts about each engine by the name of its network, one of `STAGES`.
        inputs_sha256: Digest of everything that the build depends on.
        accuracy: Agreement with FP32 in one line.
        built: Time of the build, UTC, ISO 8601.
        seconds: Duration of the build.

    The others are those of `trt_mogface.models.manifest.Manifest`.
    """

    name: str
    thresholds: Thresholds
    origin: Origin
    precision: Precision
    profile: Profile
    networks: dict[str, NetworkEngine]
    flavor: FlavorName
    tensorrt: str
    version_compatible: bool
    gpu: str
    compute_capabilities: tuple[str, ...]
    driver: str
    inputs_sha256: _json.Sha256
    accuracy: str
    command: str
    built: str
    seconds: Duration

    def plan(self, stage: str) -> CascadePlan:
        """Return the facts about one plan that loading it needs."""
        network = self.networks[stage]
        return CascadePlan(
            (network.profile,),
            self.version_compatible,
            self.command,
            network.plan_sha256,
            network.plan_bytes,
        )

    def to_json(self) -> str:
        """Return the manifest as JSON, which `load_cascade_engine` reads back equal."""
        return json.dumps(_json.sealed({"format": FORMAT, **_json.dump(self)}), indent=1) + "\n"


@dataclass(frozen=True)
class CascadePlan:
    """Facts about one plan of a cascade; see `trt_mogface.models.manifest.Manifest` for the attributes."""

    profiles: tuple[Profile, ...]
    version_compatible: bool
    command: str
    plan_sha256: str
    plan_bytes: int

    def check_shape(self, shape: Shape, path: Path) -> int:
        """Return the index of the first profile that accepts an input shape; see `profile_of`."""
        return profile_of(self.profiles, shape, path)


def plan_file(folder: Path, stage: str) -> Path:
    """Return the path of a network's plan in the folder of a cascade."""
    return folder / f"{stage}.engine"


def load_cascade_engine(folder: Path) -> CascadeEngine:
    """Read the manifest of a cascade's engines, which is untrusted input.

    Raises:
        EngineError: If the manifest is missing or unreadable.
    """
    path = folder / CASCADE_MANIFEST
    try:
        found, is_whole = _json.read_sealed(read_text(path), CascadeEngine, FORMAT)
        _check(found)
        if not is_whole:
            raise ValueError("it was changed after it was written")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        problem = f"not the manifest of a cascade's engines ({reason:.100})"
        raise EngineError(f"{path}: {problem}; build the engines again") from error
    return found


def check_plans(folder: Path, manifest: CascadeEngine) -> None:
    """Check that the plans are those of their manifest; see `check_plan`.

    Raises:
        EngineError: If one is missing, truncated, or another one.
    """
    for stage in STAGES:
        check_plan(plan_file(folder, stage), manifest.plan(stage))


def _check(found: CascadeEngine) -> None:
    check_facts(found.name, found.networks, found.thresholds)
    for profile in (found.profile, *(network.profile for network in found.networks.values())):
        if not all(0 < low <= size <= high for low, size, high in zip(*profile)):
            raise ValueError(f"profile {profile} is not from small to large")
