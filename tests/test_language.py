"""The words of this project: docstrings, comments, messages and pages in plain American English.

CONTRIBUTING.md has the rules.  A pattern here is precise enough to leave ordinary English alone.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import REPOSITORY, tracked

THIS = Path(__file__).resolve()

REFUSED = {
    r"\btold\b": "name what is passed, set or reported",
    r"\bso many\b": "give the number a name",
    r"\bis none\b": "write 'not a ...' or 'unknown ... (choose from ...)'",
    r"\b(can|could|to) (not )?be had\b": "write 'not available' or 'not installed'",
    r"\bwhat (became|becomes|comes|is there)\b": "name the thing",
    r"\basked for\b": "write 'requested'",
    r"\bin force\b": "write 'effective'",
    r"(?<!network )(?<!engine )(?<!model )(?<!stands )(?<!stand )\balone\b": "write 'only'",
    r"(^|[.!?]\s+)(Those|That which|He who|Who|Whoever) (that|which|who|is|has)\b": "name the thing first",
    r"\bat hand\b": "write 'available'",
    r"\bso far has\b": "write 'has not'",
    r"\bit may have\b.{0,30}\bin its place\b": "name the thing",
}
"""Phrases, and what to write instead.  Case counts only where a capital letter is written."""

BRITISH = (
    r"(?i)colour|centre|licence|\bgrey|neighbour|behaviour|favour(?!ite\b)|analys(?:e|ed|er|es|ing)\b|"
    r"(?:optim|normal|quant|equal|serial|initial|recogn|organ|minim|maxim|synchron|general|summar)is(?:e|ing|ation)"
)
"""Also inside names, where codespell does not look."""

OPENING = re.compile(r"(What|Whether what|Those|Where|Who|That)\b(?! is [A-Z])")
"""A docstring does not open with a relative clause."""

GENITIVE = re.compile(r"^ +\*{0,2}\w+(?:, \w+)*: (?:Of|In|By|From|With) ", re.MULTILINE)
"""An entry of ``Args:`` is a noun that stands without its name."""

LEFT = re.compile(r"(?i)\b(?:leav\w+|left|let)\s+(?:\S+\s+){0,4}alone\b")

CONTRACT_1 = {"centre", "licence"}
"""Names of fields in files of contract 1, which the code still reads."""


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of strings and blocks of comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    start, block, last = 0, "", 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, text = token.start[0], token.string.lstrip("# ")
            is_whole_line = token.line.lstrip().startswith("#")
            if block and is_whole_line and row == last + 1:
                block += f" {text}"
            else:
                if block:
                    yield start, block
                start, block = row, text
            last = row
    if block:
        yield start, block


def c_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of blocks of comments."""
    for found in re.finditer(r"(?:^[ \t]*//.*\n?)+|//.*|/\*.*?\*/", source, re.MULTILINE | re.DOTALL):
        yield (
            source[: found.start()].count("\n") + 1,
            re.sub(r"^\s*(//|\*)+", " ", found[0], flags=re.MULTILINE),
        )


def markdown_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of paragraphs without code."""
    plain = re.sub(r"```.*?```", lambda code: "\n" * code[0].count("\n"), source, flags=re.DOTALL)
    line = 1
    for paragraph in plain.split("\n\n"):
        yield line, re.sub(r"`[^`]*`", "`code`", paragraph)
        line += paragraph.count("\n") + 2


def texts(path: Path) -> Iterator[tuple[int, str]]:
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from python_texts(source)
    elif path.suffix == ".md":
        yield from markdown_texts(source)
    else:
        yield from c_texts(source)


def problems(line: int, text: str) -> Iterator[str]:
    """Yield what is wrong with one text."""
    plain = LEFT.sub("", " ".join(text.split()))
    for pattern, advice in REFUSED.items():
        found = re.search(pattern, plain)
        if found:
            yield f"{line}: {found[0].strip()!r}: {advice}"
    found = re.search(BRITISH, plain)
    if found and plain not in CONTRACT_1:
        yield f"{line}: {found[0]!r}: use the American spelling"


def docstring_problems(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node, clean=False) or ""
            line = getattr(node, "lineno", 1)
            opening = OPENING.match(text)
            if opening:
                yield f"{line}: docstring opens with {opening[0]!r}: name the thing or use an imperative verb"
            for found in GENITIVE.finditer(text):
                yield f"{line}: {found[0].strip()!r}: begin the entry with a noun"


def report(path: Path, found: Iterator[str]) -> list[str]:
    return [f"{path.relative_to(REPOSITORY)}:{problem}" for problem in found]


LANGUAGES = ("*.py", "*.md", "*.h", "*.cuh", "*.cu", "*.cpp", "*.js", "*.css")
PROSE = [path for path in tracked(*LANGUAGES) if path != THIS]
CODE = tracked("trt_mogface/*.py", "engine_build/*.py", "examples/*.py")


@pytest.mark.parametrize("folder", sorted({path.relative_to(REPOSITORY).parts[0] for path in PROSE}))
def test_prose_is_plain_american_english(folder: str) -> None:
    paths = [path for path in PROSE if path.relative_to(REPOSITORY).parts[0] == folder]
    found = [
        line
        for path in paths
        for line in report(path, (each for text in texts(path) for each in problems(*text)))
    ]
    assert not found, "\n" + "\n".join(found)


def test_docstrings_open_with_a_noun_or_a_verb() -> None:
    found = [line for path in CODE for line in report(path, docstring_problems(path))]
    assert not found, "\n" + "\n".join(found)


def test_names_are_american() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{token.start[0]}: {token.string}"
        for path in CODE
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        if token.type == tokenize.NAME and re.search(BRITISH, token.string)
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "The slot is told of a failure.",
        "At most so many images.",
        "'x' is none of a, b",
        "more memory than was asked for",
        "for CPUs alone",
        "TensorRT could not be had",
        "the colour of a pixel",
        "Build an optimised engine.",
    ],
)
def test_a_phrase_of_the_list_is_found(text: str) -> None:
    assert list(problems(1, text))


@pytest.mark.parametrize(
    "text",
    [
        "None of these images can be read.",
        "Measure the network alone.",
        "Leave the other levels alone.",
        "There are too many anchors.",
        "Raise the limit where the caller asked.",
        "the license of the weights, in color",
    ],
)
def test_ordinary_english_passes(text: str) -> None:
    assert not list(problems(1, text))


def test_texts_of_a_module_are_strings_and_whole_comments() -> None:
    source = '"""Doc."""\n# one\n# two\nx = f"a {x} b"  # three\n'
    assert sorted(python_texts(source)) == [(1, "Doc."), (2, "one two"), (4, " b"), (4, "a "), (4, "three")]
