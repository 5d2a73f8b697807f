"""`OneStage`: a family of one-stage detectors, whose networks become contract models by the same steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine_build.models.adapted import OtherFamilyError, from_onnx
from engine_build.models.registry import Recipe
from engine_build.onnx import contract, foreign, pixels
from engine_build.onnx.head import Activation, LevelMaps, end_in_contract, scale_channels
from engine_build.onnx.own_outputs import OwnOutputs, check_every_size
from engine_build.onnx.preparation import without_preparation
from engine_build.onnx.probe import shapes_by_running
from trt_mogface._files import sha256_of
from trt_mogface.errors import CheckpointError, DownloadError, ModelError, first_line
from trt_mogface.models.cards import ModelCard
from trt_mogface.spec import DetectorSpec, Level, Origin

if TYPE_CHECKING:
    import onnx
    from torch import nn

PROBED = (2, 256, 384, 3)
"""Shape of the input at which maps are measured: several images, and a multiple of every stride."""


class HeadMap(NamedTuple):
    """A map of a head: its tensor, its channels, and the pixels between neighboring cells."""

    tensor: str
    channels: int
    stride: int


@dataclass(frozen=True)
class OneStage:
    """A family of detectors that differ in the backbone or in the weights.

    Attributes:
        spec: Spec of the family; name and origin are a model's own.
        mean, std: Normalization of the three channels, 0..255, in the network's order.
        rgb: Whether the network reads red first, instead of blue.
        activation: Activation of the scores; see `engine_build.onnx.head.LevelMaps`.
        score_maps: Number of score maps of a level, which are multiplied.
        in_strides: Whether the head's distances are in strides instead of in sides of anchors.
        assign: Function that returns the maps of each level, of detectors whose maps have other meanings.
    """

    spec: DetectorSpec
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    rgb: bool = True
    activation: Activation = "sigmoid"
    score_maps: int = 1
    in_strides: bool = False
    assign: Callable[[onnx.ModelProto, Sequence[HeadMap]], list[LevelMaps]] | None = None

    def from_network(self, network: nn.Module, spec: DetectorSpec) -> onnx.ModelProto:
        """Return the contract model of a network from normalized planes to the maps of its head."""
        from engine_build.onnx.export import export, output_shapes

        batch, height, width, channels = PROBED
        maps = output_shapes(network, (batch, channels, height, width))
        shapes = {f"map_{i}": shape for i, shape in enumerate(maps)}
        return self._complete(export(network, list(shapes)), spec, lambda: shapes)

    def from_onnx(self, path: Path, spec: DetectorSpec) -> onnx.ModelProto:
        """Return the contract model of another's ONNX file of this family.

        Raises:
            ModelError: If the file is damaged, of another family, or cannot be freed of what it fixes.
        """
        return self.from_model(foreign.load(path), path, spec)

    def from_model(self, model: onnx.ModelProto, path: Path, spec: DetectorSpec) -> onnx.ModelProto:
        """Return the contract model of another's ONNX model, which is changed; see `from_onnx`."""
        with np.errstate(all="ignore"):  # damaged weights overflow, and the comparisons refuse the results
            return self._from_model(model, path, spec)

    def _from_model(self, model: onnx.ModelProto, path: Path, spec: DetectorSpec) -> onnx.ModelProto:
        model = foreign.with_own_operators(model, path)
        original = copy.deepcopy(model)
        model, maps = foreign.cut(model, path)
        taken = without_preparation(model, path, self.mean, self.std)
        own = OwnOutputs(original, maps, taken, path)
        own.check_maps(model, self.mean, self.std)
        try:
            model = self._complete(model, spec, lambda: _shapes(model, maps))
        except OtherFamilyError as error:
            raise OtherFamilyError(path, error.problem) from error
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        own.check_faces(model, self.rgb)
        check_every_size(model, path)
        return model

    def _complete(
        self, model: onnx.ModelProto, spec: DetectorSpec, shapes: Callable[[], Mapping[str, tuple[int, ...]]]
    ) -> onnx.ModelProto:
        """Put the contract around a network.

        Args:
            model: Network from normalized planes to maps, which is changed.
            spec: Its spec.
            shapes: Function that returns the shapes of the maps for an input of `PROBED`.
        """
        planes = foreign.image_input(model).name
        mean, std = self.mean, self.std
        if self.rgb:
            pixels.exchange_red_and_blue(model, planes)
            mean, std = mean[::-1], std[::-1]
        pixels.normalize(model, planes, mean, std)
        contract.complete(model, spec)
        spec, levels = self._levels(model, _measured(shapes()), spec)
        if self.in_strides:
            _to_sides(model, spec, levels)
        end_in_contract(model, spec, levels, self.activation)
        return model

    def _levels(
        self, model: onnx.ModelProto, maps: Sequence[HeadMap], spec: DetectorSpec
    ) -> tuple[DetectorSpec, list[LevelMaps]]:
        if self.assign is not None:
            return spec, self.assign(model, maps)
        points = {2 * spec.landmarks * len(level.sides) for level in spec.levels}
        if not any(each.channels in points for each in maps):
            spec = replace(spec, landmarks=0)
        left = list(maps)
        levels = [self._level(level, left, spec) for level in spec.levels]
        if left:
            raise OtherFamilyError(spec.name, f"has further maps, {_listed(left)}")
        return spec, levels

    def _level(self, level: Level, left: list[HeadMap], spec: DetectorSpec) -> LevelMaps:
        """Take the maps of a level out of those that are left, by their channels."""
        anchors = len(level.sides)
        per_anchor = 2 if self.activation == "softmax" else 1

        def take(channels: int) -> str:
            for each in left:
                if (each.stride, each.channels) == (level.stride, channels * anchors):
                    left.remove(each)
                    return each.tensor
            raise OtherFamilyError(
                spec.name,
                f"has no map of {channels * anchors} channels at stride {level.stride}, but {_listed(left)}",
            )

        scores = tuple(take(per_anchor) for _ in range(self.score_maps))
        return LevelMaps(scores, take(4), take(2 * spec.landmarks) if spec.landmarks else None)


