"""MATLAB files: what SciPy writes is read back, and damaged files are refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from tests.fuzz.matlab import cells
from trt_mogface.evaluation.matlab import read_matlab

VALUES: dict[str, Any] = {
    **{
        name: np.arange(6, dtype=name).reshape(2, 3)
        for name in ("uint8", "int16", "int32", "float32", "float64")
    },
    "empty": np.empty((0, 4)),
    "nested": cells([cells(["one", "äö"]), np.array([[1.5]]), cells([])]),
}


def written(values: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, values, **options)
    return file.getvalue()


def same(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return one == str(other.squeeze())
    if one.dtype == object:
        return one.shape == other.shape and all(map(same, one.flat, other.flat))
    return one.shape == other.shape and bool((one == other).all())


@pytest.mark.parametrize("compressed", [False, True])
def test_files_are_read_as_scipy_reads_them(compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / "file.mat"
    path.write_bytes(written(VALUES, do_compression=compressed))
    found, reference = read_matlab(path, VALUES), loadmat(path)
    for name in VALUES:
        assert same(found[name], reference[name]), name


def test_the_official_files_are_read_as_scipy_reads_them(test_data: Path) -> None:
    path = test_data / "gt" / "wider_hard_val.mat"
    assert same(read_matlab(path, ["gt_list"])["gt_list"], loadmat(path)["gt_list"])


def element(kind: int, body: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(body)) + body + b"\0" * (-len(body) % 8)


def matrix(
    shape: tuple[int, ...], *content: bytes, kind: int = 6, order: str = "<", name: bytes = b"x"
) -> bytes:
    head = element(6, struct.pack(f"{order}II", kind, 0), order)
    sizes = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, head + sizes + element(1, name, order) + b"".join(content), order)


def file(*elements: bytes, order: str = "<") -> bytes:
    return (
        b"MATLAB".ljust(124)
        + struct.pack(f"{order}H", 0x0100)
        + {"<": b"IM", ">": b"MI"}[order]
        + b"".join(elements)
    )


NUMBERS: NDArray[np.float64] = np.array([1.0, 2.0])


def test_the_other_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "file.mat"
    path.write_bytes(
        file(matrix((1, 2), element(9, NUMBERS.astype(">f8").tobytes(), ">"), order=">"), order=">")
    )
    assert read_matlab(path, ["x"])["x"].tolist() == loadmat(path)["x"].tolist() == [[1, 2]]


GOOD = matrix((1, 2), element(9, NUMBERS.tobytes()))


def deep(levels: int) -> bytes:
    inner = GOOD
    for _ in range(levels):
        inner = matrix((1, 1), inner, kind=1)
    return inner


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"MATLAB",
        written({"x": NUMBERS}, format="4"),
        written({"x": {"a": 1.0}}),
        file(matrix((1, 2), element(0, NUMBERS.tobytes()))),  # SciPy 1.17: segmentation fault
        file(matrix((1, 2), element(99, NUMBERS.tobytes()))),
        file(matrix((2**31 - 1, 2**31 - 1), element(9, NUMBERS.tobytes()))),
        file(matrix((2**31 - 1, 1), kind=1)),  # SciPy: 17 GB of pointers
        file(matrix((-1, 2), element(9, NUMBERS.tobytes()))),
        file(matrix((), element(9, NUMBERS.tobytes()))),
        file(matrix((1, 1), element(9, NUMBERS.tobytes()), kind=1)),
        file(deep(1000)),
        file(GOOD)[:-9],
        file(GOOD)[: 128 + 5],
        file(struct.pack("<II", 15, 20) + b"x" * 20),
        file(struct.pack("<II", 15, 9) + zlib.compress(GOOD)[:9]),
    ],
)
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.mat"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        read_matlab(path, ["x"])


def test_only_the_named_variables_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.mat"
    path.write_bytes(file(matrix((1, 2), element(99, NUMBERS.tobytes()), name=b"y"), GOOD))
    assert read_matlab(path, ["x", "z"]).keys() == {"x"}


def test_a_compressed_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trt_mogface.evaluation.matlab.MAX_BYTES", 1000)
    path = tmp_path / "file.mat"
    bomb = zlib.compress(matrix((1, 10_000), element(2, bytes(10_000))))
    path.write_bytes(file(struct.pack("<II", 15, len(bomb)) + bomb))
    with pytest.raises(ValueError, match="too large"):
        read_matlab(path, ["x"])
