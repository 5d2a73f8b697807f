"""Valid inputs, made here: the beginnings of all mutations."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from engine_build.calibration.images import find_images
from engine_build.calibration.record import Calibration, calibrate
from engine_build.onnx import contract
from engine_build.precision.prepare import normalized
from tests.fuzz.invariants import captured
from tests.support import report_items
from tests.support.manifests import GOOD, PLAN
from tests.support.networks import contract_file, weight
from tests.support.photos import PORTRAIT
from tests.support.specs import small_spec
from trt_mogface.errors import ImageError
from trt_mogface.evaluation.wider_face import SETTINGS
from trt_mogface.images import read_image
from trt_mogface.models.cascade import MANIFEST, STAGES, CascadeManifest
from trt_mogface.models.manifest import Manifest
from trt_mogface.spec import InputSpec, Origin, Thresholds
from trt_mogface.video.records import encode

NETWORK = "small"
SIDES = ((9, 13), (48, 64))
"""Heights and widths of the images: nearly nothing but header, and some of everything."""

JPEG = {"quality": 60, "progressive": True, "subsampling": 2}
OPTIONS: Mapping[str, Sequence[dict[str, Any]]] = {
    "AVIF": ({"speed": 10},),
    "JPEG": ({}, JPEG),
    "PNG": ({}, {"optimize": True}),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "jpeg"}),
    "WEBP": ({}, {"lossless": True}),
}
MODES = ("RGB", "L", "RGBA", "P", "1", "I;16", "CMYK", "LA")
OPENCV = (".jp2", ".ras", ".pnm", ".exr", ".hdr", ".pfm", ".pam")


@cache
def images() -> list[bytes]:
    """Return small images in every format, mode and compression that can be written here and that we read."""
    made = []
    Image.init()
    with captured():  # libraries complain about formats that they do not write
        for height, width in SIDES:
            pixels = cv2.resize(read_image(PORTRAIT), (width, height)).astype(np.uint8)
            made += [_saved(pixels, *each) for each in _variants()]
            made += [_by_opencv(pixels, suffix) for suffix in OPENCV]
        return [data for data in dict.fromkeys(made) if data and _is_read(data)]


def _variants() -> list[tuple[str, str, dict[str, Any]]]:
    kinds = [kind for kind in sorted(Image.SAVE) if Image.MIME.get(kind, "").startswith("image/")]
    kinds = [kind for kind in kinds if kind != "ICNS"]  # it takes longer than all others, and is not read
    variants = [(kind, mode, each) for kind in kinds for mode in MODES for each in OPTIONS.get(kind, ({},))]
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        *variants,
        *((kind, "RGB", {"exif": exif.tobytes()}) for kind in ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")),
    ]


def _saved(pixels: NDArray[np.uint8], kind: str, mode: str, options: dict[str, Any]) -> bytes:
    image, file = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])), io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
            image.save(file, kind, **options)
    except Exception:  # noqa: BLE001 -- Pillow raises anything where a format lacks a mode or a library
        return b""
    return file.getvalue()


def _by_opencv(pixels: NDArray[np.uint8], suffix: str) -> bytes:
    try:
        done, data = cv2.imencode(
            suffix, pixels.astype(np.float32) if suffix in (".exr", ".hdr", ".pfm") else pixels
        )
    except cv2.error:
        return b""
    return bytes(data) if done else b""


def _is_read(data: bytes) -> bool:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        try:
            read_image(file.name)
        except ImageError:
            return False
    return True


@cache
def photo() -> bytes:
    """Return a photo of 64x48 as a PNG file."""
    done, data = cv2.imencode(".png", cv2.resize(read_image(PORTRAIT), (64, 48)))
    assert done
    return bytes(data)


@cache
def network() -> bytes:
    """Return a contract file of two levels with convolutions to quantize."""
    node = helper.make_node
    nodes = [
        node("Conv", ["pixels", "w1", "b1"], ["c1"], "first", strides=[8, 8]),
        node("Relu", ["c1"], ["x1"], "relu 1"),
        node("Conv", ["x1", "w2"], ["c2"], "second", strides=[2, 2]),
        node("Relu", ["c2"], ["x2"], "relu 2"),
    ]
    stored: dict[str, NDArray[Any]] = {
        "w1": weight(8, 3, 8, 8) / 255, "b1": weight(8), "w2": weight(8, 8, 2, 2),
        "row": np.array([0, -1]), "rows": np.array([0, -1, 4]),
    }  # fmt: skip
    for level in "12":
        stored |= {f"ws{level}": weight(2, 8, 1, 1), f"wd{level}": weight(8, 8, 1, 1) / 10}
        for head, shape in (("s", "row"), ("d", "rows")):
            name = f"{head}{level}"
            nodes += [
                node("Conv", [f"x{level}", f"w{name}"], [f"map {name}"], f"head {name}"),
                node("Transpose", [f"map {name}"], [f"turned {name}"], perm=[0, 2, 3, 1]),
                node("Reshape", [f"turned {name}", shape], [name]),
            ]
    nodes += [
        node("Concat", ["s1", "s2"], ["logits"], axis=1),
        node("Sigmoid", ["logits"], ["scores"]),
        node("Concat", ["d1", "d2"], ["deltas"], axis=1),
    ]
    with tempfile.TemporaryDirectory() as folder:
        return contract_file(Path(folder) / "network.onnx", nodes, stored).read_bytes()


@cache
def calibration() -> Calibration:
    """Return a calibration of `network`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(4):
            pixels = np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8)
            cv2.imwrite(str(folder / f"{index}.png"), pixels)
        (folder / "network.onnx").write_bytes(network())
        model = normalized(contract.load(folder / "network.onnx"), "int8")
        return calibrate(model, NETWORK, "minmax", find_images(str(folder), InputSpec(), (64, 64), 4))