def _shapes(model: onnx.ModelProto, maps: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the maps, by running the network once.

    Raises:
        ModelError: If the network does not run at another batch and size than it was exported with.
    """
    batch, height, width, _ = PROBED
    try:
        return shapes_by_running(model, maps, PROBED)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        problem = f"cannot be freed of its size: does not run with {batch} images of {width}x{height}"
        raise ModelError(f"{problem} ({first_line(error)})") from error


def _measured(shapes: Mapping[str, tuple[int, ...]]) -> list[HeadMap]:
    """Return channels and strides of maps by their shapes for an input of `PROBED`.

    Raises:
        ModelError: If a map is not that of a pyramid level.
    """
    batch, height, width, _ = PROBED
    found = []
    for name, shape in shapes.items():
        if len(shape) != 4 or shape[0] != batch or height % shape[2] or height * shape[3] != width * shape[2]:
            raise OtherFamilyError(
                "model",
                f"{batch} images of {width}x{height} give a map of {list(shape)}; "
                "a size is fixed inside, or it is not a one-stage detector",
            )
        found.append(HeadMap(name, shape[1], height // shape[2]))
    return found


def _to_sides(model: onnx.ModelProto, spec: DetectorSpec, levels: Sequence[LevelMaps]) -> None:
    """Divide distances in strides by the anchors' sides in strides, which are powers of two, in place."""
    for level, maps in zip(spec.levels, levels):
        factors = [level.stride / side for side in level.sides]
        for tensor, values in ((maps.deltas, 4), (maps.landmarks, 2 * spec.landmarks)):
            if tensor is not None:
                scale_channels(model, tensor, [factor for factor in factors for _ in range(values)])


def _listed(maps: Sequence[HeadMap]) -> str:
    shown = ", ".join(f"{each.channels} at stride {each.stride}" for each in maps[:12])
    return f"{shown} and {len(maps) - 12} more" if len(maps) > 12 else shown or "none"


def recipe(
    card: ModelCard,
    family: OneStage,
    network: Callable[[], nn.Module] | None,
    weights: Callable[[], Path],
    unused: Sequence[str] = (),
    sha256: str = "",
) -> Recipe:
    """Return the recipe of a model of the family.

    Args:
        card: Card of the model.
        family: Its family.
        network: Function that returns the torch network of checkpoints; None if only ONNX files are known.
        weights, sha256: See `Recipe`.
        unused: Patterns of keys of a checkpoint that only training uses.
    """

    def build(path: Path | None) -> onnx.ModelProto:
        source = path or weights()
        digest = _digest(source)
        if sha256 and digest != sha256:
            raise CheckpointError(
                f"{source}: not the weights of {card.name}, as only their sha256 {sha256[:12]}... tells them "
                "from those of other models"
            )
        origin = Origin(card.origin, card.license, digest)
        spec = replace(family.spec, name=card.name, origin=origin)
        if source.suffix.lower() == ".onnx":
            return from_onnx(family, source, spec)
        if network is None:
            raise CheckpointError(f"{source}: weights of {card.name} are an ONNX file ({card.origin})")
        import torch

        from engine_build import checkpoint

        with torch.device("meta"):  # random weights, of which the checkpoint leaves none, take seconds
            empty = network()
        filled = checkpoint.load(empty.to_empty(device="cpu"), source, card.name, unused)
        return family.from_network(filled, spec)

    return Recipe(card, build, weights, network, sha256, family)


def _digest(source: Path) -> str:
    try:
        return sha256_of(source)
    except FileNotFoundError as error:
        raise CheckpointError(f"{source}: no such file; pass the downloaded weights") from error
    except OSError as error:
        raise CheckpointError(
            f"{source}: cannot be read ({error.strerror}); pass the downloaded weights"
        ) from error


def by_hand(name: str, file: str, source: str, terms: str) -> Callable[[], Path]:
    """Return a function for weights that cannot be downloaded, which says where they are.

    Args:
        name: Name of the model.
        file: File that has them.
        source: Where it is published.
        terms: License of the weights.
    """

    def refuse() -> Path:
        raise DownloadError(
            f"{name}: no weights; download {file} from {source} ({terms}) and pass it as weights"
        )

    return refuse
