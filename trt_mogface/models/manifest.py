"""`Manifest`: facts about an engine, in ``NAME.engine.json`` beside the plan ``NAME.engine``.

The plan stays a plain TensorRT plan, which trtexec and Triton load as it is; its manifest is checked before
TensorRT reads the plan's bytes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

import msgspec

from trt_mogface import _json
from trt_mogface._files import sha256_of
from trt_mogface._text import read_text
from trt_mogface.errors import EngineError, ModelError
from trt_mogface.machine.gpu import Gpu
from trt_mogface.machine.tensorrt import Flavor, FlavorName
from trt_mogface.models.precision import Precision
from trt_mogface.spec import DetectorSpec

FORMAT = 4

Positive = Annotated[int, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Duration = Annotated[float, msgspec.Meta(ge=0)]

ENGINES = frozenset({".engine", ".plan", ".trt"})
"""Suffixes of engines."""

UNVERIFIED = "unverified"
"""Type of a layer that TensorRT does not describe, e.g. because of dynamic shapes."""

Shape = tuple[int, int, int]
"""Batch, height, width of a network input."""


class Profile(NamedTuple):
    """Range of input shapes that an engine accepts, and the shape that it is tuned for."""

    min: Shape
    opt: Shape
    max: Shape

    def holds(self, shape: Shape) -> bool:
        """Return whether the profile accepts an input shape."""
        return all(low <= size <= high for low, size, high in zip(self.min, shape, self.max))

    def __str__(self) -> str:
        shapes = ["x".join(map(str, shape)) for shape in self]
        return shapes[0] if len(set(shapes)) == 1 else ":".join(shapes)


class Layer(NamedTuple):
    """Layer of an engine: name, kind as TensorRT calls it, and data type that it reads.

    The type is empty for a layer without inputs, and `UNVERIFIED` if TensorRT does not describe it.
    """

    name: str
    kind: str
    type: str


class EngineTarget:
    """Facts about the TensorRT and the GPU that run an engine; see `Manifest` for the attributes."""

    flavor: FlavorName
    tensorrt: str
    version_compatible: bool
    gpu: str
    compute_capabilities: tuple[str, ...]
    command: str

    def check_runs_on(self, flavor: Flavor, gpu: Gpu | None, path: Path) -> None:
        """Check that a TensorRT and a GPU, None without one, can run the engine at `path`.

        Raises:
            EngineError: If they cannot; the message has the first mismatch and the command that rebuilds.
        """
        capability = "" if gpu is None else ".".join(map(str, gpu.capability))
        problem = None
        if flavor.name != self.flavor:
            problem = f"built for {self.flavor}, but this is {flavor.name}"
        elif not self._version_fits(flavor.version):
            problem = f"built with {self.flavor} {self.tensorrt}, but this is {flavor.version}"
        elif gpu is None:
            raise EngineError(f"{path}: needs an NVIDIA GPU, and none was found; install its driver")
        elif self.compute_capabilities and capability not in self.compute_capabilities:
            problem = f"built for {self.gpu}, but this is {gpu.name} of compute capability {capability}"
        if problem:
            raise EngineError(f"{path}: {problem}; rebuild it with: {self.command}")

    def _version_fits(self, version: str) -> bool:
        built, here = (_release(text) for text in (self.tensorrt, version))
        return built == here or (self.version_compatible and built[:1] == here[:1] and here >= built)


@dataclass(frozen=True)
class Manifest(EngineTarget):
    """Facts about an engine: contents, source, target and accuracy.

    Attributes:
        spec: Meaning of the network's outputs.
        end_to_end: Whether the engine returns faces instead of the contract's outputs.
        precision: Requested precision, e.g. ``int8``.
        multiply_adds: Share of the convolutions' multiply-adds by data type, in the parsed network.
        layers: Layers in execution order; empty if TensorRT does not describe them.
        profiles: Accepted input shapes.
        flavor, tensorrt: Name and version of the TensorRT that built the engine.
        version_compatible: Whether later releases of the same major version run the engine too.
        gpu: Target GPU in words.
        compute_capabilities: Target compute capabilities; empty if the engine is not bound to any.
        driver: CUDA version of the driver at build time; empty without one.
        onnx_sha256: Digest of the contract ONNX file, or of the weights it was made from.
        calibration: Calibration in one line; empty without one.
        sensitivity: Layers kept in FP16 in one line; empty if nothing was measured.
        accuracy: Agreement with FP32 in one line.
        plan_sha256, plan_bytes: Digest and size of the plan.
        inputs_sha256: Digest of everything that the build depends on; empty after a refit.
        command: Command that rebuilds the engine.
        built: Time of the build, UTC, ISO 8601.
        seconds: Duration of the build.
    """

    spec: DetectorSpec
    end_to_end: bool
    precision: Precision
    multiply_adds: dict[str, Share]
    layers: tuple[Layer, ...]
    profiles: tuple[Profile, ...]
    flavor: FlavorName
    tensorrt: str
    version_compatible: bool
    gpu: str
    compute_capabilities: tuple[str, ...]
    driver: str
    onnx_sha256: _json.Sha256
    calibration: str
    sensitivity: str
    accuracy: str
    plan_sha256: _json.Sha256
    plan_bytes: Positive
    inputs_sha256: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?\Z")]
    command: str
    built: str
    seconds: Duration

    def to_json(self) -> str:
        """Return readable JSON; `from_json` reads it back equal."""
        fields = {"format": FORMAT, **_json.dump(self), "spec": self.spec.to_dict()}
        return json.dumps(_json.sealed(fields), indent=1) + "\n"

    @staticmethod
    def from_json(text: str, path: Path) -> Manifest:
        """Read a manifest, which is untrusted input.  Formats 2 and 3 are upgraded.

        Raises:
            EngineError: If the text is not a manifest that this release reads.
        """
        try:
            fields = json.loads(text)
            version = fields["format"]
            if type(version) is not int:
                raise TypeError("the format is not an integer")
            if version not in (2, 3, FORMAT):
                raise EngineError(
                    f"{path}: manifest of another release of trt-mogface; build the engine again"
                )
            whole = version < FORMAT or _json.unseal(fields)  # releases before format 4 wrote no digest
            del fields["format"]
            if version == 2:
                fields["flavor"] = fields.pop("flavour")
            spec = DetectorSpec.from_dict(fields["spec"])
            manifest = _json.convert(fields | {"spec": _json.dump(spec)}, Manifest)
            if not manifest.profiles:
                raise ValueError("there is no profile")
            for profile in manifest.profiles:
                if not all(0 < low <= size <= high for low, size, high in zip(*profile)):
                    raise ValueError(f"profile {profile} is not from small to large")
            if not whole:
                raise ValueError("it was changed after it was written")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ModelError) as error:
            reason = " ".join(str(error).split())
            raise EngineError(f"{path}: not a manifest ({reason:.100}); build the engine again") from error
        return manifest

    def check_shape(self, shape: Shape, path: Path) -> int:
        """Return the index of the first profile that accepts an input shape; see `profile_of`."""
        return profile_of(self.profiles, shape, path)


def profile_of(profiles: Sequence[Profile], shape: Shape, path: Path) -> int:
    """Return the index of the first profile that accepts an input shape of the engine at `path`.

    Raises:
        EngineError: If no profile accepts it; the message lists them all.
    """
    for index, profile in enumerate(profiles):
        if profile.holds(shape):
            return index
    raise EngineError(
        f"{path}: input shape {'x'.join(map(str, shape))} (batch x height x width) is outside of "
        f"{', '.join(map(str, profiles))}; split the batch, scale the images, or use other shapes"
    )


CASCADE_MANIFEST = "cascade.engine.json"
"""Manifest of a folder with the engines of a cascade; see `trt_mogface.models.cascade_engine`."""


def is_engine(model: str | Path) -> bool:
    """Return whether a name is that of an engine, by its suffix or manifest, or a folder of a cascade's."""
    by_suffix = os.path.splitext(model)[1].lower() in ENGINES  # noqa: PTH122 -- impossible names too
    return by_suffix or os.path.isfile(f"{model}.json") or is_cascade_engine(model)  # noqa: PTH113


