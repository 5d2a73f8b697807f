"""A Triton model repository: a model with its configuration, for any number of versions.

An engine that ends in faces becomes a ``tensorrt_plan``, with the plugin library beside it.  Every other
model becomes a Python model, which runs this package's `Runner` in Triton's Python process.  No Python model
stands in front of a plan: the contract takes the bytes of an image, and an ensemble would copy them again.
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trt_mogface._files import whole_folder, write_text
from trt_mogface._optional import needs
from trt_mogface.backends.options import DetectorOptions, SlotOptions, check_options, given
from trt_mogface.backends.registry import open_backend
from trt_mogface.backends.triton import served
from trt_mogface.backends.triton.served import ServedModel
from trt_mogface.errors import ArgumentError, EngineError, OutputError, first_line
from trt_mogface.kernels.library import PLUGIN_NAME, find_plugin
from trt_mogface.models.files import model_path
from trt_mogface.models.manifest import Manifest, is_cascade_engine, is_engine, load_manifest, manifest_path
from trt_mogface.spec import NAME

CONFIG, README, PLAN, SHIM = "config.pbtxt", "README.md", "model.plan", "model.py"
PLUGIN_OPTION = "--backend-config=tensorrt,plugins={}"

MODEL_PY = '''\
"""The model of trt-mogface for Triton's Python backend; needs the package trt-mogface in its Python."""

from trt_mogface.serving.triton_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''

TEXT = """\
# {name}

A face detector for Triton, written by trt-mogface. {form}

Start Triton:

    {start}

Find faces:

    trt-mogface detect photo.jpg --model triton://localhost:8001/{name}
"""


@dataclass(frozen=True)
class TritonOptions:
    """Options of a served model.

    Attributes:
        name: Name of the model in the repository; None for the model's own.
        version: Number of the version; None for the next one.
        batch: Largest batch of the network, to which Triton gathers requests.
        max_delay_ms: Milliseconds that a request waits for others.
        instances: Instances on each device.
        queue: Largest number of waiting requests; Triton rejects more.
        cache: Whether Triton answers repeated images from its cache.
        warmup: Width and height in pixels of an image that is run before the model is ready; None for none.
        detector: Options of the Python model's `Runner`.

    Raises:
        ArgumentError: If a value is impossible.
    """

    name: str | None = None
    version: int | None = None
    batch: int = 8
    max_delay_ms: float = 2.0
    instances: int = 1
    queue: int = 64
    cache: bool = False
    warmup: tuple[int, int] | None = None
    detector: DetectorOptions = field(default_factory=DetectorOptions)

    def __post_init__(self) -> None:
        check_options(self.detector)
        if self.name is not None and not NAME.fullmatch(self.name):
            raise ArgumentError("name", "must be letters, digits, points and hyphens", repr(self.name)[:80])
        for name in ("version", "batch", "instances", "queue"):
            value = getattr(self, name)
            if value is not None and not 1 <= value < 1 << 31:
                raise ArgumentError(name, "must be a positive whole number", value)
        if not 0 <= self.max_delay_ms < 1e6:
            raise ArgumentError("max_delay_ms", "must be within 0..1000000", self.max_delay_ms)


@dataclass(frozen=True)
class Written:
    """A version that was written.

    Attributes:
        folder: Folder of the model, with its configuration and its versions.
        version: Number of the version.
        option: Option with which Triton has to be started; empty for none.
    """

    folder: Path
    version: int
    option: str


@dataclass(frozen=True)
class _Form:
    """A way to serve a model: what a version consists of, and how the configuration runs it."""

    served: ServedModel
    files: dict[str, Path]
    """Files and folders of a version by their name in it."""
    runs: dict[str, Any]
    """Fields of the configuration that say what runs the model."""
    outputs: tuple[dict[str, Any], ...]
    sizes: tuple[int, int]
    """Height and width of the input; -1 for any."""
    on_gpu: bool
    parameters: dict[str, str]
    text: str


