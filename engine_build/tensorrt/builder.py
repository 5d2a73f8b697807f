"""Builds TensorRT plans from ONNX bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from typing_extensions import override

from engine_build.onnx.end_to_end import PLUGIN, PLUGIN_VERSION
from engine_build.tensorrt.engine_layers import layers_in
from engine_build.tensorrt.network_types import convolution_types
from trt_mogface.errors import ArgumentError, EngineError
from trt_mogface.kernels.library import check_plugin
from trt_mogface.machine.tensorrt import Flavor, make_logger, serialized, without_collection
from trt_mogface.models.manifest import Layer, Profile
from trt_mogface.spec import INPUT

Compatibility = Literal["none", "ampere+", "same-compute-capability"]
COMPATIBILITIES: tuple[Compatibility, ...] = get_args(Compatibility)


@dataclass(frozen=True)
class BuilderOptions:
    """Options of the builder, with the names that trtexec gives them.

    Attributes:
        profiles: Optimization profiles, at least one.
        workspace_mib: Largest scratch memory of a layer in MiB; None leaves it to TensorRT.
        builder_optimization_level: 0 (fast to build) to 5 (fast to run).
        timing_cache_file: File of layer timings that builds share; None for none.
        version_compatible: Whether later releases of the same major version run the engine too.
        hardware_compatibility_level: GPUs besides the one of the build that run the engine.
        compute_capabilities: Compute capabilities that a TensorRT-RTX engine targets, e.g. ``8.9``; empty for
            TensorRT-RTX's own choice.
        use_dla_core: Core of a Jetson's DLA; None for the GPU.
        allow_gpu_fallback: Whether layers that the DLA lacks run on the GPU.
        strip_weights: Whether to leave out weights that a refit can bring back.
        refit: Whether weights can be exchanged later.
        plugin: Plugin library of the model, which becomes part of a version-compatible plan; None for none.

    Raises:
        ArgumentError: If the hardware compatibility level is unknown.
    """

    profiles: tuple[Profile, ...]
    workspace_mib: int | None = None
    builder_optimization_level: int = 3
    timing_cache_file: Path | None = None
    version_compatible: bool = False
    hardware_compatibility_level: Compatibility = "none"
    compute_capabilities: tuple[str, ...] = ()
    use_dla_core: int | None = None
    allow_gpu_fallback: bool = False
    strip_weights: bool = False
    refit: bool = False
    plugin: Path | None = None

    def __post_init__(self) -> None:
        level = self.hardware_compatibility_level
        if level not in COMPATIBILITIES:
            known = f"unknown level (choose from {', '.join(COMPATIBILITIES)})"
            raise ArgumentError("hardware_compatibility_level", known, level)


@dataclass(frozen=True)
class Built:
    """A plan, and facts about its network and layers.

    Attributes:
        plan: Serialized engine.
        convolution_types: Data type of each convolution in the parsed network, by its name.
        layers: Layers of the engine, as TensorRT describes them.
        timings: New contents of the cache of layer timings; None without a cache.
    """

    plan: bytes
    convolution_types: dict[str, str]
    layers: tuple[Layer, ...]
    timings: bytes | None = None


class Progress(Protocol):
    """Receives the phases of a build, from the threads that TensorRT builds in."""

    def building(self) -> AbstractContextManager[None]:
        """Return a context that encloses all of TensorRT's work."""

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """Begin a phase with a number of steps, within its parent."""

    def step(self, phase: str, step: int) -> bool:
        """Note that a step is done; return False to stop the build."""

    def finish(self, phase: str) -> None:
        """End a phase."""


def parse_workspace(mem_pool_size: str | None) -> int | None:
    """Return the MiB of ``workspace:MiB``.

    Raises:
        ArgumentError: If the text has another form.
    """
    if mem_pool_size is None:
        return None
    match = re.fullmatch(r"(?:workspace:)?(\d{1,7})", mem_pool_size)
    if match is None or not int(match[1]):
        raise ArgumentError("mem_pool_size", "use workspace:MiB such as workspace:2048", mem_pool_size)
    return int(match[1])


def build(
    flavor: Flavor,
    model: bytes,
    options: BuilderOptions,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
    name: str = "",
) -> Built:
    """Build an engine of a strongly typed network.

    Args:
        flavor: TensorRT that builds, from `trt_mogface.machine.tensorrt.find_tensorrt`.
        model: ONNX.
        options: Options of the builder.
        progress: Follows the build, and may stop it.
        log: Called with each message of TensorRT; None keeps only the last error.
        name: Name of the network, kept in the plan.

    Raises:
        ArgumentError: If this machine lacks the DLA core.
        EngineError: If TensorRT lacks an operator or an option, the build fails, or ``progress`` stops it.
    """
    trt, layers = flavor.module, list[Layer]()

    def on_message(severity: str, message: str) -> None:
        layers.extend(layers_in(message))
        if log is not None:
            log(f"{severity}: {message}")

    logger = make_logger(trt, on_message)
    with without_collection(), progress.building() if progress else nullcontext():
        if options.plugin is not None:
            load_plugin(trt, options.plugin)
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(model):
            raise EngineError(f"{flavor.name} {flavor.version} cannot read the model: {_first_error(parser)}")
        network.name = name
        config = _config(trt, builder, options, flavor)
        _add_profiles(builder, config, network, options.profiles, flavor)
        cache = _timing_cache(config, options.timing_cache_file)
        if progress is not None:
            config.progress_monitor = _monitor(trt, progress)
        plan = serialized(builder.build_serialized_network(network, config))
        if plan is None:
            problem = f"could not build the engine: {logger.last_error}"
            raise EngineError(f"{flavor.name} {flavor.version} {problem}")
        timings = None if cache is None else serialized(cache.serialize())
        return Built(plan, convolution_types(network, trt), tuple(layers), timings)


