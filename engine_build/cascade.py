"""Engines of a cascade: one plan for each network, and one manifest, in a folder."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine_build.calibration.cascade import agreement, calibrated
from engine_build.calibration.images import Images
from engine_build.calibration.ranges import Method
from engine_build.calibration.record import Calibration
from engine_build.onnx import contract
from engine_build.precision.prepare import at_precision, normalized
from engine_build.precision.quantize import convolutions
from engine_build.tensorrt.builder import BuilderOptions, Built, Progress, build
from engine_build.tensorrt.engine_layers import check_computes_in
from engine_build.tensorrt.network_types import check_types
from engine_build.tensorrt.target import (
    check_options,
    check_precision,
    describe_target,
    target_capabilities,
    timing_cache_path,
)
from engine_build.workload.convolutions import work_by_convolution
from trt_mogface._files import sha256_of, whole_folder
from trt_mogface._onnxruntime import onnxruntime
from trt_mogface.errors import ArgumentError, EngineError
from trt_mogface.machine.gpu import Gpu
from trt_mogface.machine.tensorrt import Flavor
from trt_mogface.models.cascade import STAGES, load_cascade, network_file
from trt_mogface.models.cascade_engine import CascadeEngine, NetworkEngine, load_cascade_engine, plan_file
from trt_mogface.models.manifest import CASCADE_MANIFEST, Profile, Shape
from trt_mogface.models.precision import Precision
from trt_mogface.reference import cascade
from trt_mogface.reference.stages import LIMITS, OUTPUT_SIDE, REFINED_SIDE
from trt_mogface.spec import INPUT, SCORES, InputSpec, Thresholds

if TYPE_CHECKING:
    import onnx

RECIPE = 1
"""Part of every digest; raised when the same inputs would give other engines than before."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
"""Precisions of the engines."""

REFINED_BATCH, OUTPUT_BATCH = 1024, 256
"""Crops of one run of the second and the third network: more would need much scratch memory."""

SIDES = dict(zip(STAGES, (65, REFINED_SIDE, OUTPUT_SIDE)))
"""Sides of the images that networks are compared on; only those of the first vary."""

SMALLEST_LEVEL = cascade.CELL + 1
"""Smallest side of a pyramid level in pixels."""

MAX_DIFFERENCE = 0.1
"""Largest difference of a score from FP32's on noise."""


NATIVE = InputSpec(multiple=1)
"""Treatment of images: each at its own size."""


class CascadeOutcome(NamedTuple):
    """A folder of engines that was built or found unchanged."""

    folder: Path
    manifest: CascadeEngine
    unchanged: bool


