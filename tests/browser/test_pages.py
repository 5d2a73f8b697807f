"""The HTML pages in Chromium: on a phone and on a desk, in both color schemes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.browser.pages import ATTACK, FILES, NAMES
from trt_mogface.reporting.html import Section, facts, page, table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

SIZES = {"phone": (390, 844), "desk": (1280, 900)}


@contextmanager
def opened(browser: Browser, path: Path, size: str = "desk", scheme: Scheme = "light") -> Iterator[Page]:
    """Open a page that may neither report a problem nor request anything beside itself."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=size == "phone"
    )
    problems: list[str] = []
    shown = context.new_page()
    shown.on("console", lambda message: problems.append(f"console: {message.text}"))
    shown.on("pageerror", lambda error: problems.append(f"error: {error}"))
    shown.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    requested: list[str] = []
    shown.on("request", lambda request: requested.append(request.url))
    shown.goto(path.as_uri())
    yield shown
    assert not problems
    assert [url for url in requested if not url.startswith("data:")] == [path.as_uri()]
    context.close()


def violations(shown: Page) -> list[str]:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install 'trt-mogface[browser]'"
    )
    found = axe.Axe().run(shown).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def contrast(shown: Page, selector: str) -> float:
    """Return the contrast of an element's color against the page, by the formula of WCAG."""
    colors = shown.evaluate(
        "s => [document.querySelector(s), document.body].map((e, i) =>"
        " getComputedStyle(e)[i ? 'backgroundColor' : 'stroke'])",
        selector,
    )
    light, dark = sorted((_luminance(each) for each in colors), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    channels = [int(each) / 255 for each in re.findall(r"\d+", color)[:3]]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_and_is_accessible(browser: Browser, folder: Path, name: str) -> None:
    with opened(browser, folder / f"{name}.html") as shown:
        for width, height in SIZES.values():
            shown.set_viewport_size({"width": width, "height": height})
            assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
            for drawn in shown.locator("figure.plot svg").all():
                box = drawn.bounding_box()
                assert box is not None
                assert 300 <= box["width"] <= width
            for scheme in SCHEMES:
                shown.emulate_media(color_scheme=scheme)
                assert violations(shown) == []


@pytest.mark.parametrize("name", NAMES)
def test_text_of_plots_can_be_read_on_a_phone(browser: Browser, folder: Path, name: str) -> None:
    with opened(browser, folder / f"{name}.html", "phone") as shown:
        sizes = shown.evaluate(
            "[...document.querySelectorAll('figure.plot svg text')]"
            ".map(e => parseFloat(getComputedStyle(e).fontSize) * e.ownerSVGElement.getCTM().a)"
        )
        assert min(sizes) >= 8.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_colors_of_plots_stand_out(browser: Browser, folder: Path, scheme: Scheme) -> None:
    with opened(browser, folder / "bench-batches.html", scheme=scheme) as shown:
        for number in range(1, 7):
            shown.evaluate(f"document.querySelector('svg path').style.stroke = 'var(--series-{number})'")
            assert contrast(shown, "svg path") >= 3, number


def test_a_switch_overrides_the_scheme_of_the_system(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "bench.html", scheme="light") as shown:
        color = "getComputedStyle(document.body).backgroundColor"
        light = shown.evaluate(color)
        shown.get_by_label("dark").check()
        dark = shown.evaluate(color)
        assert _luminance(dark) < 0.05 < 0.9 < _luminance(light)
        shown.get_by_label("light").check()
        assert shown.evaluate(color) == light


def test_names_are_text(browser: Browser, folder: Path) -> None:
    titles = {
        "bench-batches": f"Benchmark of {ATTACK}",
        "eval": "Average precision on WIDER FACE",
        "compare": f"retinaface-mnet025 and {ATTACK} compared",
        "build": f"Sensitivity of {ATTACK} to INT8",
    }
    for name, title in titles.items():
        with opened(browser, folder / f"{name}.html") as shown:
            assert shown.title() == title
            assert shown.locator("h1").inner_text() == title
    with opened(browser, folder / "video.html") as shown:
        sources = shown.locator("table", has=shown.locator("caption", has_text="Sources"))
        names = [each.inner_text() for each in sources.locator("tbody th").all()]
        assert names == ["door", ATTACK, "not utf-8 \\udcff.jpg", "$a$ hall"]
        assert "$a$.jpg" in shown.locator("figure.plot").nth(1).inner_text()
    with opened(browser, folder / "compare.html") as shown:
        alternatives = [Path(each.get_attribute("alt") or "").name for each in shown.locator("img").all()]
        assert alternatives == [*FILES[:2], "not utf-8 \\udcff.jpg"]
    with opened(browser, folder / "eval.html") as shown:
        legend = shown.locator("figure.plot").first.inner_text()
        assert "_hidden" in legend
        assert "$a$" in legend


def test_a_table_is_sorted_by_a_click_and_by_the_keyboard(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "bench-batches.html") as shown:
        found = shown.locator("table", has=shown.locator("caption", has_text="Throughput"))

        def column(number: int) -> list[str]:
            return [each.inner_text() for each in found.locator(f"tbody tr > :nth-child({number})").all()]

        batch = found.get_by_role("columnheader", name="batch")
        assert column(3) == ["2", "10", "1"]
        batch.get_by_role("button").click()
        assert column(3) == ["1", "2", "10"]  # as numbers
        assert batch.get_attribute("aria-sort") == "ascending"
        shown.keyboard.press("Enter")
        assert column(3) == ["10", "2", "1"]
        assert batch.get_attribute("aria-sort") == "descending"
        shown.keyboard.press("Tab")
        shown.keyboard.press("Space")
        assert column(4) == ["9.50", "10.50", "100.00"]
        assert batch.get_attribute("aria-sort") is None
        assert found.get_by_role("columnheader", name="images/s").get_attribute("aria-sort") == "ascending"


def test_blank_cells_and_totals_stay_last(browser: Browser, tmp_path: Path) -> None:
    cells = [("a", "-"), ("b", "10.5%"), ("c", ""), ("d", "9%"), ("e", "-3e-2%")]
    text = page("Sums", [Section(parts=[table("Sums", ["name", "value"], cells, total=["all", "99"])])])
    (tmp_path / "a.html").write_text(text)
    with opened(browser, tmp_path / "a.html") as shown:
        for expected in ("edbacall", "bdeacall"):
            shown.get_by_role("button", name="value").click()
            names = shown.locator("tr > th[scope=row]").all()
            assert "".join(each.inner_text() for each in names) == expected


@pytest.mark.parametrize("size", SIZES)
def test_a_photo_is_enlarged_and_moved(browser: Browser, folder: Path, size: str) -> None:
    with opened(browser, folder / "compare.html", size) as shown:
        button = shown.locator("button.enlarge").nth(1)
        button.focus()
        shown.keyboard.press("Enter")
        dialog = shown.get_by_role("dialog")
        assert Path(dialog.get_attribute("aria-label") or "").name == FILES[1]
        photo, stage = dialog.locator("img"), dialog.locator(".stage")
        fitted, around = photo.bounding_box(), stage.bounding_box()
        assert fitted is not None
        assert around is not None
        assert fitted["width"] == pytest.approx(around["width"], abs=1) or fitted["height"] == pytest.approx(
            around["height"], abs=1
        )
        assert violations(shown) == []
        shown.keyboard.press("+")
        shown.keyboard.press("+")
        larger = photo.bounding_box()
        assert larger is not None
        assert larger["width"] == pytest.approx(fitted["width"] * 2.25, rel=0.01)
        before = stage.evaluate("e => e.scrollLeft")
        shown.keyboard.press("ArrowRight")
        shown.wait_for_function("x => document.querySelector('.stage').scrollLeft > x", arg=before)
        dialog.get_by_role("button", name="Fit").click()
        assert photo.bounding_box() == fitted
        shown.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert button.evaluate("e => e === document.activeElement")


def test_a_mouse_zooms_where_it_points_and_drags(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "compare.html") as shown:
        shown.locator("img").first.click()
        place = "([x, y]) => (r => [(x - r.x) / r.width, (y - r.y) / r.height])(e.getBoundingClientRect())"
        under = f"(e, at) => ({place})(at)"
        photo = shown.get_by_role("dialog").locator("img")
        before = photo.evaluate(under, [500, 300])
        shown.mouse.move(500, 300)
        shown.keyboard.down("Control")
        shown.mouse.wheel(0, -100)
        shown.keyboard.up("Control")
        shown.wait_for_function("document.querySelector('dialog output').textContent === '150%'")
        assert photo.evaluate(under, [500, 300]) == pytest.approx(before, abs=0.01)
        left = shown.evaluate("document.querySelector('.stage').scrollLeft")
        shown.mouse.down()
        shown.mouse.move(450, 300)
        shown.mouse.up()
        shown.mouse.move(300, 300)  # no longer dragged
        assert shown.evaluate("document.querySelector('.stage').scrollLeft") == left + 50


def test_boxes_keep_their_place_and_can_be_hidden(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "compare.html") as shown:
        frame = shown.locator(".frame").first
        photo, box = frame.locator("img").bounding_box(), frame.locator(".box.only-a").bounding_box()
        assert photo is not None
        assert box is not None
        # The face at 0, 0 to 90, 90 of 1280 x 886.
        assert (box["x"], box["y"]) == pytest.approx((photo["x"], photo["y"]), abs=0.5)
        assert box["width"] == pytest.approx(90 / 1280 * photo["width"], abs=0.5)
        assert frame.locator(".box.only-a span").inner_text() == "A 0.90"
        assert not frame.locator(".box.only-b span").is_visible()  # too small to be labeled
        shown.get_by_label("only by A").uncheck()
        assert not frame.locator(".box.only-a").is_visible()
        assert frame.locator(".box.both").first.is_visible()


def test_a_link_of_the_ranking_leads_to_its_photo(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "compare.html") as shown:
        shown.get_by_role("link", name="not utf-8").click()
        assert shown.url.endswith("#image-3")
        shown.wait_for_function(
            "document.querySelector('#image-3').getBoundingClientRect().top < innerHeight"
        )


@pytest.mark.parametrize("name", NAMES)
def test_print_is_light_and_whole(browser: Browser, folder: Path, name: str) -> None:
    with opened(browser, folder / f"{name}.html", scheme="dark") as shown:
        shown.emulate_media(media="print", color_scheme="dark")
        assert _luminance(shown.evaluate("getComputedStyle(document.body).color")) < 0.1
        assert not shown.locator(".scheme").is_visible()
        printed = shown.pdf(format="A4", outline=True, tagged=True)
        # Fonts and photos are in a file that shows something.
        assert printed.count(b"/FontDescriptor") > 1
        assert (b"/DCTDecode" in printed) == (name in ("compare", "video"))


def test_thousands_of_rows_are_sorted_at_once(browser: Browser, tmp_path: Path) -> None:
    rows = [
        (f"image {number}.jpg", *(f"{number * 7919 % 5003}.5" for _ in range(6))) for number in range(5000)
    ]
    head = ["image", *"abcdef"]
    (tmp_path / "a.html").write_text(page("Rows", [Section(parts=[table("Rows", head, rows)])]))
    with opened(browser, tmp_path / "a.html", "phone") as shown:
        milliseconds = shown.evaluate(
            "(() => { const start = performance.now();"
            " document.querySelectorAll('thead button')[1].click();"
            " document.body.getBoundingClientRect(); return performance.now() - start })()"
        )
        assert shown.locator("tbody tr").first.inner_text().startswith("image 0.jpg")
        assert milliseconds < 3000  # some 100 on an idle machine


def test_long_words_do_not_widen_a_page(browser: Browser, tmp_path: Path) -> None:
    word = "x" * 500
    parts = [facts("Facts", [(word, word)]), table("Table", [word, "b"], [(word, word)] * 2)]
    (tmp_path / "a.html").write_text(page(word, [Section(word, word, parts)]))
    with opened(browser, tmp_path / "a.html", "phone") as shown:
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
