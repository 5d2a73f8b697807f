"""A contract model to engines: lowered, built, checked, and written with their manifests."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from engine_build.lowering import Lowered, Lowering
from engine_build.precision import QUANTIZED, Precision
from engine_build.tensorrt.builder import Built, Options, Progress, build
from engine_build.tensorrt.engine_layers import check_computes_in
from engine_build.tensorrt.network_types import check_types
from engine_build.tensorrt.target import (
    capabilities,
    check_end_to_end,
    check_options,
    check_precision,
    described,
    timing_cache,
)
from engine_build.validation.report import write_report
from engine_build.validation.sensitivity import Sensitivity
from trt_mogface._files import sha256_of, whole_file
from trt_mogface.errors import EngineError
from trt_mogface.kernels.library import find_plugin
from trt_mogface.machine.gpu import Gpu
from trt_mogface.machine.tensorrt import Flavor
from trt_mogface.models.manifest import Manifest, load_manifest, manifest_path

RECIPE = 2
"""Part of every digest; raised when the same inputs would now give another engine."""


class Outcome(NamedTuple):
    """An engine that was built, or that was there already; with what was measured of its layer groups now."""

    engine: Path
    manifest: Manifest
    unchanged: bool
    sensitivity: Sensitivity | None = None


@dataclass
class EngineBuild:
    """Engines of one model for one TensorRT and GPU.

    Attributes:
        lowering: Gives the model at a precision.
        options: For the builder.
        flavor: With which TensorRT.
        gpu: Of this machine.
        command: Builds it again.
        progress, log: See `engine_build.tensorrt.builder.build`.
    """

    lowering: Lowering
    options: Options
    flavor: Flavor
    gpu: Gpu | None = None
    command: str = ""
    progress: Progress | None = None
    log: Callable[[str], None] | None = None

    def engine(self, precision: Precision, output: Path | None = None) -> Outcome:
        """Build an engine and write it with its manifest, or find it unchanged.

        Args:
            precision: Of its convolutions.
            output: The engine's file; a folder, or None for the current one, leaves the name to the network,
                the precision and a digest, so that two engines never meet.

        Raises:
            EngineError: TensorRT cannot build it, or did not do what was asked, or it loses too much.
            UsageError: A precision the GPU lacks, an option the flavor lacks, or what is missing.
            ModelError, ImageError, OutputError: See `engine_build.lowering.Lowering.at`; or the engine's
                place cannot be written.
        """
        started = time.monotonic()
        check_options(self.flavor, self.gpu, self.options)
        check_precision(precision, self.flavor, self.gpu, self.options)
        if self.lowering.request.end_to_end is not None:
            check_end_to_end(self.flavor)
        digest = self._digest(precision)
        place = output or Path()
        ending = f"{precision}-{digest[:8]}.engine"
        known = _unchanged(place.glob(f"*-{ending}") if place.is_dir() else [place], digest)
        if known is not None and not self._owes_calibration(precision):
            return known
        engine = place / f"{self.lowering.spec.name}-{ending}" if place.is_dir() else place
        lowered = self.lowering.at(precision)
        built = self._built(precision, lowered)
        seconds = round(time.monotonic() - started, 1)
        manifest = self._manifest(precision, lowered, built, digest, seconds)
        with whole_file(engine) as plan, whole_file(manifest_path(engine)) as passport:
            plan.write_bytes(built.plan)
            passport.write_text(manifest.to_json(), encoding="utf-8")
        if lowered.sensitivity is not None:
            write_report(engine, self.lowering.spec.name, precision, lowered.sensitivity)
        return Outcome(engine, manifest, False, lowered.sensitivity)

    def _built(self, precision: Precision, lowered: Lowered) -> Built:
        """The plan, once what TensorRT made is known to be what was asked for."""
        self.lowering.status(f"building {precision} with {self.flavor.name} {self.flavor.version}")
        kept = self.options.timing_cache or timing_cache(self.flavor, self.gpu)
        plugin = None if self.lowering.request.end_to_end is None else find_plugin()
        options = dataclasses.replace(self.options, timing_cache=kept, plugin=plugin)
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
            end_to_end=lowering.request.end_to_end is not None,
            precision=precision,
            multiply_adds=self._shares(built.convolution_types),
            layers=built.layers,
            profiles=options.profiles,
            flavor=flavor.name,
            tensorrt=flavor.version,
            version_compatible=options.version_compatible,
            gpu=described(precision, flavor, gpu, options),
            compute_capabilities=capabilities(flavor, gpu, options),
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
        return sha256_of(self.lowering.request.model)

    def _owes_calibration(self, precision: Precision) -> bool:
        """Whether the calibration file that was asked for is not there."""
        path = self.lowering.request.calibration_file
        return precision in QUANTIZED and path is not None and not path.is_file()

    def _shares(self, types: dict[str, str]) -> dict[str, float]:
        """Share of the multiply-adds in each type."""
        work = self.lowering.work
        total = sum(work.values())
        shares: dict[str, float] = {}
        for name, kind in types.items():
            shares[kind] = shares.get(kind, 0) + work[name] / total
        return {kind: round(share, 4) for kind, share in sorted(shares.items())}

    def _digest(self, precision: Precision) -> str:
        """SHA-256 of everything an engine depends on."""
        request = self.lowering.request
        options = dataclasses.replace(self.options, timing_cache=None)
        calibrated = precision in QUANTIZED
        inputs = (
            *(
                RECIPE,
                self._onnx_sha256,
                precision,
                options,
                self.flavor.name,
                self.flavor.version,
                self.gpu,
            ),
            request.end_to_end,
            request.max_loss,
            request.pictures and request.pictures.digest(),
            (request.method, request.keep_fp16, request.sensitivity) if calibrated else None,
            _contents(request.annotations) if calibrated else None,
            _contents(request.calibration_file) if calibrated and request.pictures is None else None,
        )
        return hashlib.sha256(repr(inputs).encode()).hexdigest()


def _unchanged(engines: Iterable[Path], digest: str) -> Outcome | None:
    """The engine that was built from the same inputs, if it is there whole.

    Its contents are hashed when it is loaded, not here: finding that nothing is to be done should be quick.
    """
    for engine in engines:
        with suppress(EngineError, OSError):
            manifest = load_manifest(engine)
            if manifest.inputs_sha256 == digest and manifest.plan_bytes == engine.stat().st_size:
                return Outcome(engine, manifest, unchanged=True)
    return None


def _contents(path: Path | None) -> str | None:
    return sha256_of(path) if path is not None and path.is_file() else None