def is_cascade_engine(model: str | Path) -> bool:
    """Return whether a name is that of a folder with the engines of a cascade."""
    return os.path.isfile(os.path.join(model, CASCADE_MANIFEST))  # noqa: PTH113, PTH118 -- see above


def manifest_path(engine: Path) -> Path:
    """Return the path ``NAME.engine.json`` for ``NAME.engine``."""
    return engine.with_name(engine.name + ".json")


def load_manifest(engine: Path) -> Manifest:
    """Read an engine's manifest.

    Raises:
        EngineError: If it is missing or unreadable.
    """
    path = manifest_path(engine)
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise EngineError(
            f"{path}: manifest cannot be read ({reason}); copy it with its engine, or build the engine again"
        ) from error
    return Manifest.from_json(text, path)


def load_plan(engine: Path, manifest: Manifest) -> bytes:
    """Read an engine's plan after `check_plan`."""
    check_plan(engine, manifest)
    return engine.read_bytes()


class PlanFacts(Protocol):
    """Facts that a plan is compared with; see `Manifest` for the attributes."""

    @property
    def plan_sha256(self) -> str:
        """Digest of the plan."""

    @property
    def plan_bytes(self) -> int:
        """Size of the plan."""

    @property
    def command(self) -> str:
        """Command that rebuilds it."""


def check_plan(engine: Path, manifest: PlanFacts) -> None:
    """Check that a plan is the one that its manifest describes; it is read in pieces.

    Raises:
        EngineError: If the plan is missing, truncated, or not that of the manifest.
    """
    try:
        with open(engine, "rb") as file:
            size = file.seek(0, os.SEEK_END)
        digest = sha256_of(engine) if size == manifest.plan_bytes else ""
    except OSError as error:
        raise EngineError(f"{engine}: cannot be read ({error.strerror}); copy it again") from error
    if size < manifest.plan_bytes:
        problem = f"truncated ({size} bytes instead of {manifest.plan_bytes})"
    elif size > manifest.plan_bytes:
        problem = f"not the engine of its manifest ({size} bytes instead of {manifest.plan_bytes})"
    elif digest != manifest.plan_sha256:
        problem = "not the engine of its manifest (the contents differ)"
    else:
        return
    raise EngineError(f"{engine}: {problem}; copy both files again, or rebuild with: {manifest.command}")


def _release(version: str) -> list[int]:
    """Return the first three numbers of a version."""
    return [int(part) for part in re.findall(r"[0-9]{1,9}", version)[:3]]
