"""ONNX bytes to a plan."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from engine_build.onnx.end_to_end import PLUGIN, PLUGIN_VERSION
from engine_build.tensorrt.engine_layers import layers_in
from engine_build.tensorrt.network_types import convolution_types
from trt_mogface._files import whole_file
from trt_mogface.errors import EngineError
from trt_mogface.machine.tensorrt import Flavor
from trt_mogface.models.manifest import Layer, Profile
from trt_mogface.spec import INPUT

Compatibility = Literal["none", "ampere+", "same-compute-capability"]
COMPATIBILITIES: tuple[Compatibility, ...] = get_args(Compatibility)


@dataclass(frozen=True)
class Options:
    """What trtexec calls by the same names.

    Attributes:
        profiles: At least one.
        workspace_mib: Scratch memory a layer may use; None leaves it to TensorRT.
        optimization_level: 0 (fast to build) to 5 (fast to run).
        timing_cache: File with the times of layers, kept from build to build; None for none.
        version_compatible: The engine runs under later releases of its major version too.
        hardware_compatibility: The engine runs on other GPUs than the one it is built on.
        compute_capabilities: Those a TensorRT-RTX engine is for; empty for its own choice.
        dla_core: Core of a Jetson's DLA; None for the GPU.
        gpu_fallback: Layers that the DLA lacks run on the GPU.
        strip_weights: Leave out weights that a refit can bring back.
        refit: Let weights be exchanged.
        plugin: Library of the plugin that the model needs, which a version-compatible plan carries.
    """

    profiles: tuple[Profile, ...]
    workspace_mib: int | None = None
    optimization_level: int = 3
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatibility: Compatibility = "none"
    compute_capabilities: tuple[str, ...] = ()
    dla_core: int | None = None
    gpu_fallback: bool = False
    strip_weights: bool = False
    refit: bool = False
    plugin: Path | None = None


@dataclass(frozen=True)
class Built:
    """What TensorRT made.

    Attributes:
        plan: The engine.
        convolution_types: Of the parsed network, by convolution.
        layers: Of the engine, as TensorRT describes them.
    """

    plan: bytes
    convolution_types: dict[str, str]
    layers: tuple[Layer, ...]


class Progress(Protocol):
    """Told of TensorRT's phases, from whatever thread it builds in."""

    def building(self) -> AbstractContextManager[None]:
        """Entered around all of TensorRT's work."""

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins, within another one."""

    def step(self, phase: str, step: int) -> bool:
        """A step is done; False stops the build."""

    def finish(self, phase: str) -> None:
        """A phase is over."""


def build(
    flavor: Flavor,
    model: bytes,
    options: Options,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
    name: str = "",
) -> Built:
    """Build an engine of a strongly typed network.

    Args:
        flavor: From `trt_mogface.machine.tensorrt.find_tensorrt`.
        model: ONNX.
        options: How.
        progress: Follows the build.
        log: Is given TensorRT's messages, one a call; None keeps only the errors.
        name: Of the network, kept in the plan.

    Raises:
        EngineError: An operator or an option that this TensorRT does not have, a build that failed, or one
            that ``progress`` stopped.
    """
    with progress.building() if progress else nullcontext():
        return _built(flavor, model, options, progress, log, name)


def _built(
    flavor: Flavor,
    model: bytes,
    options: Options,
    progress: Progress | None,
    log: Callable[[str], None] | None,
    name: str,
) -> Built:
    trt = flavor.module
    logger = _logger(trt, log)
    if options.plugin is not None:
        load_plugin(trt, options.plugin)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        raise EngineError(f"{flavor.name} {flavor.version} cannot read the model: {_first_error(parser)}")
    network.name = name
    config = _config(trt, builder, options, flavor)
    cache = _timing_cache(config, options)
    if progress is not None:
        config.progress_monitor = _monitor(trt, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = logger.last_error or "no reason given"
        raise EngineError(f"{flavor.name} {flavor.version} could not build the engine: {reason}")
    if cache is not None and options.timing_cache is not None:
        with whole_file(options.timing_cache) as temporary:
            temporary.write_bytes(memoryview(cache.serialize()))
    return Built(bytes(memoryview(plan)), convolution_types(network, trt), tuple(logger.layers))


def _config(trt: Any, builder: Any, options: Options, flavor: Flavor) -> Any:
    config = builder.create_builder_config()
    config.builder_optimization_level = options.optimization_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for `inspect`; costs no speed
    for profile in options.profiles:
        made = builder.create_optimization_profile()
        made.set_shape(INPUT, *((*shape, 3) for shape in (profile.min, profile.opt, profile.max)))
        config.add_optimization_profile(made)
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    flags = {
        "VERSION_COMPATIBLE": options.version_compatible,
        "STRIP_PLAN": options.strip_weights,
        "REFIT": options.refit,
    }
    for name, wanted in flags.items():
        if wanted:
            config.set_flag(_have(trt.BuilderFlag, name, flavor))
    if options.hardware_compatibility != "none":
        name = {"ampere+": "AMPERE_PLUS"}.get(options.hardware_compatibility, "SAME_COMPUTE_CAPABILITY")
        config.hardware_compatibility_level = _have(trt.HardwareCompatibilityLevel, name, flavor)
    if options.compute_capabilities:
        _target(trt, config, options.compute_capabilities, flavor)
    if options.dla_core is not None:
        _use_dla(trt, builder, config, options)
    if options.plugin is not None and options.version_compatible:
        config.plugins_to_serialize = [str(options.plugin)]
    return config


def load_plugin(trt: Any, library: Path) -> None:
    """Make the plugin known to TensorRT, once a process.

    Raises:
        EngineError: The library was made for another TensorRT, or is none.
    """
    registry = trt.get_plugin_registry()
    if registry.get_creator(PLUGIN, PLUGIN_VERSION, "") is None:
        registry.load_library(str(library))
    if registry.get_creator(PLUGIN, PLUGIN_VERSION, "") is None:
        raise EngineError(
            f"{library}: {trt.__name__} {trt.__version__} finds no plugin {PLUGIN} in it: "
            "build it with the headers of this release"
        )


def _target(trt: Any, config: Any, capabilities: tuple[str, ...], flavor: Flavor) -> None:
    config.num_compute_capabilities = len(capabilities)
    for i, capability in enumerate(capabilities):
        name = f"SM{capability.replace('.', '')}"
        config.set_compute_capability(_have(trt.ComputeCapability, name, flavor), i)


def _use_dla(trt: Any, builder: Any, config: Any, options: Options) -> None:
    core = options.dla_core
    if core >= builder.num_DLA_cores:
        raise EngineError(
            f"--use-dla-core {core}: this machine has {builder.num_DLA_cores} DLA cores "
            "(Jetson Orin has two): leave the option out to use the GPU"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    if options.gpu_fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _have(names: Any, name: str, flavor: Flavor) -> Any:
    """An enumerator, if this release has it: asked for by name, not by version."""
    found = getattr(names, name, None)
    if found is None:
        have = ", ".join(sorted(n for n in names.__members__ if n[0].isupper()))
        raise EngineError(f"{flavor.name} {flavor.version} has no {name} (it has {have})")
    return found


def _timing_cache(config: Any, options: Options) -> Any:
    if options.timing_cache is None:
        return None
    stored = b""
    with suppress(OSError):
        stored = options.timing_cache.read_bytes()
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


def _logger(trt: Any, log: Callable[[str], None] | None) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""
            self.layers: list[Layer] = []

        def log(self, severity: Any, message: str) -> None:
            self.layers += layers_in(message)
            if severity <= trt.ILogger.Severity.ERROR:
                self.last_error = " ".join(message.split())[:300]
            if log is not None:
                log(f"{severity.name.lower()}: {message}")

    return Logger()


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            progress.start(phase, parent, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            return progress.step(phase, step)

        def phase_finish(self, phase: str) -> None:
            progress.finish(phase)

    return Monitor()
