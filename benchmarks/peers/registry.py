"""All peers by name."""

from __future__ import annotations

from typing import get_args

from benchmarks.peers.modelscope import ModelScope
from benchmarks.peers.onnxruntime import OnnxRuntime
from benchmarks.peers.peer import Peer
from benchmarks.peers.retinaface import RetinaFace
from benchmarks.peers.scrfd import Scrfd
from benchmarks.peers.torch_network import TorchNetwork, Way
from benchmarks.peers.trtexec import Trtexec
from benchmarks.peers.ulfd import Ulfd
from benchmarks.peers.yunet import YuNet

_PEERS: list[Peer] = [
    ModelScope(),
    *map(TorchNetwork, get_args(Way)),
    OnnxRuntime("onnxruntime", "CPUExecutionProvider"),
    OnnxRuntime("onnxruntime-cuda", "CUDAExecutionProvider"),
    Trtexec("trtexec", "tensorrt"),
    Trtexec("tensorrt_rtx", "tensorrt-rtx"),
    *(RetinaFace(), YuNet(), Ulfd(), Scrfd()),
]
PEERS = {peer.name: peer for peer in _PEERS}


def chosen_peers(text: str) -> list[Peer]:
    """Return peers by their names, which are separated by commas, or ``all``."""
    names = list(PEERS) if text == "all" else list(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise ValueError(f"unknown peer {unknown[0]!r} (choose from all, {', '.join(PEERS)})")
    return [PEERS[name] for name in names]
