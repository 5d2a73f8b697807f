"""MTCNN (Zhang et al. 2016): a cascade of three small networks, P-Net, R-Net and O-Net.

The weights are those inside the PyPI package ``facenet-pytorch``, under the MIT license, which ModelScope's
detector has too.  A folder with ModelScope's ``pnet.npy``, ``rnet.npy`` and ``onet.npy`` is read as well,
without running the pickles inside.  Both work on red, green and blue, as ModelScope's pipeline feeds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engine_build.models.registry import CascadeRecipe
from engine_build.wheels import packaged
from trt_mogface.errors import CheckpointError
from trt_mogface.models.cards import ModelCard
from trt_mogface.models.cascade import STAGES
from trt_mogface.reference.cascade import POINTS
from trt_mogface.spec import UNLIMITED, Thresholds

if TYPE_CHECKING:
    import onnx
    from torch import Tensor

PACKAGE = "facenet-pytorch==2.6.0"
LICENSE = "MIT"
SHA256 = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
SUFFIXES = (".pt", ".npy")


def weight_files(folder: Path | None) -> dict[str, Path]:
    """Return the files of trained weights by network: those of a folder, or the published ones.

    Raises:
        CheckpointError: If the folder does not have one file for each network.
        DownloadError: If the published ones cannot be downloaded.
    """
    if folder is None:
        return {
            stage: packaged(PACKAGE, f"facenet_pytorch/data/{stage}.pt", SHA256[stage]) for stage in STAGES
        }
    wanted = f"mtcnn takes a folder with pnet, rnet and onet, each {' or '.join(SUFFIXES)}"
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: not a folder; {wanted}")
    files = {stage: [folder / f"{stage}{suffix}" for suffix in SUFFIXES] for stage in STAGES}
    found = {stage: [path for path in paths if path.is_file()] for stage, paths in files.items()}
    wrong = [stage for stage, paths in found.items() if len(paths) != 1]
    if wrong:
        problem = "both files" if found[wrong[0]] else "no file"
        raise CheckpointError(f"{folder}: {problem} for {wrong[0]}; {wanted}")
    return {stage: path for stage, (path,) in found.items()}


def build(files: Mapping[str, Path]) -> dict[str, onnx.ModelProto]:
    """Return the networks' ONNX models; see `engine_build.models.mtcnn.export`."""
    from engine_build.models.mtcnn.export import export
    from engine_build.models.mtcnn.weights import load

    return export(load(files))


def fits(state: Mapping[str, Tensor]) -> bool:
    """Return whether tensors are the weights of one of the networks, in either layout."""
    from engine_build.models.mtcnn.weights import fits

    return fits(state)


RECIPES = (
    CascadeRecipe(
        ModelCard("mtcnn", "MTCNN, a cascade of three networks", f"PyPI {PACKAGE}", LICENSE, 2.0, POINTS),
        build,
        weight_files,
        fits,
        Thresholds(score_threshold=0.9, iou_threshold=0.7, top_k=UNLIMITED, max_detections=UNLIMITED),
    ),
)