def check_cascade_precision(name: str, precision: Precision) -> None:
    """Refuse a precision that engines of a cascade do not have.

    Raises:
        ArgumentError: If it is another one than `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        problem = f"{name} is a cascade of networks, whose engines compute in {', '.join(PRECISIONS)}"
        raise ArgumentError("precision", problem, precision)


def image_profile(name: str, options: BuilderOptions) -> Profile:
    """Return the sizes of images that engines of a cascade accept.

    Raises:
        ArgumentError: If there are several profiles, images are too small for the pyramid, or weights are to
            be exchanged later.
    """
    for option in ("strip_weights", "refit"):
        if getattr(options, option):
            raise ArgumentError(option, f"{name} is a cascade of networks, whose weights stay")
    profiles = options.profiles
    if len(profiles) != 1:
        raise ArgumentError("shapes", f"{name} is a cascade of networks, which takes one range of sizes")
    (given,) = profiles
    if min(given.opt[1:]) < SMALLEST_LEVEL:
        raise ArgumentError("shapes", f"{name} looks at images of {SMALLEST_LEVEL} pixels and more", given)
    return Profile((given.min[0], 1, 1), given.opt, given.max)


def network_profiles(images: Profile) -> dict[str, Profile]:
    """Return the input shapes of each network: levels of the pyramid, and full batches of crops."""

    def finest(shape: Shape) -> Shape:
        batch, height, width = shape
        height, width = cascade.level_size(height, width, cascade.CELL / cascade.MIN_FACE)
        return batch, max(height, SMALLEST_LEVEL), max(width, SMALLEST_LEVEL)

    refined, output = (REFINED_BATCH, REFINED_SIDE, REFINED_SIDE), (OUTPUT_BATCH, OUTPUT_SIDE, OUTPUT_SIDE)
    smallest = (images.min[0], SMALLEST_LEVEL, SMALLEST_LEVEL)
    profiles = (
        Profile(smallest, finest(images.opt), finest(images.max)),
        *(Profile(shape, shape, shape) for shape in (refined, output)),
    )
    return dict(zip(STAGES, profiles))


@dataclass
class CascadeBuild:
    """Engines of one cascade for one TensorRT and GPU.

    Attributes:
        source: Folder of the cascade's ONNX files.
        options: Options of the builder; their profile is that of the images.
        flavor, gpu, command, progress, log: See `engine_build.build.EngineBuild`.
        status: Called with a line on the current step.
        images: Images to calibrate INT8 on, at their own size; None for none.
        method: Method that chooses the ranges, see `engine_build.calibration.ranges`.
    """

    source: Path
    options: BuilderOptions
    flavor: Flavor
    gpu: Gpu | None = None
    command: str = ""
    progress: Progress | None = None
    log: Callable[[str], None] | None = None
    status: Callable[[str], None] = lambda _: None
    images: Images | None = None
    method: Method = "percentile"

    def engines(self, precision: Precision, folder: Path | None = None) -> CascadeOutcome:
        """Build the engines and write them with their manifest, or find them unchanged.

        Args:
            precision: Precision of the networks.
            folder: Folder to write; None for one here, whose name consists of the model, the precision and a
                digest.

        Raises:
            ArgumentError: If the cascade or the GPU lacks the precision, or an option.
            EngineError: If TensorRT cannot build an engine, or outputs are not finite or far from FP32's.
            ModelError: If the cascade is unusable.
            OutputError: If the folder cannot be written.
        """
        started, given = time.monotonic(), load_cascade(self.source)
        check_cascade_precision(given.name, precision)
        if precision == "int8" and self.images is None:
            raise ArgumentError("calib", "int8 needs calibration; give images")
        images = image_profile(given.name, self.options)
        check_options(self.flavor, self.gpu, self.options)
        check_precision(precision, self.flavor, self.gpu, self.options)
        digest = self._digest(precision)
        folder = folder or Path(f"{given.name}-{precision}-{digest[:8]}")
        known = _unchanged(folder, digest)
        if known is not None:
            return known
        models = {
            stage: normalized(contract.load(network_file(self.source, stage)), precision) for stage in STAGES
        }
        lowered, accuracy = self._lowered(precision, models, given.thresholds)
        built = {
            stage: self._built(stage, precision, models[stage], lowered[stage], profile)
            for stage, profile in network_profiles(images).items()
        }
        manifest = CascadeEngine(
            name=given.name,
            thresholds=given.thresholds,
            origin=given.origin,
            precision=precision,
            profile=images,
            networks={stage: network for stage, (_, network) in built.items()},
            flavor=self.flavor.name,
            tensorrt=self.flavor.version,
            version_compatible=self.options.version_compatible,
            gpu=describe_target(precision, self.flavor, self.gpu, self.options),
            compute_capabilities=target_capabilities(self.flavor, self.gpu, self.options),
            driver=self.gpu.driver if self.gpu else "",
            inputs_sha256=digest,
            accuracy=accuracy,
            command=self.command,
            built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - started, 1),
        )
        with whole_folder(folder) as temporary:
            for stage, (made, _) in built.items():
                plan_file(temporary, stage).write_bytes(made.plan)
            (temporary / CASCADE_MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        return CascadeOutcome(folder, manifest, unchanged=False)

    def _lowered(
        self, precision: Precision, models: dict[str, onnx.ModelProto], thresholds: Thresholds
    ) -> tuple[dict[str, onnx.ModelProto], str]:
        """Return the networks at a precision, and their agreement with FP32 in one line."""
        calibrations = dict[str, Calibration]()
        if precision == "int8" and self.images is not None:
            calibrations = calibrated(self.source, self.images, self.method, self.status)
        lowered = {
            stage: at_precision(model, precision, calibrations.get(stage)) for stage, model in models.items()
        }
        self.status(f"comparing {precision} with FP32")
        apart = max(_difference(stage, precision, models[stage], lowered[stage]) for stage in STAGES)
        if precision == "fp32":
            return lowered, "the reference"
        if self.images is None:
            return lowered, f"scores within {apart:.4f} of FP32's on noise"
        return lowered, str(agreement(self.source, lowered, self.images, thresholds))

    def _built(
        self,
        stage: str,
        precision: Precision,
        model: onnx.ModelProto,
        lowered: onnx.ModelProto,
        profile: Profile,
    ) -> tuple[Built, NetworkEngine]:
        """Build a plan, and check that TensorRT computes in the requested type."""
        self.status(f"building {stage} in {precision} with {self.flavor.name} {self.flavor.version}")
        timings = self.options.timing_cache_file or timing_cache_path(self.flavor, self.gpu)
        options = dataclasses.replace(self.options, profiles=(profile,), timing_cache_file=timings)
        built = build(self.flavor, lowered.SerializeToString(), options, self.progress, self.log, stage)
        requested: dict[str, str] = {node.name: precision for node in convolutions(lowered)}
        check_types(requested, built.convolution_types, self.flavor)
        check_computes_in(built.layers, precision)
        return built, NetworkEngine(
            profile=profile,
            multiply_adds=_shares(work_by_convolution(model, SIDES[stage]), built.convolution_types),
            layers=built.layers,
            onnx_sha256=sha256_of(network_file(self.source, stage)),
            plan_sha256=hashlib.sha256(built.plan).hexdigest(),
            plan_bytes=len(built.plan),
        )

    def _digest(self, precision: Precision) -> str:
        """Return the SHA-256 of everything that the engines depend on."""
        sources = [sha256_of(network_file(self.source, stage)) for stage in STAGES]
        options = dataclasses.replace(self.options, timing_cache_file=None)
        inputs = RECIPE, LIMITS, sources, precision, self.flavor.name, self.flavor.version, self.gpu, options
        calibration = (self.images.digest(), self.method) if self.images and precision != "fp32" else None
        return hashlib.sha256(repr((*inputs, calibration)).encode()).hexdigest()


def _unchanged(folder: Path, digest: str) -> CascadeOutcome | None:
    """Return whole engines that were built from the same inputs; sizes are compared, as in `EngineBuild`."""
    with suppress(EngineError, OSError):
        manifest = load_cascade_engine(folder)
        sizes = {stage: plan_file(folder, stage).stat().st_size for stage in STAGES}
        same = all(manifest.networks[stage].plan_bytes == size for stage, size in sizes.items())
        if manifest.inputs_sha256 == digest and same:
            return CascadeOutcome(folder, manifest, unchanged=True)
    return None


def _shares(work: dict[str, int], types: dict[str, str]) -> dict[str, float]:
    """Return the share of the convolutions' multiply-adds in each type."""
    shares: Counter[str] = Counter()
    for name, kind in types.items():
        shares[kind] += work.get(name, 0)
    whole = max(1, sum(shares.values()))
    return {kind: round(share / whole, 4) for kind, share in sorted(shares.items())}


def _difference(stage: str, precision: Precision, model: onnx.ModelProto, lowered: onnx.ModelProto) -> float:
    """Return the largest difference of a score from FP32's on noise; refuse what is far off or not finite."""
    side = SIDES[stage]
    noise = np.random.default_rng(0).integers(0, 256, (8, side, side, 3), np.uint8)
    reference, result = _outputs(model, noise), _outputs(lowered, noise)
    for name, value in result.items():
        if not np.isfinite(value).all():
            raise EngineError(f"{precision} refused: {name} of {stage} are not finite; use fp32")
    apart = float(np.abs(reference[SCORES] - result[SCORES]).max())
    if precision != "int8" and apart > MAX_DIFFERENCE:  # noise is not what INT8 was calibrated on
        problem = f"scores of {stage} differ from FP32's by up to {apart:.2f} on noise"
        raise EngineError(f"{precision} refused: {problem}; use fp32")
    return apart


def _outputs(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUT: pixels})))
