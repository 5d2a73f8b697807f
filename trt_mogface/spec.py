"""`DetectorSpec`: everything about a detector that its tensors do not say, as JSON inside the ONNX file.

The contract: a detector is an ONNX file with input ``images`` (uint8 [N, H, W, 3], BGR) and outputs
``scores`` (float32 [N, A]), ``deltas`` (float32 [N, A, 4]) and, where the model has them, ``landmarks``
(float32 [N, A, 10]).  A counts the anchors level by level (finest stride first), row by row, and side by
side within a cell.  The spec says how those numbers become faces.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from trt_mogface._untrusted import Fields
from trt_mogface.errors import ModelError

METADATA_KEY = "trt_mogface.spec"
"""Key of the spec in the ONNX file's ``metadata_props``."""

CONTRACT_VERSION = 1

INPUT = "images"
SCORES, DELTAS, LANDMARKS = OUTPUTS = ("scores", "deltas", "landmarks")

Coding = Literal["mogface", "ssd", "distance"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
"""A model's name becomes part of file names."""

MAX_LEVELS, MAX_SIDE = 16, 1 << 16
"""Beyond these a spec is a mistake or an attack."""


@dataclass(frozen=True)
class Level:
    """One level of the feature pyramid: a grid of ceil(H / stride) x ceil(W / stride) cells.

    Attributes:
        stride: Pixels between neighbouring cells.
        sides: Sides in pixels of the square anchors at each cell, in output order.
    """

    stride: int
    sides: tuple[float, ...]

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the level's map for a network input of ``height`` x ``width`` pixels."""
        return -(-height // self.stride), -(-width // self.stride)


@dataclass(frozen=True)
class BoxCoding:
    """How deltas become boxes; `trt_mogface.reference.decode` has the formulas.

    Attributes:
        kind: ``mogface`` (corners are pixel centres: a box from x0 to x1 is x1 - x0 + 1 wide),
            ``ssd`` (centre and log size, times variances) or ``distance`` (left, top, right, bottom).
        variances: Factors of the centre and of the log size; used by ``ssd`` alone.
        centre: Where an anchor sits in its cell, in strides: 0.5 is the middle, 0 the top left corner.
    """

    kind: Coding
    variances: tuple[float, float] = (1.0, 1.0)
    centre: float = 0.5


@dataclass(frozen=True)
class SelectionDefaults:
    """The thresholds the model was published with.

    Attributes:
        score_threshold: A candidate's score must be greater.
        iou_threshold: A box is dropped when its IoU with a better one is greater.
        top_k: Candidates that enter the suppression, best first.
        max_detections: Boxes kept per image.
        inclusive_areas: Areas in the IoU are (x1 - x0 + 1) * (y1 - y0 + 1) rather than without the + 1.
    """

    score_threshold: float
    iou_threshold: float
    top_k: int = 5000
    max_detections: int = 750
    inclusive_areas: bool = True

    @property
    def most_faces(self) -> int:
        """Faces of one image at most: no more stay than enter the suppression."""
        return min(self.max_detections, self.top_k)


@dataclass(frozen=True)
class ResizeDefaults:
    """How a picture becomes a network input where the caller does not say.

    Attributes:
        multiple: Height and width are padded, right and below, to a multiple of this.
        pad: BGR value of the padding: the 8-bit value nearest to the network's normalised zero.
        longest_over, longest_to: A picture whose longer side exceeds ``longest_over`` is first scaled so
            that this side becomes ``longest_to`` pixels; ``None`` for no such rule.
    """

    multiple: int = 32
    pad: tuple[int, int, int] = (0, 0, 0)
    longest_over: int | None = None
    longest_to: int | None = None


@dataclass(frozen=True)
class Origin:
    """Where the weights come from and on what terms they may be used."""

    source: str
    licence: str
    weights_sha256: str


@dataclass(frozen=True)
class DetectorSpec:
    """What a reader of ``scores`` / ``deltas`` / ``landmarks`` has to know.

    Attributes:
        name: The model's name, e.g. ``mogface``.
        levels: The pyramid, finest stride first.
        coding: How deltas and landmarks are decoded.
        selection: Default thresholds.
        resize: Default treatment of a picture's size.
        origin: Source and licence of the weights.
        landmarks: Number of landmark points per face; 0 where the model has none.
    """

    name: str
    levels: tuple[Level, ...]
    coding: BoxCoding
    selection: SelectionDefaults
    resize: ResizeDefaults
    origin: Origin
    landmarks: int = 0

    def __post_init__(self) -> None:
        problem = _first_problem(self)
        if problem:
            raise ModelError(f"detector spec of {self.name!r} is not usable: {problem}")

    def anchor_count(self, height: int, width: int) -> int:
        """A, the number of anchors for a network input of ``height`` x ``width`` pixels."""
        return sum(math.prod(level.grid(height, width)) * len(level.sides) for level in self.levels)

    def to_json(self) -> str:
        """The spec as one line of JSON; `from_json` reads it back equal."""
        return json.dumps({"contract": CONTRACT_VERSION, **dataclasses.asdict(self)})

    @staticmethod
    def from_json(text: str) -> DetectorSpec:
        """Read a spec from a model file, which is untrusted input.

        Raises:
            ModelError: Not JSON, of another contract version, or with missing, unknown or impossible values.
        """
        try:
            fields = json.loads(text)
            version = fields.pop("contract")
            if version != CONTRACT_VERSION:
                found = " ".join(str(version).split())[:20]
                raise ModelError(
                    f"detector spec is of contract version {found}, this release reads "
                    f"{CONTRACT_VERSION}: export the model again"
                )
            spec = _spec_from(fields)
            if json.loads(spec.to_json()) != {"contract": version, **fields}:
                raise ValueError("it has fields that this release does not know")
            return spec
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error!s:.100}"
            raise ModelError(f"detector spec in the model file cannot be read ({reason})") from error


def _spec_from(fields: dict[str, Any]) -> DetectorSpec:
    """The spec of parsed JSON.  Every value passes a reader below: a model file is untrusted input."""
    read = Fields(fields)
    selection, resize, origin = (read.inner(name) for name in ("selection", "resize", "origin"))
    coding = read.inner("coding")
    return DetectorSpec(
        name=read.text("name"),
        levels=tuple(
            Level(level.integer("stride"), level.numbers("sides")) for level in read.inners("levels")
        ),
        coding=BoxCoding(
            kind=cast(Coding, coding.text("kind")),
            variances=cast(tuple[float, float], coding.numbers("variances")),
            centre=coding.number("centre"),
        ),
        selection=SelectionDefaults(
            score_threshold=selection.number("score_threshold"),
            iou_threshold=selection.number("iou_threshold"),
            top_k=selection.integer("top_k"),
            max_detections=selection.integer("max_detections"),
            inclusive_areas=selection.flag("inclusive_areas"),
        ),
        resize=ResizeDefaults(
            multiple=resize.integer("multiple"),
            pad=cast(tuple[int, int, int], tuple(map(int, resize.numbers("pad")))),
            longest_over=resize.optional_integer("longest_over"),
            longest_to=resize.optional_integer("longest_to"),
        ),
        origin=Origin(
            source=origin.text("source"),
            licence=origin.text("licence"),
            weights_sha256=origin.text("weights_sha256"),
        ),
        landmarks=read.integer("landmarks"),
    )


def _first_problem(spec: DetectorSpec) -> str | None:
    strides = [level.stride for level in spec.levels]
    sides = [side for level in spec.levels for side in level.sides]
    selection, resize, coding = spec.selection, spec.resize, spec.coding
    checks = {
        "its name must be letters, digits, points and hyphens": NAME.fullmatch(spec.name) is not None,
        f"it needs 1 to {MAX_LEVELS} pyramid levels with 1 to {MAX_LEVELS} anchors a cell": (
            0 < len(spec.levels) <= MAX_LEVELS
            and all(0 < len(level.sides) <= MAX_LEVELS for level in spec.levels)
        ),
        "strides must be positive and increase": (
            all(0 < s <= MAX_SIDE for s in strides) and strides == sorted(set(strides))
        ),
        "anchor sides must be positive": all(0 < s <= MAX_SIDE for s in sides),
        f"box coding must be one of {get_args(Coding)}": coding.kind in get_args(Coding),
        "box coding must have two variances": len(coding.variances) == 2,
        "landmarks must be 0 or 5": spec.landmarks in (0, 5),
        "thresholds must lie in 0..1": all(
            0.0 <= t <= 1.0 for t in (selection.score_threshold, selection.iou_threshold)
        ),
        "top_k and max_detections must be positive": min(selection.top_k, selection.max_detections) > 0,
        "the padding must be three bytes and its multiple positive": (
            0 < resize.multiple <= MAX_SIDE
            and len(resize.pad) == 3
            and all(0 <= v <= 255 for v in resize.pad)
        ),
        "a longest side needs both its limit and its target": (
            (resize.longest_over is None) == (resize.longest_to is None)
            and all(0 < v <= MAX_SIDE for v in (resize.longest_over, resize.longest_to) if v is not None)
        ),
    }
    return next((problem for problem, holds in checks.items() if not holds), None)
