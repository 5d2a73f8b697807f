"""Engines of a contract model: lowered, built, checked, and written with their manifests."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from engine_build.lowering import Lowered, Lowering
from engine_build.precision import QUANTIZED, Precision
from engine_build.tensorrt.builder import BuilderOptions, Built, Progress, build, load_plugin
from engine_build.tensorrt.engine_layers import check_computes_in
from engine_build.tensorrt.network_types import check_types
from engine_build.tensorrt.target import (
    check_end_to_end,
    check_options,
    check_precision,
    describe_target,
    target_capabilities,
    timing_cache_path,
)
from engine_build.validation.report import write_report
from engine_build.validation.sensitivity import Sensitivity
from trt_mogface._files import sha256_of, whole_file
from trt_mogface.errors import EngineError, OutputError
from trt_mogface.kernels.library import find_plugin
from trt_mogface.machine.gpu import Gpu
from trt_mogface.machine.tensorrt import Flavor
from trt_mogface.models.manifest import Manifest, load_manifest, manifest_path

RECIPE = 4
"""Part of every digest; raised when the same inputs would give another engine than before."""


class Outcome(NamedTuple):
    """An engine that was built or found unchanged.

    Attributes:
        engine: File of the plan.
        unchanged: Whether the engine existed already, built from the same inputs.
        sensitivity: Sensitivity of the layer groups, if measured by this build.
    """

    engine: Path
    manifest: Manifest
    unchanged: bool
    sensitivity: Sensitivity | None = None


@dataclass
class EngineBuild:
    """Engines of one model for one TensorRT and GPU.

    Attributes:
        lowering: Lowering that gives the model at a precision.
        options: Options of the builder.
        flavor: TensorRT that builds.
        gpu: GPU of this machine; None without one.
        command: Command that builds the engine again, for the manifest.
        progress, log: See `engine_build.tensorrt.builder.build`.
    """

    lowering: Lowering
    options: BuilderOptions
    flavor: Flavor
    gpu: Gpu | None = None
    command: str = ""
    progress: Progress | None = None
    log: Callable[[str], None] | None = None

    def engine(self, precision: Precision, output: Path | None = None) -> Outcome:
        """Build an engine and write it with its manifest, or find it unchanged.

        Args:
            precision: Precision of the convolutions.
            output: File of the engine.  In a folder, or the current one for None, the name consists of the
                model, the precision and a digest, so that two engines never collide.

        Raises:
            ArgumentError: If the GPU lacks the precision, the flavor lacks an option, or one is missing.
            EngineError: If TensorRT cannot build the engine or builds another one than requested, or the loss
                against FP32 is too large.
            ModelError, ImageError: See `engine_build.lowering.Lowering.at`.
            OutputError: If the engine, its report or the calibration file cannot be written.
        """
        started = time.monotonic()
        check_options(self.flavor, self.gpu, self.options)
        check_precision(precision, self.flavor, self.gpu, self.options)
        if self.lowering.options.end_to_end is not None:
            check_end_to_end(self.flavor)
        digest = self._digest(precision)
        place = output or Path()
        ending = f"{precision}-{digest[:8]}.engine"
        known = _unchanged(place.glob(f"*-{ending}") if place.is_dir() else [place], digest)
        cache = self.lowering.options.calib_cache if precision in QUANTIZED else None
        if known is not None and (cache is None or cache.is_file()):  # else calibration has to write it
            return known
        engine = place / f"{self.lowering.spec.name}-{ending}" if place.is_dir() else place
        plugin = self._plugin()  # before hours of calibration
        lowered = self.lowering.at(precision)
        built = self._built(precision, lowered, plugin)
        seconds = round(time.monotonic() - started, 1)
        manifest = self._manifest(precision, lowered, built, digest, seconds)
        with whole_file(engine) as plan, whole_file(manifest_path(engine)) as beside:
            plan.write_bytes(built.plan)
            beside.write_text(manifest.to_json(), encoding="utf-8")
        self._keep_timings(built.timings)
        if lowered.sensitivity is not None:
            write_report(engine, self.lowering.spec.name, precision, lowered.sensitivity)
        return Outcome(engine, manifest, False, lowered.sensitivity)

    @cached_property
    def _timing_cache(self) -> Path | None:
        return self.options.timing_cache_file or timing_cache_path(self.flavor, self.gpu)

    def _keep_timings(self, timings: bytes | None) -> None:
        """Write the layer timings, which are worth less than the engine: it is stored already."""
        if timings is None or self._timing_cache is None:
            return
        asked_for = self.options.timing_cache_file is not None
        with nullcontext() if asked_for else suppress(OutputError), whole_file(self._timing_cache) as file:
            file.write_bytes(timings)

    def _plugin(self) -> Path | None:
        """Return the plugin library that the engine needs, known to TensorRT; None if it needs none."""
        if self.lowering.options.end_to_end is None:
            return None
        library = find_plugin()
        load_plugin(self.flavor.module, library)
        return library

    def _built(self, precision: Precision, lowered: Lowered, plugin: Path | None) -> Built:
        """Build the plan, and check that TensorRT computes in the requested types."""
        self.lowering.status(f"building {precision} with {self.flavor.name} {self.flavor.version}")
        options = dataclasses.replace(self.options, timing_cache_file=self._timing_cache, plugin=plugin)
        model, name = lowered.model.SerializeToString(), self.lowering.spec.name
        built = build(self.flavor, model, options, self.progress, self.log, name)
        check_types(lowered.types, built.convolution_types, self.flavor)
        check_computes_in(built.layers, precision)
        return built

    def _manifest(
        self, precision: Precision, lowered: Lowered, built: Built, digest: str, seconds: float
    ) -> Manifest:
        lowering, options, flavor, gpu = self.lowering, self.options, self.flavor, self.gpu
        return Manifest(
            spec=lowered.spec,
            end_to_end=lowering.options.end_to_end is not None,
            precision=precision,
            multiply_adds=self._shares(built.convolution_types),
            layers=built.layers,
            profiles=options.profiles,
            flavor=flavor.name,
            tensorrt=flavor.version,
            version_compatible=options.version_compatible,
            gpu=describe_target(precision, flavor, gpu, options),
            compute_capabilities=target_capabilities(flavor, gpu, options),
            driver=gpu.driver if gpu else "",
            onnx_sha256=self._onnx_sha256,
            calibration=str(lowering.calibration or "") if precision in QUANTIZED else "",
            sensitivity=str(lowered.sensitivity or ""),
            accuracy=lowered.accuracy,
            plan_sha256=hashlib.sha256(built.plan).hexdigest(),
            plan_bytes=len(built.plan),
            inputs_sha256=digest,
            command=self.command,
            built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=seconds,
        )

    @cached_property
    def _onnx_sha256(self) -> str:
        return sha256_of(self.lowering.options.model)

    def _shares(self, types: dict[str, str]) -> dict[str, float]:
        """Return the share of the multiply-adds in each type."""
        work = self.lowering.work
        shares: Counter[str] = Counter()
        for name, kind in types.items():
            shares[kind] += work[name]
        return {kind: round(share / sum(work.values()), 4) for kind, share in sorted(shares.items())}

    def _digest(self, precision: Precision) -> str:
        """Return the SHA-256 of everything that an engine depends on."""
        given, flavor, calibrated = self.lowering.options, self.flavor, precision in QUANTIZED
        inputs = (
            (RECIPE, self._onnx_sha256, precision, flavor.name, flavor.version, self.gpu),
            dataclasses.replace(self.options, timing_cache_file=None),
            (given.end_to_end, given.layout, given.max_loss, given.calib and given.calib.digest()),
            (given.calib_method, given.keep_fp16, given.sensitivity) if calibrated else None,
            _contents(given.boxes) if calibrated else None,
            _contents(given.calib_cache) if calibrated and given.calib is None else None,
        )
        return hashlib.sha256(repr(inputs).encode()).hexdigest()


def _unchanged(engines: Iterable[Path], digest: str) -> Outcome | None:
    """Return the first whole engine that was built from the same inputs.

    Its size is compared, not its contents, which are hashed when it is loaded: this check has to be fast.
    """
    for engine in engines:
        with suppress(EngineError, OSError):
            manifest = load_manifest(engine)
            if manifest.inputs_sha256 == digest and manifest.plan_bytes == engine.stat().st_size:
                return Outcome(engine, manifest, unchanged=True)
    return None


def _contents(path: Path | None) -> str | None:
    return sha256_of(path) if path is not None and path.is_file() else None
