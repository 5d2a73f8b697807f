"""`DetectorSpec`: what the tensors of a detector mean, stored as JSON inside its ONNX file.

The contract: a detector is an ONNX file with one input ``images`` (uint8 [N, H, W, 3], BGR; or float32
[N, 3, H, W] with the same values, see `InputSpec.layout`) and the outputs ``scores`` (float32 [N, A]),
``deltas`` (float32 [N, A, 4]) and, where the model has landmarks, ``landmarks`` (float32 [N, A, 2 P]).  A
counts the anchors level by level (finest stride first), row by row, and side by side within a cell.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from trt_mogface import _json
from trt_mogface.errors import ModelError

METADATA_KEY = "trt_mogface.spec"
"""Key of the spec in the ONNX file's ``metadata_props``."""

CONTRACT_VERSION = 2

INPUT = "images"
SCORES, DELTAS, LANDMARKS = "scores", "deltas", "landmarks"
NUM_DETECTIONS = "num_detections"
"""Output that only a model has that ends in faces."""

Coding = Literal["ssd", "distance"]
CODINGS: tuple[Coding, ...] = get_args(Coding)
"""All box codings; the kernels and the plugin are tested against this list."""

Resize = Literal["letterbox", "stretch"]
Layout = Literal["nhwc-uint8", "nchw-float32"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
"""Form of a model's name, which becomes part of file names."""

MAX_LEVELS, MAX_SIDE, MAX_LANDMARKS = 16, 1 << 16, 68
"""Limits beyond which a spec is a mistake or an attack."""

UNLIMITED = (1 << 31) - 1
"""Value of a limit that does not limit."""

MATCH_IOU = 0.35
"""IoU from which training matches an anchor with a face (S3FD, Zhang et al. 2017, and its successors)."""


@dataclass(frozen=True)
class Level:
    """One level of the feature pyramid: a grid of ceil(H / stride) x ceil(W / stride) cells.

    Attributes:
        stride: Pixels between neighboring cells.
        sides: Sides of the square anchors of each cell in pixels, in output order.
        max_face: Side in pixels of the largest face that the level was trained to see; None derives it from
            the anchors.
    """

    stride: int
    sides: tuple[float, ...]
    max_face: float | None = None

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of the level for a network input of ``height`` x ``width`` pixels."""
        return -(-height // self.stride), -(-width // self.stride)

    @property
    def largest_face(self) -> float:
        """Side in pixels of the largest square face that the level was trained to see.

        An anchor of side a within a face of side f overlaps it by (a / f) squared, which `MATCH_IOU` bounds.
        """
        return self.max_face or max(self.sides) / math.sqrt(MATCH_IOU)


@dataclass(frozen=True)
class BoxCoding:
    """How deltas become boxes; `trt_mogface.reference.decode` has the formulas.

    Attributes:
        kind: ``ssd`` (center and log size, times variances) or ``distance`` (left, top, right, bottom in
            anchor sides).
        variances: Factors of the center and of the log size; used by ``ssd`` only.
        center: Position of an anchor in its cell, in strides: 0.5 is the middle, 0 the top left corner.
        inclusive: Whether corners are pixel centers, so that a box from x0 to x1 is x1 - x0 + 1 wide.
        spread: Whether anchor centers are spread evenly over the image and sides are limited to it, as in
            ULFD, instead of lying on multiples of the stride.
    """

    kind: Coding
    variances: tuple[float, float] = (1.0, 1.0)
    center: float = 0.5
    inclusive: bool = False
    spread: bool = False


@dataclass(frozen=True)
class Thresholds:
    """Thresholds and limits of the selection.

    Attributes:
        score_threshold: A candidate's score must be greater, within 0..1.
        iou_threshold: A box is dropped if its IoU with a better one is greater, within 0..1.
        top_k: Number of best candidates that enter the suppression; `UNLIMITED` for all.
        max_detections: Number of best faces that are kept for each image; `UNLIMITED` for all.
        inclusive_areas: Whether areas in the IoU are (x1 - x0 + 1) * (y1 - y0 + 1).
        clip: Whether boxes are cut at the image's edges before the suppression.
    """

    score_threshold: float
    iou_threshold: float
    top_k: int = 5000
    max_detections: int = 750
    inclusive_areas: bool = True
    clip: bool = False

    @property
    def most_faces(self) -> int:
        """Largest possible number of faces of one image: no more stay than enter the suppression."""
        return min(self.max_detections, self.top_k)

    def bounded(self, limit: int) -> Thresholds:
        """Return the thresholds with ``top_k`` at ``limit`` if it is `UNLIMITED`."""
        return replace(self, top_k=limit) if self.top_k == UNLIMITED else self


@dataclass(frozen=True)
class InputSpec:
    """How an image becomes the network input where the caller does not say.

    Attributes:
        size: Width and height of the published input in pixels; None runs each image at its own size.
        resize: Whether an image keeps its aspect ratio in an input of fixed size (``letterbox``) or is
            stretched to it.
        multiple: Height and width are padded, right and below, to a multiple of this.
        strict: Whether the network accepts nothing else: only ``size``, or only multiples of ``multiple``.
        pad: BGR value of the padding: the 8-bit value nearest to the network's normalized zero.
        longest_over, longest_to: An image whose longer side exceeds ``longest_over`` is first scaled so that
            this side becomes ``longest_to`` pixels; None for no such rule.
        layout: Layout and type of the tensor.  ``nchw-float32`` is for runtimes such as DeepStream that
            cannot pass bytes; its values are the same BGR values, 0..255.
    """

    size: tuple[int, int] | None = None
    resize: Resize = "letterbox"
    multiple: int = 32
    strict: bool = False
    pad: tuple[int, int, int] = (0, 0, 0)
    longest_over: int | None = None
    longest_to: int | None = None
    layout: Layout = "nhwc-uint8"


@dataclass(frozen=True)
class Origin:
    """Source of the weights and the terms under which they may be used."""

    source: str
    license: str
    weights_sha256: str


@dataclass(frozen=True)
class DetectorSpec:
    """Everything that a reader of ``scores``, ``deltas`` and ``landmarks`` has to know.

    Attributes:
        name: Name of the model, e.g. ``mogface``.
        levels: Pyramid levels, finest stride first.
        coding: Coding of boxes and landmarks.
        thresholds: Published thresholds.
        input: Treatment of an image's size.
        origin: Source and license of the weights.
        landmarks: Number of landmark points of a face; 0 if the model has none.

    Raises:
        ModelError: If a value is impossible.
    """

    name: str
    levels: tuple[Level, ...]
    coding: BoxCoding
    thresholds: Thresholds
    input: InputSpec
    origin: Origin
    landmarks: int = 0

    def __post_init__(self) -> None:
        problem = _first_problem(self)
        if problem:
            raise ModelError(f"detector spec of {self.name!r:.80}: {problem}")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs."""
        return (SCORES, DELTAS, LANDMARKS) if self.landmarks else (SCORES, DELTAS)

    def anchor_count(self, height: int, width: int) -> int:
        """Return A, the number of anchors for a network input of ``height`` x ``width`` pixels."""
        return sum(math.prod(level.grid(height, width)) * len(level.sides) for level in self.levels)

    def output_shapes(self, batch: int, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each output by name, for a batch of ``height`` x ``width`` inputs."""
        count = batch, self.anchor_count(height, width)
        shapes = {SCORES: count, DELTAS: (*count, 4), LANDMARKS: (*count, 2 * self.landmarks)}
        return {name: shapes[name] for name in self.outputs}

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain values; `from_dict` reads them back equal."""
        return {"contract": CONTRACT_VERSION, **_json.dump(self)}

    def to_json(self) -> str:
        """Return the spec as one line of JSON; `from_json` reads it back equal."""
        return json.dumps(self.to_dict())

    @staticmethod
    def from_json(text: str) -> DetectorSpec:
        """Read a spec from a model file, which is untrusted input.

        Raises:
            ModelError: If the text is not JSON, or `from_dict` refuses it.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"detector spec: not JSON ({error!s:.80}); export the model again") from error
        return DetectorSpec.from_dict(fields)

    @staticmethod
    def from_dict(fields: object) -> DetectorSpec:
        """Read a spec from plain values.  Contract version 1 is upgraded.

        Raises:
            ModelError: If the contract version is unknown, or a value is missing, unknown or impossible.
        """
        version = fields.get("contract") if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or type(version) is not int or version not in (1, CONTRACT_VERSION):
            raise ModelError(
                f"detector spec: unknown contract version {' '.join(str(version).split()):.20} (this release "
                f"reads 1 to {CONTRACT_VERSION}); export the model again or update trt-mogface"
            )
        plain = {name: value for name, value in fields.items() if name != "contract"}
        try:
            if version == 1:
                return _json.convert(_from_contract_1(plain), DetectorSpec)
            return _json.convert(plain, DetectorSpec, complete=True)
        except ValueError as error:
            reason = " ".join(str(error).split())[:160]
            raise ModelError(f"detector spec: not readable ({reason}); export the model again") from error


_CONTRACT_1 = {
    "coding": {"kind", "variances", "centre"},
    "selection": {"score_threshold", "iou_threshold", "top_k", "max_detections", "inclusive_areas"},
    "resize": {"multiple", "pad", "longest_over", "longest_to"},
    "origin": {"source", "licence", "weights_sha256"},
}
"""Fields of the groups of contract 1, all of them required."""


def _from_contract_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields of contract 1 under the names and with the values of contract 2."""
    for group, names in _CONTRACT_1.items():
        inner = fields.get(group)
        if not isinstance(inner, dict) or set(inner) != names:
            raise ValueError(f"contract 1 has {', '.join(sorted(names))} - at `$.{group}`")
    if not {"levels", "landmarks"} <= set(fields) or set(fields) & {"input", "thresholds"}:
        raise ValueError("contract 1 has levels, selection, resize and landmarks")
    left = {name: value for name, value in fields.items() if name not in _CONTRACT_1}
    coding, origin = dict(fields["coding"]), dict(fields["origin"])
    coding["center"] = coding.pop("centre")
    if coding["kind"] == "mogface":
        coding |= {"kind": "ssd", "inclusive": True, "variances": (1.0, 1.0)}
    origin["license"] = origin.pop("licence")
    inputs = {"thresholds": fields["selection"], "input": fields["resize"]}
    return left | inputs | {"coding": coding, "origin": origin}


def _first_problem(spec: DetectorSpec) -> str | None:
    strides = [level.stride for level in spec.levels]
    sides = [side for level in spec.levels for side in level.sides]
    faces = [level.max_face for level in spec.levels if level.max_face is not None]
    chosen, given, coding = spec.thresholds, spec.input, spec.coding
    longest = [side for side in (given.longest_over, given.longest_to) if side is not None]
    resizes, layouts = get_args(Resize), get_args(Layout)
    shares, limits = (chosen.score_threshold, chosen.iou_threshold), (chosen.top_k, chosen.max_detections)
    checks = {
        "the name must be letters, digits, points and hyphens": NAME.fullmatch(spec.name) is not None,
        f"there must be 1 to {MAX_LEVELS} pyramid levels with 1 to {MAX_LEVELS} anchors a cell": all(
            0 < len(many) <= MAX_LEVELS for many in (spec.levels, *(level.sides for level in spec.levels))
        ),
        "strides must be positive and increase": (
            all(0 < s <= MAX_SIDE for s in strides) and strides == sorted(set(strides))
        ),
        "anchor sides and largest faces must be positive": all(0 < s <= MAX_SIDE for s in sides + faces),
        f"unknown box coding {coding.kind!r} (choose from {', '.join(CODINGS)})": coding.kind in CODINGS,
        "variances and anchor center must be finite numbers": (
            len(coding.variances) == 2 and all(map(math.isfinite, (*coding.variances, coding.center)))
        ),
        f"landmarks must lie within 0..{MAX_LANDMARKS}": 0 <= spec.landmarks <= MAX_LANDMARKS,
        "thresholds must lie within 0..1": all(0.0 <= share <= 1.0 for share in shares),
        "top_k and max_detections must be positive": all(0 < limit <= UNLIMITED for limit in limits),
        "the padding must be three bytes and its multiple positive": (
            0 < given.multiple <= MAX_SIDE and len(given.pad) == 3 and all(0 <= v <= 255 for v in given.pad)
        ),
        "the input size must be two positive numbers": given.size is None
        or (len(given.size) == 2 and all(0 < s <= MAX_SIDE for s in given.size)),
        f"unknown resize {given.resize!r} (choose from {', '.join(resizes)})": given.resize in resizes,
        f"unknown layout {given.layout!r} (choose from {', '.join(layouts)})": given.layout in layouts,
        "a longest side needs both its limit and its target": (
            len(longest) in (0, 2) and all(0 < side <= MAX_SIDE for side in longest)
        ),
    }
    return next((problem for problem, holds in checks.items() if not holds), None)
