"""Ground truth: the official files, the same as JSON, and files that are neither."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from tests.support.specs import one_line
from trt_mogface.errors import EvaluationError
from trt_mogface.evaluation.wider_face import SETTINGS, Annotated, read_ground_truth, read_subset


def cells(values: Sequence[object]) -> Any:
    """A column of MATLAB's cells."""
    column = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        column[row, 0] = value
    return column


def write_official(folder: Path, lists: Sequence[Sequence[int]] = ((1,), (1, 2), (1, 2, 3))) -> None:
    """One event with two images: three faces, and none."""
    faces = [np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9]], np.float64), np.empty((0, 4))]
    savemat(
        folder / "wider_face_val.mat",
        {
            "event_list": cells(["0--Parade"]),
            "file_list": cells([cells(["one", "two"])]),
            "face_bbx_list": cells([cells(faces)]),
        },
    )
    for setting, indices in zip(SETTINGS, lists):
        flags = np.array(indices, np.uint8).reshape(-1, 1)
        none = np.empty((0, 1), np.uint8)
        savemat(folder / f"wider_{setting}_val.mat", {"gt_list": cells([cells([flags, none])])})


def test_lists_count_from_one(tmp_path: Path) -> None:
    write_official(tmp_path)
    one, two = read_ground_truth(tmp_path)
    assert (one.key, two.key) == ("0--Parade/one", "0--Parade/two")
    assert one.faces.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9]]
    assert one.counted["easy"].tolist() == [True, False, False]
    assert one.counted["hard"].tolist() == [True, True, True]
    assert two.faces.shape == (0, 4)


def test_the_official_files_agree_with_the_subset_made_of_them(
    test_data: Path, subset: Sequence[Annotated]
) -> None:
    other = read_ground_truth(test_data / "wider_val_subset" / "annotations.json")
    assert [image.key for image in other] == [image.key for image in subset]
    for one, two in zip(other, subset):
        np.testing.assert_array_equal(one.faces, two.faces)
        for setting in SETTINGS:
            np.testing.assert_array_equal(one.counted[setting], two.counted[setting])


def test_a_list_that_names_no_face_is_refused(tmp_path: Path) -> None:
    write_official(tmp_path, ((1,), (4,), (1,)))
    with pytest.raises(EvaluationError, match="names a face that its image does not have"):
        read_ground_truth(tmp_path)


@pytest.mark.parametrize("name", ["wider_face_val.mat", "wider_medium_val.mat"])
def test_a_missing_or_broken_file_is_named(tmp_path: Path, name: str) -> None:
    write_official(tmp_path)
    (tmp_path / name).write_bytes(b"MATLAB 5.0 MAT-file, cut off")
    with pytest.raises(EvaluationError, match=f"{name}: not a MATLAB file"):
        read_ground_truth(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(EvaluationError, match=f"{name}: no such file"):
        read_ground_truth(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"event_list": cells(["0--Parade"])},
        {"event_list": np.ones((2, 2)), "file_list": np.ones((2, 2)), "face_bbx_list": np.ones((2, 2))},
    ],
)
def test_matlab_files_of_something_else_are_refused(tmp_path: Path, fields: dict[str, object]) -> None:
    write_official(tmp_path)
    savemat(tmp_path / "wider_face_val.mat", fields)
    with pytest.raises(EvaluationError, match="not WIDER FACE's ground truth"):
        read_ground_truth(tmp_path)


ENTRY = {"event": "e", "file": "n", "boxes_xywh": [[1, 2, 3, 4]], "easy": [], "medium": [0], "hard": [0]}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "names no image"),
        ([ENTRY, ENTRY], "names e/n 2 times"),
        ([{**ENTRY, "hard": [1]}], "names a face that its image does not have"),
        ([{**ENTRY, "boxes_xywh": [[1, 2, 3]]}], "not WIDER FACE's ground truth"),
        ([{**ENTRY, "boxes_xywh": [[1, 2, 3, float("nan")]]}], "malformed"),
        ([{**ENTRY, "boxes_xywh": [[1, 2, 3, 1e300]]}], "larger than any image"),
        ([{**ENTRY, "hard": [1e300]}], "not WIDER FACE's ground truth"),
        ([{**ENTRY, "hard": [10**30]}], "not WIDER FACE's ground truth"),
        ([{**ENTRY, "hard": [-1]}], "names a face that its image does not have"),
        ([{**ENTRY, "event": "../.."}], "not the name of a file"),
        ([{**ENTRY, "file": "/etc/passwd"}], "not the name of a file"),
        ([{**ENTRY, "file": ""}], "not the name of a file"),
        ([{"event": "e"}], "missing required field"),
        ({"a": 1}, "not WIDER FACE's ground truth"),
        ([1], "not WIDER FACE's ground truth"),
    ],
)
def test_json_of_another_form_is_refused(tmp_path: Path, entries: object, said: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(EvaluationError, match=said) as error:
        read_ground_truth(path)
    assert str(error.value).startswith(str(path))


def test_a_subset_keeps_its_own_order_and_each_image_once(tmp_path: Path) -> None:
    write_official(tmp_path)
    truth = read_ground_truth(tmp_path)
    path = tmp_path / "subset.txt"
    path.write_text("0--Parade/two.jpg\n\n0--Parade/one\n0--Parade/two\n")
    assert [image.name for image in read_subset(path, truth)] == ["two", "one"]


@pytest.mark.parametrize("text", ["", "0--Parade/three\n"])
def test_a_subset_of_no_known_image_is_refused(tmp_path: Path, text: str) -> None:
    write_official(tmp_path)
    path = tmp_path / "subset.txt"
    path.write_text(text)
    with pytest.raises(EvaluationError, match="write a line EVENT/NAME"):
        read_subset(path, read_ground_truth(tmp_path))
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_subset(tmp_path / "none.txt", read_ground_truth(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, '[{"event":' * 50_000, '{"a":' * 100_000, "", "\x00", "null", "1" * 5000),
        json.dumps([ENTRY]).replace("[1, 2", "[1e999, 2"),
        json.dumps([ENTRY]).replace("[1, 2", "[Infinity, 2"),
        json.dumps([ENTRY]).replace('"hard": [0]', '"hard": [1e999]'),
        json.dumps([ENTRY]).replace('"hard": [0]', '"hard": [NaN]'),
        json.dumps([ENTRY])[:-9],
    ],
    ids=lambda text: repr(text[:24]),
)
def test_damaged_json_is_refused_as_truth_and_as_subset(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text)
    with pytest.raises(EvaluationError) as error:
        read_ground_truth(path)
    one_line(error.value)
    good = tmp_path / "good.json"
    good.write_text(json.dumps([ENTRY]))
    truth = read_ground_truth(good)
    try:  # a subset has names only, so damage elsewhere does no harm
        assert read_subset(path, truth) == truth
    except EvaluationError as refusal:
        one_line(refusal)
