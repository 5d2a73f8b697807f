"""GPUs that an engine is built for, and options that its TensorRT or GPU lacks."""

from __future__ import annotations

import re
from pathlib import Path

from engine_build.precision import Precision
from engine_build.tensorrt.builder import BuilderOptions
from trt_mogface._cache import cache_folder
from trt_mogface._names import split_list
from trt_mogface.errors import ArgumentError
from trt_mogface.machine.gpu import Gpu
from trt_mogface.machine.tensorrt import Flavor

NEEDS: dict[Precision, tuple[int, int]] = {"bf16": (8, 0), "fp8": (8, 9)}
"""Compute capability that a precision needs; the others run wherever TensorRT 10 does."""

FOR_RTX_ONLY = "tensorrt builds for the installed GPU; set hardware_compatibility_level to include others"

RTX_LACKS = {
    "version_compatible": "tensorrt-rtx has no runtime that would run such an engine; leave it out",
    "timing_cache_file": "tensorrt-rtx times no layers when it builds; leave it out",
    "hardware_compatibility_level": "tensorrt-rtx builds for any Ampere or newer; set compute_capabilities",
}
LAST_DLA, NEXT_DLA = (10, 7), (11, 4, 1)
"""Last release before, and first release after, those of TensorRT that lack the DLA."""

RTX_NEEDS_GPU = dict.fromkeys(
    ("strip_weights", "refit"), "tensorrt-rtx needs a GPU to build such an engine; none was found"
)
"""Options that TensorRT-RTX lacks, or lacks without a GPU, and why."""


def check_precision(precision: Precision, flavor: Flavor, gpu: Gpu | None, options: BuilderOptions) -> None:
    """Refuse a precision that the target GPUs lack.

    Raises:
        ArgumentError: If a GPU lacks the precision; the message names the GPU and what it needs.
    """
    needed = NEEDS.get(precision, (0, 0))
    targets = {f"compute capability {text}": _parsed(text) for text in options.compute_capabilities}
    if not flavor.is_rtx and gpu is not None:
        targets[gpu.name] = gpu.capability
    for name, capability in targets.items():
        if capability < needed:
            problem = (
                f"{name} lacks it, it needs compute capability {_shown(needed)} or newer; use fp16 or int8"
            )
            raise ArgumentError("precision", problem, precision)


def check_options(flavor: Flavor, gpu: Gpu | None, options: BuilderOptions) -> None:
    """Refuse options that this flavor, or a machine without a GPU, lacks.

    Raises:
        ArgumentError: If an option is not available; the message names an alternative.
    """
    if options.use_dla_core is not None:
        _check_dla(flavor, options)
    if not flavor.is_rtx:
        if options.compute_capabilities:
            raise ArgumentError("compute_capabilities", FOR_RTX_ONLY)
        return
    defaults = BuilderOptions(options.profiles)
    for name, problem in (RTX_LACKS if gpu else RTX_LACKS | RTX_NEEDS_GPU).items():
        if getattr(options, name) != getattr(defaults, name):
            raise ArgumentError(name, problem)


def _check_dla(flavor: Flavor, options: BuilderOptions) -> None:
    """Refuse a DLA that the release does not support, and shapes that no DLA supports: dynamic ones."""
    release = tuple(int(part) for part in re.findall(r"\d+", flavor.version)[:3])
    problem = None
    if flavor.is_rtx:
        problem = "tensorrt-rtx runs on GPUs only; use tensorrt, or leave the option out"
    elif release[:2] > LAST_DLA and release < NEXT_DLA:
        last, following = (".".join(map(str, each)) for each in (LAST_DLA, NEXT_DLA))
        problem = (
            f"tensorrt {flavor.version} has no DLA, which {last} and earlier and {following} and later "
            "have; leave the option out to use the GPU"
        )
    if problem:
        raise ArgumentError("use_dla_core", problem, options.use_dla_core)
    for profile in options.profiles:
        if profile.min != profile.max:
            fixed = "x".join(map(str, profile.opt))
            raise ArgumentError("shapes", f"a DLA runs fixed shapes only; use {fixed}", profile)


def check_end_to_end(flavor: Flavor) -> None:
    """Refuse an engine that ends in faces if the flavor runs no plugins.

    Raises:
        ArgumentError: If the flavor is TensorRT-RTX.
    """
    if flavor.is_rtx:
        problem = "tensorrt-rtx runs no plugins; leave it out, the same kernels run after the engine"
        raise ArgumentError("end_to_end", problem)


def target_capabilities(flavor: Flavor, gpu: Gpu | None, options: BuilderOptions) -> tuple[str, ...]:
    """Return the compute capabilities that an engine is bound to; empty if it is not bound to any."""
    if flavor.is_rtx:
        return options.compute_capabilities
    if gpu is None or options.hardware_compatibility_level == "ampere+":
        return ()
    return (_shown(gpu.capability),)


def timing_cache_path(flavor: Flavor, gpu: Gpu | None) -> Path | None:
    """Return the default file of layer timings, one for each GPU and version.

    None if nothing is timed: TensorRT-RTX chooses its kernels on the machine that runs them.
    """
    if flavor.is_rtx or gpu is None:
        return None
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{gpu.name}-{flavor.version}")
    return cache_folder() / f"timing-{name}.cache"


def describe_target(precision: Precision, flavor: Flavor, gpu: Gpu | None, options: BuilderOptions) -> str:
    """Return the GPUs that run an engine, in words."""
    oldest = _shown(max(NEEDS.get(precision, (8, 0)), (8, 0)))
    if flavor.is_rtx:
        chosen = ", ".join(options.compute_capabilities)
        return f"compute capability {chosen}" if chosen else f"any Ampere or newer, from {oldest} on"
    if gpu is None:
        return "unknown: built without a GPU"
    if options.hardware_compatibility_level == "ampere+":
        return f"any Ampere or newer, from {oldest} on (built on {gpu.name})"
    return f"{gpu.name}, compute capability {_shown(gpu.capability)}"


def parse_capabilities(compute_capabilities: str | None) -> tuple[str, ...]:
    """Return the compute capabilities of a list separated by commas.

    Raises:
        ArgumentError: If an entry is not of the form ``8.9``.
    """
    found = tuple(split_list(compute_capabilities)) if compute_capabilities else ()
    for each in found:
        if re.fullmatch(r"\d{1,2}\.\d", each) is None:
            problem = "use the form 8.9, several with commas"
            raise ArgumentError("compute_capabilities", problem, compute_capabilities)
    return found


def _parsed(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def _shown(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
