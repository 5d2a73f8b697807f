"""Annotated faces in WIDER FACE's form, and AP by their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine_build.validation.annotations import ap_by_size, assign, read_annotations
from tests.support.specs import one_line
from trt_mogface.errors import ArgumentError, ImageError
from trt_mogface.evaluation.face_sizes import SIZES
from trt_mogface.reference.select import Selection

WIDER = """0--Parade/0_Parade_849.jpg
1
449 330 122 149 0 0 0 0 0 0
0--Parade/0_Parade_904.jpg
2
361 98 263 339 0 0 0 0 0 0
1.5 2.5 10 20.25 2 0 0 0 2 0
9--Press/none.jpg
0
0 0 0 0 0 0 0 0 0 0
with a blank.jpg
1
3 4 5 6
"""


def annotated(folder: Path, text: str | bytes) -> Mapping[str, NDArray[np.float64]]:
    path = folder / "bbx_gt.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_annotations(path)


def as_lists(found: Mapping[str, NDArray[np.float64]]) -> dict[str, list[list[float]]]:
    assert all(boxes.dtype == np.float64 and boxes.shape[1:] == (4,) for boxes in found.values())
    return {name: boxes.tolist() for name, boxes in found.items()}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n", " \n"])
def test_the_form_of_wider_face(tmp_path: Path, ending: str) -> None:
    assert as_lists(annotated(tmp_path, WIDER.replace("\n", ending))) == {
        "0--Parade/0_Parade_849.jpg": [[449, 330, 122, 149]],
        "0--Parade/0_Parade_904.jpg": [[361, 98, 263, 339], [1.5, 2.5, 10, 20.25]],
        "9--Press/none.jpg": [],
        "with a blank.jpg": [[3, 4, 5, 6]],
    }


@pytest.mark.parametrize("text", ["", "\n\n", "   \n"])
def test_a_file_without_images_holds_none(tmp_path: Path, text: str) -> None:
    assert annotated(tmp_path, text) == {}


def test_the_file_of_wider_face_itself(test_data: Path) -> None:
    files = sorted(test_data.rglob("*bbx_gt*.txt"))
    if not files:
        pytest.skip("the annotations of WIDER FACE are not in the test data")
    found = read_annotations(files[0])
    assert len(found) > 100
    assert sum(map(len, found.values())) > 1000


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg\n",
        "a.jpg\n1\n",
        "a.jpg\n2\n1 2 3 4\n",
        "a.jpg\n0\n",
        "a.jpg\nmany\n1 2 3 4\n",
        "a.jpg\n1.0\n1 2 3 4\n",
        "a.jpg\n1\n1 2 3\n",
        "a.jpg\n1\n1 2 x 4\n",
        "a.jpg\n1\n1,2,3,4\n",
        "a.jpg\n2\n1 2 3 4\n1 2 3\n",
        "a.jpg\n999999999999\n1 2 3 4\n",
        "1 2 3 4\n1 2 3 4\n",
        "a.jpg\n1\n1 2 3 4\nb.jpg\n",
        "{}\n[]\n",
        "a.jpg\n" + "9" * 5000 + "\n1 2 3 4\n",
        b"\xff\xfe\x00\x01" * 20,
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        "\x00\n\x00\n\x00\n",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_another_form_is_one_line(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(ImageError) as error:
        annotated(tmp_path, text)
    assert "bbx_gt.txt" in one_line(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg\n2\n1 2\n3 4\n",
        "a.jpg\n4\n1 2 3\n4 5 6\n7 8 9\n1 2 3\n",
        "a.jpg\n-1\n1 2 3 4\n",
        "a.jpg\n1\nnan nan nan nan\n",
        "a.jpg\n1\n0 0 inf 5\n",
    ],
)
def test_boxes_that_cannot_be_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ImageError):
        annotated(tmp_path, text)


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="cannot be read") as error:
        read_annotations(tmp_path / name)
    one_line(error.value)


def test_paths_of_other_systems_are_the_same(tmp_path: Path) -> None:
    assert list(annotated(tmp_path, "a\\b\\0.jpg\n1\n1 2 3 4\n./c/0.jpg\n1\n1 2 3 4\n")) == [
        "a/b/0.jpg",
        "c/0.jpg",
    ]


def test_an_image_that_is_annotated_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a/0\.jpg is annotated twice"):
        annotated(tmp_path, "a/0.jpg\n1\n1 2 3 4\na/./0.jpg\n1\n1 2 3 4\n")


# Annotations of images


def assigned(keys: Sequence[str], names: Sequence[str], root: str = "/data/cam") -> dict[str, str]:
    """Return the annotation of each image by its number, which is a coordinate of the box."""
    faces = {key: np.array([[index, 0, 10, 10]], np.float64) for index, key in enumerate(keys)}
    found = assign(faces, {name: Path(root, name) for name in names})
    return {name: keys[int(boxes[0, 0])] for name, boxes in found.items()}


@pytest.mark.parametrize(
    ("keys", "names", "expected"),
    [
        (["a/0.jpg", "b/0.jpg"], ["a/0.jpg", "b/0.jpg"], ["a/0.jpg", "b/0.jpg"]),
        (["b/0.jpg", "a/0.jpg", "c/0.jpg"], ["a/0.jpg", "b/0.jpg"], ["a/0.jpg", "b/0.jpg"]),
        (["cam/a/0.jpg", "cam/b/0.jpg"], ["a/0.jpg", "b/0.jpg"], ["cam/a/0.jpg", "cam/b/0.jpg"]),
        (["/data/cam/a/0.jpg"], ["a/0.jpg"], ["/data/cam/a/0.jpg"]),
        (["0.jpg", "1.jpg"], ["a/0.jpg", "b/1.jpg"], ["0.jpg", "1.jpg"]),
        (["x/0.jpg", "y/1.jpg"], ["0.jpg", "1.jpg"], ["x/0.jpg", "y/1.jpg"]),
        (["a/0.jpg", "0.jpg"], ["a/0.jpg", "0.jpg"], ["a/0.jpg", "0.jpg"]),
    ],
)
def test_annotations_belong_to_images_by_path(keys: list[str], names: list[str], expected: list[str]) -> None:
    assert assigned(keys, names) == dict(zip(names, expected))


@pytest.mark.parametrize(
    ("keys", "names", "said"),
    [
        (["0.jpg"], ["a/0.jpg", "b/0.jpg"], "0.jpg fits several images: a/0.jpg, b/0.jpg; names are paths"),
        (["x/0.jpg", "y/0.jpg"], ["0.jpg"], "0.jpg fits several annotations: x/0.jpg, y/0.jpg"),
        (["b/0.jpg", "0.jpg"], ["c/b/0.jpg"], "c/b/0.jpg fits several annotations: b/0.jpg, 0.jpg"),
        (
            ["a/0.jpg"],
            ["a/0.jpg", "b/0.jpg"],
            "1 of 2 images have no annotation: b/0.jpg, and annotations are of a/0.jpg; names are",
        ),
        (["10.jpg"], ["0.jpg"], "1 of 1 images have no annotation: 0.jpg"),
        (
            [],
            ["0.jpg", "1.jpg", "2.jpg", "3.jpg"],
            "4 of 4 images have no annotation: 0.jpg, 1.jpg, 2.jpg, ...;",
        ),
    ],
)
def test_names_that_fit_nothing_or_several_are_one_line(keys: list[str], names: list[str], said: str) -> None:
    with pytest.raises(ArgumentError) as error:
        assigned(keys, names)
    assert said in one_line(error.value)
    assert str(error.value).startswith("boxes: ")


def test_normalized_boxes_are_refused() -> None:
    boxes = {"0.jpg": np.array([[0.2, 0.3, 0.1, 0.1]]), "1.jpg": np.empty((0, 4))}
    with pytest.raises(ArgumentError, match=r"within 0..1; give x y w h in pixels"):
        assign(boxes, {name: Path(name) for name in boxes})


# AP by size


def found(boxes: Sequence[Sequence[float]], scores: Sequence[float]) -> Selection:
    """Candidates from x, y, width, height."""
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    rows[:, 2:] += rows[:, :2]
    return Selection(rows, np.array(scores, np.float32), None, 0)


def faces(*boxes: Sequence[float]) -> NDArray[np.float64]:
    return np.array(boxes, np.float64).reshape(-1, 4)


SMALL, SMALLISH, MIDDLE, LARGE = "< 16 px", "16-32 px", "32-64 px", ">= 64 px"


def test_the_classes() -> None:
    assert list(SIZES) == [SMALL, SMALLISH, MIDDLE, LARGE]


def test_each_class_is_judged_alone() -> None:
    truth = {"a.jpg": faces([0, 0, 10, 8], [100, 0, 20, 40], [300, 0, 100, 90], [500, 0, 30, 64])}
    candidates = [found([[0, 0, 10, 8], [300, 0, 100, 90]], [0.9, 0.8])]
    assert ap_by_size(["a.jpg"], [(1, 1)], candidates, truth) == pytest.approx(
        {"all": 0.5, SMALL: 1.0, MIDDLE: 0.0, LARGE: 0.5}
    )


def test_sizes_are_those_of_the_network_input() -> None:
    truth = {"a.jpg": faces([100, 100, 40, 30])}
    for scale, label in ((0.25, SMALL), (1.0, MIDDLE), (2.0, LARGE)):
        box = [100 * scale, 100 * scale, 40 * scale, 30 * scale]
        candidates = [found([box, [1000, 1000, 50, 50]], [0.9, 0.1])]
        figures = ap_by_size(["a.jpg"], [(scale, scale)], candidates, truth)
        assert figures == pytest.approx({"all": 1.0, label: 1.0})


@pytest.mark.parametrize(
    ("side", "labels"),
    [
        (1.9, []),
        (2.0, ["all", SMALL]),
        (15.9, ["all", SMALL]),
        (16.0, ["all", SMALLISH]),
        (31.9, ["all", SMALLISH]),
        (32.0, ["all", MIDDLE]),
        (63.9, ["all", MIDDLE]),
        (64.0, ["all", LARGE]),
        (5000.0, ["all", LARGE]),
    ],
)
def test_edges_of_the_classes(side: float, labels: list[str]) -> None:
    truth = {"a.jpg": faces([0, 0, 1, side])}
    assert list(ap_by_size(["a.jpg"], [(1, 1)], [found([], [])], truth)) == labels


def test_a_wrong_candidate_before_the_right_one_halves_the_precision() -> None:
    truth = {"a.jpg": faces([0, 0, 100, 100])}
    candidates = [found([[0, 0, 100, 100], [500, 0, 100, 100]], [0.4, 0.9])]
    figures = ap_by_size(["a.jpg"], [(1, 1)], candidates, truth)
    assert figures == pytest.approx({"all": 0.5, LARGE: 0.5})


def test_faces_of_other_classes_count_neither_way() -> None:
    """A large face that is found is no false alarm among the small ones."""
    truth = {"a.jpg": faces([0, 0, 200, 200], [500, 0, 10, 10])}
    candidates = [found([[0, 0, 200, 200], [500, 0, 10, 10]], [0.9, 0.5])]
    figures = ap_by_size(["a.jpg"], [(1, 1)], candidates, truth)
    assert figures == pytest.approx({"all": 1.0, SMALL: 1.0, LARGE: 1.0})


def test_images_that_are_not_annotated_hold_no_faces() -> None:
    candidates = [found([[0, 0, 50, 50]], [0.9]), found([[0, 0, 50, 50]], [0.8])]
    assert (
        ap_by_size(["x.jpg", "y.jpg"], [(1, 1), (1, 1)], candidates, {"a.jpg": faces([0, 0, 50, 50])}) == {}
    )
    truth = {"a.jpg": faces([0, 0, 50, 50])}
    figures = ap_by_size(["x.jpg", "a.jpg"], [(1, 1), (1, 1)], candidates, truth)
    assert figures == pytest.approx({"all": 0.5, MIDDLE: 0.5})  # the face on x.jpg is a false alarm


def test_nothing_found_and_no_images() -> None:
    truth = {"a.jpg": faces([0, 0, 50, 50])}
    assert ap_by_size(["a.jpg"], [(1, 1)], [found([], [])], truth) == {"all": 0.0, MIDDLE: 0.0}
    assert ap_by_size([], [], [], truth) == {}
    assert ap_by_size(["a.jpg"], [(1, 1)], [found([], [])], {"a.jpg": faces()}) == {}


def test_a_single_candidate_that_is_right_is_found() -> None:
    truth = {"a.jpg": faces([0, 0, 50, 50])}
    figures = ap_by_size(["a.jpg"], [(1, 1)], [found([[0, 0, 50, 50]], [0.9])], truth)
    assert figures == pytest.approx({"all": 1.0, MIDDLE: 1.0})
