"""Text files of other systems: every reader takes every encoding and line ending."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine_build.calibration.record import load_calibration
from engine_build.validation.annotations import assign, read_annotations
from tests.support.foreign_text import AS_JSON, FOREIGN
from tests.support.manifests import GOOD
from tests.support.specs import one_line
from trt_mogface._text import as_path, read_lines, read_text
from trt_mogface.errors import EvaluationError, ImageError, ModelError
from trt_mogface.evaluation.predictions import read_predictions
from trt_mogface.evaluation.wider_face import Annotated, read_ground_truth, read_subset
from trt_mogface.models.manifest import load_manifest, manifest_path

BOXES = "0--Parade/Café 1.jpg\n2\n1 2 30 40 0 0\n5 6 70 80 0 0\n0--Parade/none.jpg\n0\n0 0 0 0 0 0\n"
PREDICTED = "0--Parade/Café 1.jpg\n2\n1 2 30 40 0.9\n5 6 70 80 0.25\n"
SUBSET = "0--Parade/Café 2.jpg\n0--Parade/Café 1.jpg\n"
ENTRY = {"event": "0--Parade", "boxes_xywh": [[1, 2, 3, 4]], "easy": [0], "medium": [], "hard": []}
TRUTH = json.dumps([ENTRY | {"file": name} for name in ("Café 1", "Café 2")], ensure_ascii=False)


def annotated(name: str) -> Annotated:
    return Annotated("0--Parade", name, np.empty((0, 4)), {})


@pytest.mark.parametrize("kind", FOREIGN)
def test_annotations(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bbx_gt.txt"
    path.write_bytes(FOREIGN[kind](BOXES))
    assert {name: boxes.tolist() for name, boxes in read_annotations(path).items()} == {
        "0--Parade/Café 1.jpg": [[1, 2, 30, 40], [5, 6, 70, 80]],
        "0--Parade/none.jpg": [],
    }


@pytest.mark.parametrize("kind", FOREIGN)
def test_predictions(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "0--Parade" / "Café 1.txt"
    path.parent.mkdir()
    path.write_bytes(FOREIGN[kind](PREDICTED))
    (found,) = read_predictions(tmp_path, [annotated("Café 1")]).found
    assert found.boxes.tolist() == [[1, 2, 30, 40], [5, 6, 70, 80]]
    assert found.scores.tolist() == [0.9, 0.25]


@pytest.mark.parametrize("kind", FOREIGN)
def test_subsets(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "subset.txt"
    path.write_bytes(FOREIGN[kind](SUBSET))
    truth = [annotated("Café 1"), annotated("Café 2"), annotated("other")]
    assert [image.name for image in read_subset(path, truth)] == ["Café 2", "Café 1"]


@pytest.mark.parametrize("name", ["truth.json", "TRUTH.JSON"])
@pytest.mark.parametrize("kind", [*AS_JSON, "Windows-1252"])
def test_ground_truth_and_subset_as_json(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FOREIGN[kind](TRUTH))
    truth = read_ground_truth(path)
    assert [image.key for image in truth] == ["0--Parade/Café 1", "0--Parade/Café 2"]
    assert read_subset(path, truth) == truth


@pytest.mark.parametrize("kind", AS_JSON)
def test_manifests(tmp_path: Path, kind: str) -> None:
    engine = tmp_path / "a.engine"
    manifest_path(engine).write_bytes(FOREIGN[kind](GOOD.to_json()))
    assert load_manifest(engine) == GOOD


@pytest.mark.parametrize("kind", AS_JSON)
def test_calibrations_are_decoded(tmp_path: Path, kind: str) -> None:
    """What is refused is the content, not the encoding."""
    path = tmp_path / "calibration.json"
    path.write_bytes(FOREIGN[kind]("[]"))
    with pytest.raises(ModelError) as error:
        load_calibration(path)
    path.write_bytes(b"[]")
    with pytest.raises(ModelError) as plain:
        load_calibration(path)
    assert one_line(error.value) == one_line(plain.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a/b.jpg", "a/b.jpg"),
        (r"a\b.jpg", "a/b.jpg"),
        (r".\a\b c.jpg", "a/b c.jpg"),
        ('"a/b.jpg"', "a/b.jpg"),
        ("'a/b.jpg'", "a/b.jpg"),
        ('" a/b.jpg "', "a/b.jpg"),
        ("a//./b.jpg", "a/b.jpg"),
        ('a"b.jpg', 'a"b.jpg'),
        ('"', '"'),
        ("it's.jpg", "it's.jpg"),
        (r"C:\data\a.jpg", "C:/data/a.jpg"),
    ],
)
def test_names_are_paths_with_slashes(written: str, meant: str) -> None:
    assert as_path(written) == meant


def test_names_of_windows_in_lists(tmp_path: Path) -> None:
    boxes, subset = tmp_path / "boxes.txt", tmp_path / "subset.txt"
    boxes.write_text('# made by a tool\n".\\0--Parade\\one.jpg"\n#\n1\n1 2 3 4\n')
    subset.write_text("# some\n0--Parade\\two.JPG\n'0--Parade\\one'\n")
    assert list(read_annotations(boxes)) == ["0--Parade/one.jpg"]
    truth = [annotated("one"), annotated("two")]
    assert [image.name for image in read_subset(subset, truth)] == ["two", "one"]


def test_a_name_may_begin_with_a_number_sign(tmp_path: Path) -> None:
    path = tmp_path / "boxes.txt"
    path.write_text("#1.jpg\n1\n1 2 3 4\n")
    assert list(read_annotations(path)) == ["#1.jpg"]


def test_the_case_of_an_extension_counts_only_between_two_files(tmp_path: Path) -> None:
    path = tmp_path / "boxes.txt"
    path.write_text("a/one.JPG\n1\n1 2 3 4\na/two.jpg\n1\n5 6 7 8\na/two.JPG\n1\n9 9 9 9\n")
    files = {"a/one.jpg": tmp_path / "a/one.jpg", "a/two.JPG": tmp_path / "a/two.JPG"}
    assigned = assign(read_annotations(path), files)
    assert {name: boxes.tolist() for name, boxes in assigned.items()} == {
        "a/one.jpg": [[1, 2, 3, 4]],
        "a/two.JPG": [[9, 9, 9, 9]],
    }


def test_predictions_with_a_capital_extension(tmp_path: Path) -> None:
    (tmp_path / "0--Parade").mkdir()
    (tmp_path / "0--Parade" / "one.TXT").write_text("one\n1\n1 2 3 4 0.5\n")
    predictions = read_predictions(tmp_path, [annotated("one")])
    assert predictions.missing == []
    assert predictions.found[0].scores.tolist() == [0.5]


BINARY = [
    b"\x00\x01\x02\x03" * 9,
    b"\xff\xfe\x00",
    b"\x81\x8d",
    b"text\0text\0more",
    b"\xff\xd8\xff\xe0\0\x10JFIF",
]


@pytest.mark.parametrize("data", BINARY)
def test_what_is_not_text_is_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises((ImageError, EvaluationError)) as boxes:
        read_annotations(path)
    with pytest.raises(EvaluationError) as subset:
        read_subset(path, [annotated("one")])
    for error in (boxes, subset):
        assert one_line(error.value).startswith(f"{path}: ")


def test_lines_end_only_where_a_file_has_line_ends(tmp_path: Path) -> None:
    """``str.splitlines`` would split at separators that names may have."""
    path = tmp_path / "a.txt"
    path.write_bytes("a\u2028b\x0bc\nd\x85e\n".encode())
    assert read_lines(path) == ["a\u2028b\x0bc", "d\x85e"]


def test_an_empty_file_is_an_empty_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for data in (b"", b"\xef\xbb\xbf", b"\xff\xfe"):
        path.write_bytes(data)
        assert read_text(path) == ""
        assert read_lines(path) == []
