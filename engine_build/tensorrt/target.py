"""What an engine is to run on."""

from __future__ import annotations

import re
from pathlib import Path

from engine_build.precision import Precision
from engine_build.tensorrt.builder import Options
from engine_build.weights import cache_folder
from trt_mogface.errors import UsageError
from trt_mogface.machine.gpu import Gpu
from trt_mogface.machine.tensorrt import Flavor

NEEDS: dict[Precision, tuple[int, int]] = {"bf16": (8, 0), "fp8": (8, 9)}
"""Compute capability that a precision needs; the others run wherever TensorRT 10 does."""


def check_precision(precision: Precision, flavor: Flavor, gpu: Gpu | None, options: Options) -> None:
    """Refuse a precision that the GPU lacks, before any work.

    Raises:
        UsageError: It names the GPU and what would do.
    """
    needed = NEEDS.get(precision, (0, 0))
    targets = {f"compute capability {text}": _parsed(text) for text in options.compute_capabilities}
    if not flavor.is_rtx and gpu is not None:
        targets[gpu.name] = gpu.capability
    for name, capability in targets.items():
        if capability < needed:
            raise UsageError(
                f"--precision {precision}: {name} lacks it, it needs compute capability "
                f"{'.'.join(map(str, needed))} or newer: use fp16 or int8"
            )


def check_options(flavor: Flavor, gpu: Gpu | None, options: Options) -> None:
    """Refuse options that this flavor, or a machine without a GPU, does not have.

    Raises:
        UsageError: It says which, and what there is instead.
    """
    refused = {
        "--compute-capabilities: tensorrt builds for the GPU at hand, others take "
        "--hardware-compatibility-level": bool(options.compute_capabilities) and not flavor.is_rtx,
        "--version-compatible: tensorrt-rtx has no runtime that would run such an engine": (
            options.version_compatible and flavor.is_rtx
        ),
        "--timing-cache-file: tensorrt-rtx times no layers when it builds": (
            options.timing_cache is not None and flavor.is_rtx
        ),
        "--hardware-compatibility-level: tensorrt-rtx builds for any Ampere or newer, or for "
        "--compute-capabilities": options.hardware_compatibility != "none" and flavor.is_rtx,
        "--strip-weights and --refit: tensorrt-rtx needs a GPU to build such an engine, and none was found": (
            (options.strip_weights or options.refit) and flavor.is_rtx and gpu is None
        ),
    }
    for reason, applies in refused.items():
        if applies:
            raise UsageError(reason)


def check_end_to_end(flavor: Flavor) -> None:
    """Refuse an engine that ends in faces where plugins do not run.

    Raises:
        UsageError: It says what to do instead.
    """
    if flavor.is_rtx:
        raise UsageError(
            "--end-to-end: tensorrt-rtx runs no plugins: leave it out, the same kernels run after the engine"
        )


def capabilities(flavor: Flavor, gpu: Gpu | None, options: Options) -> tuple[str, ...]:
    """The compute capabilities an engine is bound to; empty where it is not."""
    if flavor.is_rtx:
        return options.compute_capabilities
    if gpu is None or options.hardware_compatibility == "ampere+":
        return ()
    return (".".join(map(str, gpu.capability)),)


def timing_cache(flavor: Flavor, gpu: Gpu | None) -> Path | None:
    """Where the times of layers are kept: a file for each GPU and version.

    None where nothing is timed: TensorRT-RTX chooses its kernels on the machine that runs them.
    """
    if flavor.is_rtx or gpu is None:
        return None
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{gpu.name}-{flavor.version}")
    return cache_folder() / f"timing-{name}.cache"


def described(precision: Precision, flavor: Flavor, gpu: Gpu | None, options: Options) -> str:
    """What an engine runs on, in words."""
    oldest = ".".join(map(str, max(NEEDS.get(precision, (8, 0)), (8, 0))))
    if flavor.is_rtx:
        chosen = ", ".join(options.compute_capabilities)
        return f"compute capability {chosen}" if chosen else f"any Ampere or newer, from {oldest} on"
    if gpu is None:
        return "unknown: built without a GPU at hand"
    if options.hardware_compatibility == "ampere+":
        return f"any Ampere or newer, from {oldest} on (built on {gpu.name})"
    return f"{gpu.name}, compute capability {'.'.join(map(str, gpu.capability))}"


def parse_capabilities(text: str | None) -> tuple[str, ...]:
    """Compute capabilities from what ``--compute-capabilities`` takes.

    Raises:
        UsageError: Not of the form ``8.9``.
    """
    found = tuple(text.split(",")) if text else ()
    for each in found:
        if re.fullmatch(r"\d{1,2}\.\d", each) is None:
            raise UsageError(f"--compute-capabilities {text}: use the form 8.9, several with commas")
    return found


def _parsed(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)
