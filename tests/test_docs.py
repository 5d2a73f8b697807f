"""Pages against the code: names, constants, paths, links and tables."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import trt_mogface
from engine_build import lowering
from engine_build.calibration.ranges import PERCENTILE
from engine_build.models.mogface import FAMILY as MOGFACE
from engine_build.models.registry import cards
from tests.support.project import REPOSITORY, project, tracked
from trt_mogface import errors

DOCS = REPOSITORY / "docs"
PAGES = tracked("*.md")


def page(name: str) -> str:
    """Return a page as one line, so that a phrase is found wherever its lines break."""
    return " ".join((REPOSITORY / name).read_text(encoding="utf-8").split())


def rows(name: str) -> list[list[str]]:
    """Return the cells of all table rows of a page."""
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def code_block(name: str, heading: str) -> str:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    return text[text.index(f"\n## {heading}\n") :].split("```")[1]


def test_the_reference_names_the_public_names() -> None:
    reference = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    covered = {name for name in vars(errors) if "::: trt_mogface.errors" in reference}
    covered |= set(re.findall(r"::: trt_mogface(?:\.\w+)*\.(\w+)", reference))
    covered |= set(re.findall(r"\w+", " ".join(re.findall(r"members: \[(.*)\]", reference))))
    assert set(trt_mogface.__all__) <= covered


def test_the_page_of_errors_is_the_module() -> None:
    module = {
        name: ", ".join(base.__name__ for base in kind.__bases__)
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.MogFaceError)
    }
    table = {
        row[0].strip("`"): row[1].replace("`", "")
        for row in rows("docs/errors.md")
        if row[0].endswith("Error`")
    }
    assert table == module
    assert all(len(row) == 4 and all(row) for row in rows("docs/errors.md"))


@pytest.mark.parametrize("name", ["README.md", "docs/install.md"])
def test_the_tables_of_extras_are_those_of_the_package(name: str) -> None:
    extras = project()["project"]["optional-dependencies"]
    named = [row[0].strip("`") for row in rows(name) if row[0].strip("`") in extras]
    assert named == list(extras)


def test_the_packages_of_each_extra_are_named() -> None:
    extras = project()["project"]["optional-dependencies"]
    for name, *_, packages in rows("docs/install.md"):
        if name.strip("`") in set(extras) - {"dev"}:
            wanted = {re.split(r"[\[><=; ]", text)[0] for text in extras[name.strip("`")]}
            assert set(packages.split(", ")) == wanted


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("docs/engines.md", f"`percentile` ({100 * PERCENTILE:.3f}% of the values, the default)"),
        ("docs/decisions.md", f"**The percentile is {100 * PERCENTILE:.3f}%.**"),
        ("docs/engines.md", f"more than `--max-loss` points are lost (default: {lowering.MAX_LOSS:g})"),
        ("docs/engines.md", f"at most `--max-loss` (default: {lowering.AUTO_LOSS:g})"),
        ("docs/engines.md", f"up to {lowering.CHECKED_IMAGES} of the images"),
    ],
)
def test_constants_are_those_of_the_code(name: str, phrase: str) -> None:
    assert phrase in page(name)


def test_the_smallest_faces_are_those_of_the_spec() -> None:
    levels = MOGFACE.spec.levels
    bounds = [int(level.largest_face) for level in levels[:3]]
    table = [row for row in rows("docs/models.md") if row[0].startswith(("up to", "19", "37"))]
    assert [int(re.findall(r"\d+", row[0])[-1]) for row in table] == bounds
    assert [int(row[1]) for row in table] == [level.stride for level in levels[:3]]


def test_models_are_listed() -> None:
    listed = {row[0].strip("`") for row in rows("docs/models.md")}
    assert set(cards()) <= listed


def test_the_layout_names_every_module() -> None:
    layout = code_block("docs/architecture.md", "Layout")
    online = layout[layout.index("\ntrt_mogface/") :]
    for package, text in (("engine_build", layout), ("trt_mogface", online)):
        for path in tracked(f"{package}/*"):
            name = path.relative_to(REPOSITORY / package).parts[0]
            if not name.startswith("_") and name != "py.typed":
                assert re.search(rf"\b{re.escape(name)}(/| |$)", text, re.MULTILINE), f"{package}/{name}"


def test_the_layers_are_those_of_the_contract() -> None:
    (contract,) = project()["tool"]["importlinter"]["contracts"]
    lines = [
        {name.strip(" ()").removeprefix("trt_mogface.") for name in re.split("[|:]", line)}
        for line in contract["layers"]
    ]
    written = [
        set(re.findall(r"\w+", line)) - {"and", "the", "private", "modules"}
        for line in code_block("docs/architecture.md", "Import law").strip().splitlines()
    ]
    first = next(index for index, names in enumerate(lines) if names == {"cli"})
    assert written == [names for names in lines[first:] if "embedded" not in names]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_and_paths_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), target
    roots = r"trt_mogface|engine_build|tests|benchmarks|examples|plugins|docs"
    for name in re.findall(rf"`((?:{roots})/[a-z\w/.-]*)`", text.replace("NAME.json", "peers.json")):
        assert (REPOSITORY / name).exists() or (REPOSITORY / "plugins" / name).exists(), name
    for name in re.findall(r"python -m (benchmarks(?:\.[a-z_]+)+)", text):
        place = REPOSITORY / name.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), name


def test_every_page_is_in_the_navigation() -> None:
    navigation = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    for path in DOCS.rglob("*.md"):
        assert f": {path.relative_to(DOCS)}\n" in navigation
