"""`Manifest`: an engine's passport, ``NAME.engine.json`` beside the plan ``NAME.engine``.

The plan stays a plain TensorRT plan, which trtexec and Triton load as it is; what they need not know is here,
and is checked before TensorRT sees the plan's bytes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from trt_mogface._files import sha256_of
from trt_mogface._untrusted import Fields
from trt_mogface.errors import EngineError, ModelError
from trt_mogface.machine.gpu import Gpu
from trt_mogface.machine.tensorrt import Flavor
from trt_mogface.spec import DetectorSpec

FORMAT = 2

ENGINES = frozenset({".engine", ".plan", ".trt"})
"""How names of engines end."""

Shape = tuple[int, int, int]
"""Pictures, height, width."""


class Profile(NamedTuple):
    """Network input shapes that an engine accepts, and the one it is tuned for."""

    min: Shape
    opt: Shape
    max: Shape

    def holds(self, shape: Shape) -> bool:
        """Whether the engine takes an input of this shape through this profile."""
        return all(low <= size <= high for low, size, high in zip(self.min, shape, self.max))

    def __str__(self) -> str:
        shapes = ["x".join(map(str, shape)) for shape in self]
        return shapes[0] if len(set(shapes)) == 1 else ":".join(shapes)


class Layer(NamedTuple):
    """A layer of an engine: its name, its kind in TensorRT's words, and the type it reads."""

    name: str
    kind: str
    type: str


@dataclass(frozen=True)
class Manifest:
    """What an engine is, from what, for what, and how good.

    Attributes:
        spec: How its outputs become faces, or became them in the engine.
        end_to_end: Whether its outputs are faces (`engine_build.onnx.end_to_end`), not the contract's.
        precision: What was asked for, e.g. ``int8``.
        multiply_adds: Share of the convolutions' multiply-adds in each type, as the parsed network has them.
        layers: Of the engine, in the order they run; empty where TensorRT does not describe them.
        profiles: Input shapes.
        flavor, tensorrt: Which TensorRT, and its version.
        version_compatible: Whether later releases of that major version run it too.
        gpu: What it runs on, in words.
        compute_capabilities: Those it was built for; empty where the flavor says what it takes.
        driver: CUDA version of the driver it was built under; empty without one.
        onnx_sha256: Of the contract ONNX file, or of the weights it was made from.
        calibration: One line on the calibration; empty where there is none.
        sensitivity: One line on the layers left in FP16; empty where nothing was measured.
        accuracy: One line: agreement with FP32.
        plan_sha256, plan_bytes: Of the plan.
        inputs_sha256: Of everything the build depends on.
        command: Builds it again.
        built: UTC, ISO 8601.
        seconds: How long it took.
    """

    spec: DetectorSpec
    end_to_end: bool
    precision: str
    multiply_adds: dict[str, float]
    layers: tuple[Layer, ...]
    profiles: tuple[Profile, ...]
    flavor: str
    tensorrt: str
    version_compatible: bool
    gpu: str
    compute_capabilities: tuple[str, ...]
    driver: str
    onnx_sha256: str
    calibration: str
    sensitivity: str
    accuracy: str
    plan_sha256: str
    plan_bytes: int
    inputs_sha256: str
    command: str
    built: str
    seconds: float

    def to_json(self) -> str:
        """Readable JSON; `from_json` reads it back equal."""
        fields = dataclasses.asdict(self) | {"spec": json.loads(self.spec.to_json())}
        return json.dumps({"format": FORMAT, **fields}, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, path: Path) -> Manifest:
        """Read a manifest, which is untrusted input.

        Raises:
            EngineError: Not a manifest of this release.
        """
        try:
            fields = json.loads(text)
            if Fields(fields).integer("format") != FORMAT:
                raise EngineError(f"{path}: a manifest of another release of trt-mogface: build again")
            return _manifest_from(fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ModelError) as error:
            raise EngineError(
                f"{path}: not a manifest that can be read ({error!s:.100}): build the engine again"
            ) from error

    def check_runs_on(self, flavor: Flavor, gpu: Gpu | None, path: Path) -> None:
        """Refuse an engine that this machine cannot run.

        Args:
            flavor: The TensorRT that would run it.
            gpu: The GPU that would; None where there is none.
            path: The engine, for the message.

        Raises:
            EngineError: The first mismatch, and the command that rebuilds.
        """
        if flavor.name != self.flavor:
            self._refuse(path, f"built for {self.flavor}, and this is {flavor.name}")
        if not self._version_fits(flavor.version):
            self._refuse(path, f"built with {self.flavor} {self.tensorrt}, and this is {flavor.version}")
        if gpu is None:
            raise EngineError(f"{path}: needs an NVIDIA GPU and its driver, and none was found")
        capability = ".".join(map(str, gpu.capability))
        if self.compute_capabilities and capability not in self.compute_capabilities:
            self._refuse(
                path, f"built for {self.gpu}, and this is {gpu.name} of compute capability {capability}"
            )

    def _version_fits(self, version: str) -> bool:
        built, here = (_release(text) for text in (self.tensorrt, version))
        return built == here or (self.version_compatible and built[:1] == here[:1] and here >= built)

    def _refuse(self, path: Path, reason: str) -> None:
        raise EngineError(f"{path}: {reason}: rebuild it with: {self.command}")

    def check_shape(self, shape: Shape, path: Path) -> int:
        """The profile that takes an input shape.

        Returns:
            Its index.

        Raises:
            EngineError: None does; the message has them all.
        """
        for index, profile in enumerate(self.profiles):
            if profile.holds(shape):
                return index
        wanted = "x".join(map(str, shape))
        have = ", ".join(map(str, self.profiles))
        raise EngineError(
            f"{path}: an input of {wanted} (batch x height x width) lies outside its shapes {have}: "
            "split the batch, scale the pictures, or build with other --shapes"
        )


