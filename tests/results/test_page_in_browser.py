"""The page in a headless Chromium: what people click, type, copy and print. Each test fails on an error in the console
and on any request but that for the file itself."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avbalance.results import page

pytest.importorskip("playwright", reason="needs the package playwright")
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium")
ROWS = "#demo_table1 .rows tbody tr"
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as starter:
        launched = starter.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture
def file(folder: Path, request: pytest.FixtureRequest) -> Path:
    """The page of the demonstration, whose rows have audio and visual here; it is made once."""
    if not (folder / "page.html").exists():
        (folder / "page.html").write_text(
            build(request.getfixturevalue("made"), request.getfixturevalue("publish_run")), encoding="utf-8"
        )
    return folder / "page.html"


def build(made: list[str], publish_run: Callable[..., str]) -> str:
    shutil.rmtree("results/runs")
    both = ("audio", "visual")
    for name, right in (("better-s0", 8), ("better-s1", 7), ("worse-s0", 2), ("worse-s1", 1)):
        publish_run(name, encoder=both, test_logits=right, test_masked_audio=6, test_masked_visual=2)
    return page.render("laptop", made)


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Open]:
    """Opens the page at an address within it."""
    requests: list[str] = []
    errors: list[str] = []
    contexts = []

    def open_page(address: str = "", **options: Any) -> Page:  # noqa: ANN401
        contexts.append(browser.new_context(**options))
        shown = contexts[-1].new_page()
        shown.on("request", lambda request: requests.append(request.url))
        shown.on("console", lambda message: errors.append(message.text))
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.goto(f"file://{file}{address}")
        return shown

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert {url.partition("#")[0] for url in requests} == {f"file://{file}"}


def labels(shown: Page) -> list[str]:
    return [row.partition("\t")[0] for row in shown.locator(f"{ROWS}:visible").all_inner_texts()]


def test_a_heading_sorts_rising_falling_and_back_by_mouse_and_keyboard(opened: Open) -> None:
    shown = opened("#demo_table1")
    heading = shown.locator("#demo_table1 thead th", has_text="Test accuracy").first
    assert labels(shown) == ["Better_row", "Worse row"]
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert labels(shown) == ["Worse row", "Better_row"]
    heading.get_by_role("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert labels(shown) == ["Better_row", "Worse row"]
    heading.get_by_role("button").press("Space")
    assert heading.get_attribute("aria-sort") is None
    shown.locator("#demo_table1 thead button", has_text="Δ").click()  # a row without a number stands last
    assert labels(shown) == ["Better_row", "Worse row"]


def test_rows_are_filtered_by_every_word(opened: Open) -> None:
    shown = opened("#demo_table1")
    search = shown.get_by_label("Filter rows")
    search.fill("row wor")
    assert labels(shown) == ["Worse row"]
    assert shown.get_by_role("status").inner_text() == "1 of 2 rows"
    search.fill("")
    assert labels(shown) == ["Better_row", "Worse row"]


def test_of_many_rows_the_first_are_drawn_and_all_on_demand(
    browser: Browser, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = {f"row_{number}": {"label": f"Row {number}"} for number in range(600)}
    settings["spec"] |= {"rows": rows, "claims": {}, "expected": {}}
    settings["rows"] = {row: [{"seed": 0, "run": f"results/runs/{row}", "probe": None, "alone": {}}] for row in rows}
    Path("results/recipes").mkdir(parents=True)
    Path("results/recipes/demo_table1.0123456789ab.json").write_text(
        json.dumps({"settings": settings}), encoding="utf-8"
    )
    Path("page.html").write_text(
        page.render("laptop", ["results/tables/laptop/demo_table1.0123456789ab"]), encoding="utf-8"
    )
    shown = browser.new_page()
    shown.goto(f"file://{Path('page.html').absolute()}#demo_table1")
    assert shown.locator(f"{ROWS}:visible").count() == 500
    assert shown.get_by_role("status").inner_text() == "600 rows, the first 500 drawn"
    shown.get_by_label("Filter rows").fill("599 row")
    assert [label.partition("\n")[0] for label in labels(shown)] == ["Row 599"]
    shown.get_by_label("Filter rows").fill("")
    shown.get_by_role("button", name="Draw all").click()
    assert shown.locator(f"{ROWS}:visible").count() == 600
    shown.close()


def test_columns_are_hidden_and_shown(opened: Open) -> None:
    shown = opened("#demo_table1")
    headings = shown.locator("#demo_table1 thead th:visible")
    assert headings.count() == 5  # row, loss, accuracy, paper, Δ
    shown.get_by_text("Columns", exact=True).click()
    shown.get_by_label("Test accuracy, %").uncheck()
    assert headings.count() == 2
    assert shown.locator(f"{ROWS} td:visible").count() == 2
    shown.get_by_label("Test accuracy, %").check()
    shown.get_by_label("The paper's numbers, and Δ").uncheck()
    assert headings.count() == 3
    shown.keyboard.press("Escape")
    assert not shown.get_by_label("Test accuracy, %").is_visible()


def test_a_row_opens_by_keyboard_and_closes_by_escape(opened: Open) -> None:
    shown = opened("#demo_table1")
    link = shown.get_by_role("link", name="Better_row")
    link.press("Enter")
    panel = shown.get_by_role("dialog", name="Better_row")
    panel.locator(".charts svg").nth(3).wait_for()
    assert shown.url.endswith("#demo_table1/better")
    told = panel.inner_text()
    assert "audio\t75.0 ± 0.0" in told  # 6 of 8 clips in both seeds
    assert "gap\t50.0" in told
    assert "Norms of the encoders' gradients: not recorded." in told
    assert re.search(r"Peak memory of training, MiB\t[\d,]+\t[\d,]+", told)
    assert "1.25\t1.25" in told  # millions of parameters
    assert "GFLOPs (multiply-adds)\t1.500\t1.500" in told
    assert "Accuracy, %" in panel.locator(".charts").inner_text()
    assert "seeds:\n- 0\n- 1" in told or "seeds: [0, 1]" in told
    assert panel.locator(".charts svg").count() == 4  # loss, accuracy, OGR, confusion
    shown.keyboard.press("Escape")
    shown.wait_for_url("**#demo_table1")
    assert not panel.is_visible()
    assert link.evaluate("link => link === document.activeElement")


def test_equal_weights_for_want_of_a_head_that_generalises_are_crosses(opened: Open) -> None:
    history = {"weight_joint": [0.5, 0.33, 0.1], "weight_audio": [0.5, 0.67, 0.9], "fallback": [0, 1, 0]}
    told = opened().evaluate(
        """async (history) => {
            const [chart] = chartsOf([{ seed: 0, history, norms: {} }]);
            const place = document.body.appendChild(document.createElement("div"));
            loadVega();
            await window.vegaEmbed(place, { ...chart, width: 300 }, { actions: false, renderer: "svg" });
            const marks = [...place.querySelectorAll(".mark-symbol.role-mark path")];
            const shapes = marks.map((path) => path.getAttribute("d"));
            return [chart.title, chart.data.values, shapes];
        }""",
        history,
    )
    title, points, shapes = told
    assert sorted(map(shapes.count, set(shapes))) == [2, 4]  # crosses, circles
    assert title == "Balancer: weight of each head (crosses: equal, for no head generalised)"
    assert [point["epoch"] for point in points if point["equal"]] == [2, 2]


def test_an_address_opens_its_row_and_back_leaves_it(opened: Open) -> None:
    shown = opened("#demo_table1/worse")
    shown.get_by_role("dialog", name="Worse row").wait_for()
    shown.get_by_role("button", name="Close", exact=True).click()
    shown.get_by_role("link", name="Better_row").click()
    shown.get_by_role("dialog", name="Better_row").wait_for()
    shown.go_back()
    assert shown.get_by_role("dialog").count() == 0


def test_the_command_of_a_row_is_copied(opened: Open) -> None:
    shown = opened("#demo_table1/better")
    button = shown.get_by_role("dialog").get_by_role("button", name="Copy").last
    button.click()
    shown.get_by_role("button", name="Copied").wait_for()
    shown.keyboard.press("Escape")
    search = shown.get_by_label("Filter rows")
    search.press("Control+v")
    assert search.input_value() == (
        "snakemake results/runs/better-s0/manifest.json results/runs/better-s1/manifest.json"
        " --cores all --config scale=laptop tables=[demo_table1]"
    )


def test_the_theme_follows_the_system_and_the_switch(opened: Open) -> None:
    shown = opened(color_scheme="dark")
    button = shown.get_by_role("button", name="Theme")

    def brightness() -> int:
        return int(shown.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"))

    assert brightness() < 50
    button.click()
    assert button.inner_text() == "Theme: dark"
    button.click()
    assert button.inner_text() == "Theme: light"
    assert brightness() > 200
    shown.emulate_media(color_scheme="light")
    button.click()
    assert button.inner_text() == "Theme: auto"
    assert brightness() > 200


def test_a_phone_scrolls_the_table_and_not_the_page(opened: Open) -> None:
    shown = opened("#demo_table1", viewport={"width": 300, "height": 700})
    assert shown.evaluate("document.documentElement.scrollWidth") == 300
    first = shown.locator(f"{ROWS} th").first
    before = first.bounding_box()["x"]
    shown.locator("#demo_table1 .scroll").evaluate("element => element.scrollLeft = 80")
    assert shown.locator("#demo_table1 .scroll").evaluate("element => element.scrollLeft") > 20
    assert abs(first.bounding_box()["x"] - before) < 2


def test_the_page_and_an_open_row_are_printed(opened: Open) -> None:
    shown = opened("#demo_table1")
    whole = shown.pdf()
    assert whole.startswith(b"%PDF")
    shown.emulate_media(media="print")
    assert not shown.get_by_label("Filter rows").is_visible()
    shown.emulate_media(media="screen")
    shown.get_by_role("link", name="Better_row").click()
    shown.locator("#panel svg").first.wait_for()
    shown.emulate_media(media="print")
    assert not shown.locator("main").is_visible()
    assert shown.get_by_role("dialog").is_visible()
    assert shown.pdf().startswith(b"%PDF")


def test_sections_open_by_their_address_and_all_at_once(opened: Open) -> None:
    shown = opened()
    table, figure = shown.locator("#demo_table1 .rows"), shown.locator("#demo_fig1 img")
    assert (table.is_visible(), figure.is_visible()) == (False, False)
    shown.locator("#contents").get_by_role("link", name="1 figure").click()
    assert (table.is_visible(), figure.is_visible()) == (False, True)
    shown.get_by_role("button", name="Open all").click()
    assert (table.is_visible(), figure.is_visible()) == (True, True)
    shown.get_by_role("button", name="Close all").click()
    assert (table.is_visible(), figure.is_visible()) == (False, False)
    shown.evaluate("location.hash = '#demo_table1.better_beats_worse'")  # a claim within the table
    table.wait_for()


def test_the_contents_stay_in_view_and_on_a_phone_close_behind_a_choice(opened: Open) -> None:
    wide = opened("#demo_table1", viewport={"width": 1300, "height": 300})
    wide.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert wide.locator("nav").bounding_box()["y"] == pytest.approx(0, abs=1)
    phone = opened(viewport={"width": 390, "height": 800})
    link = phone.locator("#contents").get_by_role("link", name="Works to cite")
    assert phone.locator("#contents a").first.is_visible() is False
    phone.get_by_text("Contents and search").click()
    phone.locator("#contents").get_by_role("link", name="Claims of the papers").click()
    assert not link.is_visible()
    assert phone.evaluate("scrollY") > 0


def test_a_search_lists_rows_of_all_tables_and_opens_one(opened: Open) -> None:
    shown = opened()
    search = shown.get_by_label("Search the rows of all tables")
    search.fill("_row bett")
    hits = shown.locator("#hits a")
    assert hits.all_inner_texts() == ["Better_row"]
    search.fill("nothing")
    assert shown.locator("#hits").inner_text() == "no row"
    search.fill("worse")
    hits.first.click()
    shown.get_by_role("dialog").wait_for()


def test_closed_sections_are_printed(opened: Open) -> None:
    shown = opened()
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    shown.emulate_media(media="print")
    assert shown.locator("#demo_table1 .rows").is_visible()
    assert shown.locator("#demo_fig1 img").is_visible()
    shown.emulate_media(media="screen")
    shown.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not shown.locator("#demo_table1 .rows").is_visible()


def test_charts_turn_with_the_dark_theme(opened: Open) -> None:
    shown = opened("#demo_fig1", color_scheme="dark")
    image = shown.locator("#demo_fig1 img")
    assert "invert" in image.evaluate("image => getComputedStyle(image).filter")
    image.evaluate("image => image.classList.add('pictures')")  # as a figure of clips
    assert image.evaluate("image => getComputedStyle(image).filter") == "none"
    shown.emulate_media(color_scheme="light")
    assert image.evaluate("image => (image.className = '', getComputedStyle(image).filter)") == "none"