def write_model(repository: Path, model: str, options: TritonOptions) -> Written:
    """Add a version of a model to a repository, whole or not at all; other versions stay.

    Args:
        repository: Folder of the models; it is created.
        model: Engine, contract ONNX file, folder of a cascade, or name of a model.
        options: Options of the served model.

    Raises:
        ArgumentError: If an option does not apply to the model.
        EngineError: If an engine is not one that Triton can run.
        ModelError: If the model is unknown or unreadable.
        OutputError: If the repository has another model of this name, the version exists, or a file cannot be
            written.
        MissingExtraError: If the extra ``triton`` is not installed.
    """
    if is_cascade_engine(model):
        problem = "engines of a cascade, which a repository cannot hold"
        raise EngineError(f"{model}: {problem}; give the folder of its ONNX files")
    manifest = load_manifest(Path(model)) if is_engine(model) else None
    if manifest is not None and manifest.end_to_end:
        form = _plan(Path(model), manifest, options)
    else:
        form = _python_model(model, manifest, options)
    folder = repository / (options.name or form.served.info.name)
    known = _read_config(folder)
    version = options.version or 1 + max(_versions(folder), default=0)
    place = folder / str(version)
    if place.exists():
        raise OutputError(f"{place}: the version exists; choose another one with version")
    config = _config(folder.name, form, options)
    config.parameters[served.parameter(version)].string_value = form.served.to_json()
    _keep_facts(config, known, folder)
    plugin = form.files.get(PLUGIN_NAME)
    option = PLUGIN_OPTION.format(place / PLUGIN_NAME) if plugin else ""
    start = " ".join(["tritonserver", f"--model-repository={repository}", *filter(None, [option])])
    readme = TEXT.format(name=folder.name, form=form.text, start=start)
    _write(folder, version, form, {CONFIG: _text_of(config), README: readme})
    return Written(folder, version, option)


def _plan(engine: Path, manifest: Manifest, options: TritonOptions) -> _Form:
    spec, changed = manifest.spec, given(options.detector)
    if manifest.flavor != "tensorrt":
        raise EngineError(
            f"{engine}: built with {manifest.flavor}, which Triton lacks; build it with TensorRT"
        )
    if changed:
        problem = f"{engine} ends in faces, with its own thresholds; omit it, or build the engine with it"
        raise ArgumentError(next(iter(changed)), problem)
    most, points = spec.thresholds.most_faces, spec.landmarks
    most_images = max(profile.max[0] for profile in manifest.profiles)
    if options.batch > most_images:
        raise ArgumentError("batch", f"{engine} takes up to {most_images} images; use less", options.batch)
    fixed = {profile.min[1:] for profile in manifest.profiles} | {p.max[1:] for p in manifest.profiles}
    landmarks = [_tensor(served.LANDMARKS, "TYPE_FP32", most, points, 2)] if points else []
    return _Form(
        ServedModel(SlotOptions.resolve(spec, {}).info, "network input", spec),
        {PLAN: engine, PLUGIN_NAME: find_plugin()},
        {"platform": "tensorrt_plan"},
        (
            _tensor(served.COUNTS, "TYPE_INT32", 1) | {"reshape": {"shape": []}},
            _tensor(served.BOXES, "TYPE_FP32", most, 4),
            _tensor(served.SCORES, "TYPE_FP32", most),
            *landmarks,
        ),
        fixed.pop() if len(fixed) == 1 else (-1, -1),
        True,
        {},
        "Triton runs the engine, which ends in faces; clients scale images to its input.",
    )


def _python_model(model: str, manifest: Manifest | None, options: TritonOptions) -> _Form:
    detector: Any = {**given(options.detector)}
    if manifest is not None:
        info, on_gpu = SlotOptions.resolve(manifest.spec, options.detector).info, True
        name, sources = "model.engine", {"model.engine": Path(model)}
        sources[manifest_path(Path(name)).name] = manifest_path(Path(model))
    else:
        path = model_path(model, detector.pop("weights", None), detector.pop("min_face", None))
        on_gpu = path.is_dir() and any(path.glob("*.engine"))
        with closing(open_backend(path, **detector)) as backend:
            info = backend.info
        name = "model" if path.is_dir() else "model.onnx"
        sources = {name: path}
    counts = (served.COUNTS, served.DROPPED, served.TRUNCATED)
    points = [_tensor(served.LANDMARKS, "TYPE_FP32", -1, info.landmarks, 2)] if info.landmarks else []
    return _Form(
        ServedModel(info, "images"),
        sources,
        {"backend": "python"},
        (
            *(_tensor(each, "TYPE_INT32", 1) for each in counts),
            _tensor(served.BOXES, "TYPE_FP32", -1, 4),
            _tensor(served.SCORES, "TYPE_FP32", -1),
            *points,
        ),
        (-1, -1),
        on_gpu,
        {served.FILE: name, served.OPTIONS: json.dumps(detector)},
        "A Python model runs a Runner of the package, which the Python of Triton must have installed.",
    )