def manifest(plan: bytes = PLAN) -> Manifest:
    """Return the manifest of a plan."""
    digest, size = hashlib.sha256(plan).hexdigest(), len(plan)
    return dataclasses.replace(GOOD, spec=small_spec(landmarks=5), plan_sha256=digest, plan_bytes=size)


EVENT, NAMES = "0--Parade", ("one", "two")
FACES = ([[1, 2, 30, 40], [5, 6, 7, 8], [9, 9, 9, 9]], [[3, 4, 20, 25]])

ANNOTATIONS = f"""{EVENT}/one.jpg
3
1 2 30 40 0 0 0 0 0 0
5 6 7 8 0 0 0 0 0 0
9 9 9 9 1 0 0 0 1 0
{EVENT}/two.jpg
1
3 4 20 25 0 0 0 0 0 0
{EVENT}/three.jpg
1
3 4 20 25 0 0 0 0 0 0
{EVENT}/none.jpg
0
0 0 0 0 0 0 0 0 0 0
"""
PREDICTIONS = f"{EVENT}/one.jpg\n2\n1.50 2.00 29.00 41.25 0.912345\n5.00 6.00 8.00 8.00 0.200000\n"
SUBSET = f"{EVENT}/one\n{EVENT}/two.jpg\n"


def truth() -> list[dict[str, Any]]:
    """Return ground truth as JSON has it."""
    counted = {setting: [0] for setting in SETTINGS}
    return [
        {"event": EVENT, "file": name, "boxes_xywh": faces, **counted} for name, faces in zip(NAMES, FACES)
    ]


@cache
def cascade() -> dict[str, bytes]:
    """Return the files of a cascade's folder by name; its networks are never run."""
    networks = {stage: stage.encode() for stage in STAGES}
    digests = {stage: hashlib.sha256(data).hexdigest() for stage, data in networks.items()}
    manifest = CascadeManifest("small", Thresholds(0.9, 0.7), Origin("a place", "MIT", ""), digests)
    files = {f"{stage}.onnx": data for stage, data in networks.items()}
    return {**files, MANIFEST: manifest.to_json().encode()}


@cache
def arrays() -> bytes:
    """Return a pickled dictionary of arrays, such as MTCNN's weights are."""
    buffer = io.BytesIO()
    named = {"features.conv1.weight": np.ones((2, 3, 1, 1), np.float32), "bias": np.zeros(2, np.float32)}
    np.save(buffer, named, allow_pickle=True)  # type: ignore[arg-type]
    return buffer.getvalue()


def records() -> list[bytes]:
    """Return the records of a camera that is lost and of a file, a line each."""
    items = [*report_items.items("door", 130, is_live=True), *report_items.items("a.mp4", 9, is_live=False)]
    return [line for item in items for line in encode(item).splitlines(keepends=True)]
