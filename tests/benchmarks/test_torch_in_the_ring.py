"""The replayed network of the benchmark, with numpy in the place of torch."""

from __future__ import annotations

import contextlib
import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.host_cuda import HostCuda
from tests.support.specs import one_line
from trt_mogface.errors import EngineError

pytest.importorskip("torch", reason="the benchmark replays a graph of torch")

from benchmarks import torch_in_the_ring

SHAPE = (4, 8, 16)


class Tensor:
    """The part of a tensor that the benchmark uses."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, rows: slice) -> Tensor:
        return Tensor(self.array[rows])

    def copy_(self, other: Tensor) -> None:
        assert self.shape == other.shape
        self.array[...] = other.array


def as_tensor(at: torch_in_the_ring.At, device: str) -> Tensor:
    assert device == "cuda"
    interface: Any = at.__cuda_array_interface__
    kind = np.dtype(interface["typestr"])
    nbytes = int(np.prod(interface["shape"])) * kind.itemsize
    raw = (ctypes.c_uint8 * nbytes).from_address(interface["data"][0])
    return Tensor(np.frombuffer(raw, kind).reshape(interface["shape"]))


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> torch_in_the_ring.Replayed:
    """A network that answers with the sum of each image."""
    nothing = contextlib.nullcontext
    outputs = Tensor(np.zeros((4, 2), np.float32)), Tensor(np.zeros((4, 2, 4), np.float32))
    made: Any = object.__new__(torch_in_the_ring.Replayed)
    made._shape, made._outputs = SHAPE, outputs
    made._images = images = Tensor(np.zeros((*SHAPE, 3), np.uint8))

    def replay() -> None:
        for output in outputs:
            sums = images.array.sum(axis=(1, 2, 3), dtype=np.float32)
            output.array[...] = sums.reshape(-1, *[1] * (output.array.ndim - 1))

    made._graph = SimpleNamespace(replay=replay)
    cuda = SimpleNamespace(stream=nothing, ExternalStream=nothing)
    monkeypatch.setattr(torch_in_the_ring, "torch", SimpleNamespace(cuda=cuda, as_tensor=as_tensor))
    replayed: torch_in_the_ring.Replayed = made
    return replayed


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_a_partial_batch_is_a_part_of_the_replay(replayed: torch_in_the_ring.Replayed, batch: int) -> None:
    """A runner's first batch is as large as what has arrived."""
    images = np.random.default_rng(0).integers(0, 256, (batch, *SHAPE[1:], 3), np.uint8)
    scores, deltas = np.full((5, 2), -1, np.float32), np.full((5, 2, 4), -1, np.float32)
    replayed.check_shape((batch, *SHAPE[1:]))
    addresses = {"scores": scores.ctypes.data, "deltas": deltas.ctypes.data}
    cuda = HostCuda()
    stream, scratch = cuda.stream(), cuda.allocate(1)
    replayed.enqueue((batch, *SHAPE[1:]), images.ctypes.data, addresses, scratch, stream)
    sums = images.sum(axis=(1, 2, 3), dtype=np.float32)
    np.testing.assert_array_equal(scores[:batch], np.repeat(sums[:, None], 2, 1))
    np.testing.assert_array_equal(deltas[:batch, 0, 0], sums)
    assert (scores[batch:] == -1).all()
    assert (deltas[batch:] == -1).all()


@pytest.mark.parametrize("shape", [(5, 8, 16), (4, 16, 8)])
def test_other_shapes_are_refused(replayed: torch_in_the_ring.Replayed, shape: tuple[int, int, int]) -> None:
    with pytest.raises(EngineError, match="captured at") as caught:
        replayed.check_shape(shape)
    one_line(caught.value)