def _add_profiles(
    builder: Any, config: Any, network: Any, profiles: Sequence[Profile], flavor: Flavor
) -> None:
    images = network.get_input(0) if network.num_inputs else None
    axis = 1 if images is not None and images.dtype == flavor.module.float32 else 3  # of the channels
    for profile in profiles:
        made = builder.create_optimization_profile()
        made.set_shape(INPUT, *((*shape[:axis], 3, *shape[axis:]) for shape in profile))
        if config.add_optimization_profile(made) < 0:
            raise EngineError(f"{flavor.name} {flavor.version} refuses the input shapes {profile}")


def _config(trt: Any, builder: Any, options: BuilderOptions, flavor: Flavor) -> Any:
    config = builder.create_builder_config()
    config.builder_optimization_level = options.builder_optimization_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for `inspect`; costs no speed
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    flags = {
        "VERSION_COMPATIBLE": options.version_compatible,
        "STRIP_PLAN": options.strip_weights,
        "REFIT": options.refit,
    }
    for name, wanted in flags.items():
        if wanted:
            config.set_flag(_member(trt.BuilderFlag, name, flavor))
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # in TensorRT-RTX: inference can be captured
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    level = options.hardware_compatibility_level
    if level != "none":
        name = "AMPERE_PLUS" if level == "ampere+" else "SAME_COMPUTE_CAPABILITY"
        config.hardware_compatibility_level = _member(trt.HardwareCompatibilityLevel, name, flavor)
    if options.compute_capabilities:
        _target(trt, config, options.compute_capabilities, flavor)
    if options.use_dla_core is not None:
        _use_dla(trt, builder, config, options.use_dla_core, options.allow_gpu_fallback)
    if options.plugin is not None and options.version_compatible:
        config.plugins_to_serialize = [str(options.plugin)]
    return config


def load_plugin(trt: Any, library: Path) -> None:
    """Make the plugin known to TensorRT, once in a process.

    Raises:
        EngineError: If the library is not a plugin library of this TensorRT.
        KernelError: If the driver is too old for it.
    """
    registry = trt.get_plugin_registry()
    if registry.get_creator(PLUGIN, PLUGIN_VERSION, "") is None:
        registry.load_library(str(library))
    if registry.get_creator(PLUGIN, PLUGIN_VERSION, "") is None:
        raise EngineError(
            f"{library}: {trt.__name__} {trt.__version__} finds no plugin {PLUGIN} in it; "
            "build it with the headers of this release"
        )
    check_plugin(library)  # after TensorRT loaded it: loading it registers the plugin


def _target(trt: Any, config: Any, capabilities: tuple[str, ...], flavor: Flavor) -> None:
    config.num_compute_capabilities = len(capabilities)
    for i, capability in enumerate(capabilities):
        name = f"SM{capability.replace('.', '')}"
        if not config.set_compute_capability(_member(trt.ComputeCapability, name, flavor), i):
            raise EngineError(f"{flavor.name} {flavor.version} refuses compute capability {capability}")


def _use_dla(trt: Any, builder: Any, config: Any, core: int, allow_gpu_fallback: bool) -> None:
    if core >= builder.num_DLA_cores:
        problem = (
            f"this machine has {builder.num_DLA_cores} DLA cores (Jetson Orin has up to two); "
            "leave the option out to use the GPU"
        )
        raise ArgumentError("use_dla_core", problem, core)
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    if allow_gpu_fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _member(enumeration: Any, name: str, flavor: Flavor) -> Any:
    """Return a member of an enumeration, if this release has it: looked up by name, not by version."""
    found = getattr(enumeration, name, None)
    if found is None:
        have = ", ".join(sorted(n for n in enumeration.__members__ if n[0].isupper()))
        raise EngineError(f"{flavor.name} {flavor.version} has no {name} (it has {have})")
    return found


def _timing_cache(config: Any, file: Path | None) -> Any:
    if file is None:
        return None
    stored = b""
    with suppress(OSError):
        stored = file.read_bytes()
    cache = config.create_timing_cache(stored)
    if not config.set_timing_cache(cache, ignore_mismatch=False):  # of another GPU or version: begin anew
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _first_error(parser: Any) -> str:
    if not parser.num_errors:
        return "no reason given"
    error = parser.get_error(0)
    reason = " ".join(str(error.desc()).split())[:200]
    return f"node {error.node_name()!r} ({error.node_operator()}): {reason}"


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        @override
        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            progress.start(phase, parent, steps)

        @override
        def step_complete(self, phase: str, step: int) -> bool:
            return progress.step(phase, step)

        @override
        def phase_finish(self, phase: str) -> None:
            progress.finish(phase)

    return Monitor()
