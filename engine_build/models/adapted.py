"""Other people's ONNX files as contract models, by the name of a model or of its family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine_build.models.registry import recipes
from trt_mogface._files import sha256_of
from trt_mogface.errors import ArgumentError, ModelError
from trt_mogface.spec import DetectorSpec, Origin

if TYPE_CHECKING:
    import onnx

    from engine_build.models.one_stage import OneStage

UNKNOWN = "unknown; see where the file comes from"
"""License of an adapted file where nobody says it."""


class OtherFamilyError(ModelError):
    """A model whose maps are not those of a family.

    Args:
        subject: File, or name of the family that it was taken for.
        problem: What its maps are.
    """

    def __init__(self, subject: str | Path, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{subject}: not a model of this family: {problem}")


def families() -> dict[str, OneStage]:
    """Return the families whose ONNX files can be adapted, by the names of models, then by their own."""
    found = {name: recipe.family for name, recipe in recipes().items() if recipe.family is not None}
    for family in list(found.values()):
        found.setdefault(family.spec.name, family)  # of a family's variants the first is the usual one
    return found


def adapted(path: Path, name: str, origin: str | None = None, terms: str | None = None) -> onnx.ModelProto:
    """Return the contract model of another's ONNX file.

    Args:
        path: ONNX file.
        name: Name of a model or family, from `families`; it becomes the name of the contract model.
        origin: Source of the file; None says that it is the file.
        terms: License of its weights; None says that they are unknown.

    Raises:
        ArgumentError: If no family has this name.
        ModelError: If the file is damaged, of another family, or cannot be freed of what it fixes.
    """
    known = families()
    if name not in known:
        raise ArgumentError("as", f"must be one of {', '.join(known)}", name)
    source = Origin(origin or path.name, terms or UNKNOWN, sha256_of(path) if path.is_file() else "")
    return from_onnx(known[name], path, replace(known[name].spec, name=name, origin=source))


def from_onnx(family: OneStage, path: Path, spec: DetectorSpec) -> onnx.ModelProto:
    """Return the contract model of another's ONNX file; name the family of a file that is of another one.

    Arguments and exceptions are those of `engine_build.models.one_stage.OneStage.from_onnx`.
    """
    try:
        return family.from_onnx(path, spec)
    except OtherFamilyError as error:
        others = {each.spec.name: each for each in families().values() if each.spec.name != family.spec.name}
        right = next((name for name, each in others.items() if _reads(each, path)), None)
        if right is None:
            raise ModelError(f"{path}: of no known family; {error.problem}") from error
        raise ModelError(f"{path}: not a model of {spec.name}, but of {right}") from error


def _reads(family: OneStage, path: Path) -> bool:
    """Return whether a file can be adapted as a model of a family."""
    try:
        family.from_onnx(path, family.spec)
    except ModelError:
        return False
    return True