def _tensor(name: str, kind: str, *dims: int) -> dict[str, Any]:
    return {"name": name, "data_type": kind, "dims": list(dims)}


def _config(name: str, form: _Form, options: TritonOptions) -> Any:
    """Return the configuration as Triton's own message."""
    with needs("triton"):
        from google.protobuf import json_format
        from tritonclient.grpc import model_config_pb2
    images = _tensor(served.IMAGES, "TYPE_UINT8", *form.sizes, 3)
    fields: dict[str, Any] = {
        "name": name,
        **form.runs,
        "max_batch_size": options.batch,
        # A Python model gets requests one by one, so that images of all sizes are in a batch.
        "input": [images | ({"allow_ragged_batch": True} if form.parameters else {})],
        "output": list(form.outputs),
        "instance_group": [{"count": options.instances, "kind": "KIND_GPU" if form.on_gpu else "KIND_CPU"}],
        "dynamic_batching": {
            "max_queue_delay_microseconds": round(1000 * options.max_delay_ms),
            "default_queue_policy": {"max_queue_size": options.queue, "allow_timeout_override": True},
        },
        "version_policy": {"all": {}},
        "parameters": {key: {"string_value": value} for key, value in form.parameters.items()},
    }
    if options.cache:
        fields["response_cache"] = {"enable": True}
    if options.warmup is not None:
        width, height = options.warmup
        noise = {"data_type": "TYPE_UINT8", "dims": [height, width, 3], "random_data": True}
        fields["model_warmup"] = [
            {"name": "first image", "batch_size": 1, "inputs": {served.IMAGES: noise}, "count": 1}
        ]
    return json_format.ParseDict(fields, model_config_pb2.ModelConfig())


def _text_of(config: Any) -> str:
    from google.protobuf import text_format

    return str(text_format.MessageToString(config))


def _read_config(folder: Path) -> Any:
    """Return the configuration of a model that this package wrote; None if there is no such folder.

    Raises:
        OutputError: If the folder has anything else.
    """
    with needs("triton"):
        from google.protobuf import text_format
        from tritonclient.grpc import model_config_pb2
    if not folder.exists():
        return None
    try:
        text = (folder / CONFIG).read_text(encoding="utf-8")
        found = text_format.Parse(text, model_config_pb2.ModelConfig())
    except (OSError, ValueError, text_format.ParseError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OutputError(f"{folder}: not a model of trt-mogface ({reason}); choose another name") from error
    if not any(key.startswith(served.parameter(0)[:-1]) for key in found.parameters):
        raise OutputError(f"{folder}: not a model of trt-mogface; choose another name")
    return found


def _versions(folder: Path) -> list[int]:
    return [int(each.name) for each in folder.glob("[0-9]*") if each.name.isdecimal()]


def _keep_facts(config: Any, known: Any, folder: Path) -> None:
    """Copy the facts about the other versions into a configuration that holds for all of them.

    Raises:
        OutputError: If they are versions of another model.
    """
    if known is None:
        return
    same = ("platform", "backend", "input", "output", "instance_group")
    if any(getattr(config, name) != getattr(known, name) for name in same) or any(
        config.parameters[key] != known.parameters[key]
        for key in (served.FILE, served.OPTIONS)
        if key in known.parameters
    ):
        raise OutputError(
            f"{folder}: has another model, with other tensors or options; "
            "choose another name, or use the same options"
        )
    for key, value in known.parameters.items():
        if key not in config.parameters:
            config.parameters[key].CopyFrom(value)


def _write(folder: Path, version: int, form: _Form, texts: dict[str, str]) -> None:
    """Write a version, and then the configuration that knows of it; a new model appears as a whole."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder) as temporary:
            _copy(form, temporary / str(version))
            for name, text in texts.items():
                (temporary / name).write_text(text, encoding="utf-8")
        return
    with whole_folder(folder / str(version)) as temporary:
        _copy(form, temporary)
    for name, text in texts.items():
        write_text(folder / name, text)


def _copy(form: _Form, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, source in form.files.items():
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, folder / name)
    if form.parameters:
        (folder / SHIM).write_text(MODEL_PY, encoding="utf-8")
