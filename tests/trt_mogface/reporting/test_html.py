"""Pages as text; tests/browser opens them."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np

from trt_mogface.reporting.html import Box, Section, bullets, facts, link, page, photo, table

VOID = {"meta", "link", "img", "input", "wbr"}


class Nesting(HTMLParser):
    """Checks that each element ends where it should, and collects ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Accept an empty element of SVG."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def everything(name: str) -> str:
    image = np.zeros((20, 30, 3), np.uint8)
    parts = [
        table(name, [name, "b"], [(name, "1"), (link(name, "there"), "2")], marked=[1], total=[name, "3"]),
        facts(name, [(name, name)]),
        bullets([name]),
        photo(image, [Box("both", (0, 0, 0.5, 1), name)], name, name),
    ]
    return page(
        name,
        [Section(name, name, parts), Section(name, anchor="there", is_listed=False), *[Section("a")] * 3],
    )


def test_names_cannot_leave_their_place() -> None:
    plain = everything("name")
    for name in (
        "</title><script>alert(1)</script>",
        "\"' onload='x",
        "<!--",
        "&amp;",
        "</td></table>",
        "{{ 7*7 }}",
    ):
        text = everything(name).replace("<wbr>", "")
        Nesting(text)
        assert text.count("<script") == plain.count("<script") == 2
        assert text.count("<") == plain.count("<")
        assert "49" not in re.sub(r"sha256-\S+|base64,\S+", "", text) or "49" in name


def test_names_that_are_not_text_can_be_written() -> None:
    text = everything("a\udcff\x00\x1b\x7fb")
    assert "a\\udcff\\x00\\x1b\\x7fb" in text
    text.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text)


def test_ids_are_unique() -> None:
    ids = Nesting(everything("name")).ids
    assert len(ids) == len(set(ids))
    assert "there" in ids


def test_links_of_the_contents_lead_somewhere() -> None:
    text = everything("name")
    assert {*re.findall(r'href="#([^"]+)"', text)} <= {*Nesting(text).ids}
    assert "<nav" in text
    assert "<nav" not in page("a", [Section("a")])


def test_the_policy_allows_the_scripts_of_the_page_only() -> None:
    text = everything("name")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert "default-src 'none'" in policy
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert f"script-src {allowed}" in policy.replace("&#39;", "'")


def test_columns_of_numbers_are_set_as_numbers() -> None:
    text = str(table("t", ["a", "b", "c", "d"], [("1", "2.5%", "", "x1"), ("-3e-2", "-", "", "4")]))
    assert re.findall(r'<th scope="col"( class="number")?>', text) == [
        ' class="number"',
        ' class="number"',
        "",
        "",
    ]


def test_an_empty_table_is_a_table() -> None:
    Nesting(str(table("t", ["a", "b"], [])))
