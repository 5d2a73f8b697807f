"""The targets: each writes one mutated input into a folder, and says how the product reads it."""

from __future__ import annotations

import dataclasses
import io
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from engine_build.calibration.record import load_calibration
from engine_build.models.adapted import adapted
from engine_build.models.mtcnn.weights import read_arrays
from engine_build.onnx import contract
from engine_build.validation.annotations import read_annotations
from tests.fuzz import foreign, matlab, seeds
from tests.fuzz.invariants import MADE, Use, require
from tests.fuzz.mutation import mutate_bytes, mutate_json, mutate_text
from tests.fuzz.network import mutate_network
from tests.support.cascade_engines import engines, write_engines
from tests.support.manifests import PLAN
from trt_mogface.backends.onnxruntime import read_spec
from trt_mogface.backends.registry import open_backend
from trt_mogface.detections import Detections
from trt_mogface.detector import Detector
from trt_mogface.evaluation.predictions import read_predictions
from trt_mogface.evaluation.wider_face import Annotated, read_ground_truth, read_subset
from trt_mogface.frame import MAX_PIXELS
from trt_mogface.images import read_image
from trt_mogface.models.cascade import MANIFEST, load_cascade
from trt_mogface.models.cascade_engine import load_cascade_engine
from trt_mogface.models.manifest import CASCADE_MANIFEST, load_manifest, load_plan
from trt_mogface.video.report import read_reports