def manifest_path(engine: Path) -> Path:
    """``NAME.engine.json`` beside ``NAME.engine``."""
    return engine.with_name(engine.name + ".json")


def load_manifest(engine: Path) -> Manifest:
    """An engine's manifest.

    Raises:
        EngineError: Missing or unreadable.
    """
    path = manifest_path(engine)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise EngineError(
            f"{path}: the engine's manifest cannot be read ({reason}): it is written beside the engine, "
            "copy both, or build again"
        ) from error
    return Manifest.from_json(text, path)


def load_plan(engine: Path, manifest: Manifest) -> bytes:
    """An engine's plan, once it is known to be the one its manifest describes.

    Raises:
        EngineError: See `check_plan`.
    """
    check_plan(engine, manifest)
    return engine.read_bytes()


def check_plan(engine: Path, manifest: Manifest) -> None:
    """Refuse a plan that is not the one its manifest describes; it is read in pieces.

    Raises:
        EngineError: Missing, truncated, or another plan than the manifest's.
    """
    try:
        with open(engine, "rb") as file:
            size = file.seek(0, os.SEEK_END)
        digest = sha256_of(engine) if size == manifest.plan_bytes else ""
    except OSError as error:
        raise EngineError(f"{engine}: cannot be read ({error.strerror})") from error
    if size != manifest.plan_bytes:
        what = "truncated" if size < manifest.plan_bytes else "not the engine of its manifest"
        raise EngineError(
            f"{engine}: {what} ({size} bytes, the manifest says {manifest.plan_bytes}): "
            f"copy it again, or rebuild it with: {manifest.command}"
        )
    if digest != manifest.plan_sha256:
        raise EngineError(
            f"{engine}: not the engine of its manifest (the contents differ): "
            f"copy both files again, or rebuild with: {manifest.command}"
        )


def _manifest_from(fields: dict[str, Any]) -> Manifest:
    read = Fields(fields)
    texts = {
        name: read.text(name)
        for name in (
            *(
                "precision",
                "flavor",
                "tensorrt",
                "gpu",
                "driver",
                "onnx_sha256",
                "calibration",
                "sensitivity",
            ),
            *("accuracy", "plan_sha256", "inputs_sha256", "command", "built"),
        )
    }
    shares = read.inner("multiply_adds")
    if not fields["profiles"]:
        raise ValueError("it has no profile")
    return Manifest(
        spec=DetectorSpec.from_json(json.dumps(fields["spec"])),
        multiply_adds={name: shares.number(name) for name in shares.names()},
        layers=tuple(_layer_from(layer) for layer in fields["layers"]),
        profiles=tuple(_profile_from(profile) for profile in fields["profiles"]),
        end_to_end=read.flag("end_to_end"),
        version_compatible=read.flag("version_compatible"),
        compute_capabilities=read.texts("compute_capabilities"),
        plan_bytes=read.integer("plan_bytes"),
        seconds=read.number("seconds"),
        **texts,
    )


def _release(version: str) -> list[int]:
    """The first three numbers of a version, whatever else is in it."""
    return [int(part) for part in re.findall(r"[0-9]{1,9}", version)[:3]]


def _layer_from(layer: Any) -> Layer:
    texts = Fields({"layer": layer}).texts("layer")
    if len(texts) != 3:
        raise ValueError("a layer has a name, a kind and a type")
    return Layer(*texts)


def _profile_from(shapes: Any) -> Profile:
    values = [Fields({"shape": shape}).integers("shape") for shape in shapes]
    if len(values) != 3 or any(len(shape) != 3 for shape in values):
        raise ValueError("a profile has three shapes of three sizes")
    return Profile(*((shape[0], shape[1], shape[2]) for shape in values))