SIZE = ("--size", "64x64", "--threads", "1")


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        name: Its name.
        write: Writes a mutated input to a folder.
        uses: Ways in which the library reads it.
        commands: Commands that read it, run in the folder; they write files named ``made...`` at most.
        share: Cases of each round through all targets.
        every: Number of cases of which one is tried with the commands too.
    """

    name: str
    write: Callable[[Random, Path], None]
    uses: tuple[Use, ...]
    commands: tuple[tuple[str, ...], ...]
    share: int = 2
    every: int = 4


def _image(rng: Random, folder: Path) -> None:
    data = rng.choice(seeds.images())
    mutated = mutate_bytes(rng, data, seeds.images())
    if data.startswith(PNG) and rng.random() < 0.7:
        mutated = _checksummed(mutated)
    (folder / "image").write_bytes(mutated)
    (folder / "network.onnx").write_bytes(seeds.network())


PNG = b"\x89PNG\r\n\x1a\n"


def _checksummed(data: bytes) -> bytes:
    """Return a PNG file with right checksums, without which nothing else of a mutation is looked at."""
    made, at = bytearray(data), len(PNG)
    while at + 12 <= len(made):
        end = at + 8 + int.from_bytes(made[at : at + 4], "big")
        if end + 4 > len(made):
            break
        made[end : end + 4] = zlib.crc32(made[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(made)


def _read_image(folder: Path) -> None:
    image = read_image(folder / "image")
    height, width, channels = image.shape
    require(image.dtype == np.uint8 and channels == 3, "the image is not uint8 [H, W, 3]")
    require(0 < height * width <= MAX_PIXELS, "the image has an impossible size")
    with Image.open(io.BytesIO((folder / "image").read_bytes())) as header:
        require(
            sorted(header.size) == sorted((height, width)), "the image has another size than its header says"
        )


def _onnx(rng: Random, folder: Path) -> None:
    (folder / "network.onnx").write_bytes(mutate_network(rng, seeds.network()))
    (folder / "image.png").write_bytes(seeds.photo())


def _foreign(rng: Random, folder: Path) -> None:
    (folder / "network.onnx").write_bytes(foreign.mutated(rng))


def _adapt(folder: Path) -> None:
    made = adapted(folder / "network.onnx", foreign.FAMILY)
    require(foreign.has_boxes_of(folder / "network.onnx", made), "other boxes than those of the file")


def _check_faces(faces: Detections) -> None:
    finite = np.isfinite(faces.xyxy).all() and np.isfinite(faces.confidence).all()
    require(bool(finite), "faces are not finite")
    require(bool(((faces.confidence >= 0) & (faces.confidence <= 1)).all()), "a score lies outside 0..1")
    require(faces.dropped >= 0, "a negative number of candidates was dropped")


def _read_spec(folder: Path) -> None:
    read_spec(folder / "network.onnx")


def _load_model(folder: Path) -> None:
    contract.load(folder / "network.onnx")


def _detect(folder: Path) -> None:
    with Detector(folder / "network.onnx", size=(64, 64), threads=1) as detector:
        _check_faces(detector(read_image(folder / "image.png")))


def _manifest(rng: Random, folder: Path) -> None:
    text = seeds.manifest().to_json()
    data = mutate_text(rng, text) if rng.random() < 0.3 else mutate_json(rng, json.loads(text)).encode()
    (folder / "small.engine.json").write_bytes(data)
    (folder / "small.engine").write_bytes(PLAN)


def _load_manifest(folder: Path) -> None:
    require(load_manifest(folder / "small.engine") == seeds.manifest(), "the manifest says something else")


def _cascade(rng: Random, folder: Path) -> None:
    (folder / "cascade").mkdir()
    for name, data in seeds.cascade().items():
        (folder / "cascade" / name).write_bytes(data)
    text = seeds.cascade()[MANIFEST].decode()
    data = mutate_text(rng, text) if rng.random() < 0.3 else mutate_json(rng, json.loads(text)).encode()
    (folder / "cascade" / MANIFEST).write_bytes(data)
    (folder / "image.png").write_bytes(seeds.photo())


def _load_cascade(folder: Path) -> None:
    text = seeds.cascade()[MANIFEST].decode()
    found = json.loads(load_cascade(folder / "cascade").to_json())
    require(found == json.loads(text), "the manifest says something else")


def _cascade_engine(rng: Random, folder: Path) -> None:
    (folder / "engines").mkdir()
    write_engines(folder / "engines")
    path = folder / "engines" / CASCADE_MANIFEST
    text = path.read_text()
    data = mutate_text(rng, text) if rng.random() < 0.3 else mutate_json(rng, json.loads(text)).encode()
    path.write_bytes(data)


def _load_cascade_engine(folder: Path) -> None:
    require(load_cascade_engine(folder / "engines") == engines(), "the manifest says something else")


def _arrays(rng: Random, folder: Path) -> None:
    (folder / "pnet.npy").write_bytes(mutate_bytes(rng, seeds.arrays()))


def _read_arrays(folder: Path) -> None:
    for name, array in read_arrays(folder / "pnet.npy").items():
        require(isinstance(name, str) and array.dtype == np.float32, "an entry is no array of floats")


def _engine(rng: Random, folder: Path) -> None:
    plan = mutate_bytes(rng, PLAN)
    fits = rng.random() < 0.5
    (folder / "small.engine").write_bytes(plan)
    (folder / "small.engine.json").write_text(seeds.manifest(plan if fits else PLAN).to_json())
    (folder / "image.png").write_bytes(seeds.photo())
    (folder / "network.onnx").write_bytes(seeds.network())


def _load_engine(folder: Path) -> None:
    engine = folder / "small.engine"
    manifest = load_manifest(engine)
    require(load_plan(engine, manifest) == engine.read_bytes(), "the plan is not that of the file")
    open_backend(engine).close()


def _calibration(rng: Random, folder: Path) -> None:
    text = seeds.calibration().to_json()
    data = mutate_text(rng, text) if rng.random() < 0.3 else mutate_json(rng, json.loads(text)).encode()
    (folder / "calibration.json").write_bytes(data)
    (folder / "network.onnx").write_bytes(seeds.network())


def _load_calibration(folder: Path) -> None:
    found = load_calibration(folder / "calibration.json")
    require(found == seeds.calibration(), "the calibration says something else")


def _boxes(rng: Random, folder: Path) -> None:
    (folder / "boxes.txt").write_bytes(mutate_text(rng, seeds.ANNOTATIONS))
    (folder / "network.onnx").write_bytes(seeds.network())
    for name in ("one", "two", "three", "none"):
        path = folder / seeds.EVENT / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(seeds.photo())


def _read_boxes(folder: Path) -> None:
    for faces in read_annotations(folder / "boxes.txt").values():
        require(faces.dtype == np.float64 and faces.shape[1:] == (4,), "boxes are not float64 [n, 4]")
        require(bool(np.isfinite(faces).all()), "a box is not finite")


def _truth(rng: Random, folder: Path) -> None:
    text = json.dumps(seeds.truth(), indent=1)
    data = mutate_text(rng, text) if rng.random() < 0.3 else mutate_json(rng, seeds.truth()).encode()
    (folder / "truth.json").write_bytes(data)
    _write_predictions(folder, seeds.PREDICTIONS.encode())


def _matlab(rng: Random, folder: Path) -> None:
    (folder / "gt").mkdir()
    damaged = rng.choice(sorted(matlab.contents()))
    for name, content in matlab.contents().items():
        data = matlab.encoded(content, compressed=rng.random() < 0.3)
        if name == damaged:
            data = matlab.mutated(rng, content, data)
        (folder / "gt" / f"{name}.mat").write_bytes(data)
    _write_predictions(folder, seeds.PREDICTIONS.encode())


def _read_json(folder: Path) -> None:
    _check_truth(read_ground_truth(folder / "truth.json"))


def _read_matlab(folder: Path) -> None:
    _check_truth(read_ground_truth(folder / "gt"))


def _check_truth(images: Sequence[Annotated]) -> None:
    require(len(images) > 0, "the ground truth is empty")
    for image in images:
        require(bool(np.isfinite(image.faces).all()), "a box is not finite")
        require(all(len(flags) == len(image.faces) for flags in image.counted.values()), "flags do not fit")
        inside = not Path(image.key).is_absolute() and ".." not in Path(image.key).parts
        require(inside, "an image lies outside of its folder")


def _subset(rng: Random, folder: Path) -> None:
    (folder / "truth.json").write_text(json.dumps(seeds.truth()))
    (folder / "subset.txt").write_bytes(mutate_text(rng, seeds.SUBSET))
    (folder / "subset.json").write_text(mutate_json(rng, seeds.truth()))
    _write_predictions(folder, seeds.PREDICTIONS.encode())


def _read_subset_text(folder: Path) -> None:
    _read_subset(folder, "subset.txt")


def _read_subset_json(folder: Path) -> None:
    _read_subset(folder, "subset.json")


def _read_subset(folder: Path, name: str) -> None:
    truth = read_ground_truth(folder / "truth.json")
    found = read_subset(folder / name, truth)
    require(0 < len(found) <= len(truth), "the subset has an impossible size")


def _predictions(rng: Random, folder: Path) -> None:
    (folder / "truth.json").write_text(json.dumps(seeds.truth()))
    _write_predictions(folder, mutate_text(rng, seeds.PREDICTIONS))


def _write_predictions(folder: Path, data: bytes) -> None:
    path = folder / "predictions" / seeds.EVENT / "one.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


def _read_predictions(folder: Path) -> None:
    for each in read_predictions(folder / "predictions", read_ground_truth(folder / "truth.json")).found:
        require(len(each.boxes) == len(each.scores), "boxes and scores differ in number")
        require(
            bool(np.isfinite(each.boxes).all() and np.isfinite(each.scores).all()), "a number is not finite"
        )


def _records(rng: Random, folder: Path) -> None:
    lines = seeds.records()
    if rng.random() < 0.3:
        data = mutate_bytes(rng, b"".join(lines))
    else:
        for number in rng.sample(range(len(lines)), 1 + rng.randrange(3)):
            lines[number] = mutate_json(rng, json.loads(lines[number])).encode() + b"\n"
        data = b"".join(lines)
    (folder / "records.jsonl").write_bytes(data)


def _read_records(folder: Path) -> None:
    sources, problems = read_reports([folder / "records.jsonl"])
    for source in sources.values():
        counted = sum(each.frames for _, each in source.series.bins())
        require(counted <= source.total.frames, "frames were counted twice")
    require(len(problems) <= 1, "one file has several problems")


DETECT = ("detect", "image.png", "--model")
BUILD = ("build", "network.onnx", "--precision", "int8", "--output", f"{MADE}.onnx")
EVAL = ("eval", "wider", "--predictions", "predictions")
JSON = ("--json", "-")

TARGETS = {
    target.name: target
    for target in (
        Target(
            "images", _image, (_read_image,),
            (("detect", "image", "--model", "network.onnx", *SIZE, *JSON),), share=6,
        ),
        Target(
            "onnx",
            _onnx,
            (_read_spec, _load_model, _detect),
            (
                ("inspect", "network.onnx"),
                (*DETECT, "network.onnx", *SIZE, *JSON),
                ("build", "network.onnx", "--precision", "fp16", "--output", f"{MADE}.onnx"),
            ),
            share=6,
        ),
        Target(
            "foreign", _foreign, (_adapt,),
            (("adapt", "network.onnx", "--as", foreign.FAMILY, "--output", f"{MADE}.onnx"),), share=4,
        ),
        Target("manifests", _manifest, (_load_manifest,), (("inspect", "small.engine"),)),
        Target(
            "cascades", _cascade, (_load_cascade,),
            (("inspect", "cascade"), (*DETECT, "cascade")), share=1,
        ),
        Target(
            "cascade engines", _cascade_engine, (_load_cascade_engine,), (("inspect", "engines"),), share=1,
        ),
        Target("arrays", _arrays, (_read_arrays,), (), share=1),
        Target(
            "engines", _engine, (_load_engine,),
            (
                ("inspect", "small.engine"),
                (*DETECT, "small.engine"),
                ("refit", "small.engine", "network.onnx", "--output", f"{MADE}.engine"),
            ),
            share=1,
        ),
        Target(
            "calibrations", _calibration, (_load_calibration,),
            ((*BUILD, "--calib-cache", "calibration.json"),), every=8,
        ),
        Target(
            "boxes", _boxes, (_read_boxes,),
            ((*BUILD, "--calib", seeds.EVENT, "--boxes", "boxes.txt"),), every=16,
        ),
        Target(
            "truth", _truth, (_read_json,),
            ((*EVAL, "--gt", "truth.json", *JSON),),
        ),
        Target(
            "matlab", _matlab, (_read_matlab,),
            ((*EVAL, "--gt", "gt", *JSON),), every=16,
        ),
        Target(
            "subsets", _subset, (_read_subset_text, _read_subset_json),
            (
                (*EVAL, "--gt", "truth.json", "--subset", "subset.txt", *JSON),
                (*EVAL, "--gt", "truth.json", "--subset", "subset.json", *JSON),
            ),
            share=1,
        ),
        Target(
            "records", _records, (_read_records,),
            (("report", "records.jsonl", "--output", "-"),), every=16,
        ),
        Target(
            "predictions", _predictions, (_read_predictions,), ((*EVAL, "--gt", "truth.json", *JSON),)
        ),
    )
}  # fmt: skip
