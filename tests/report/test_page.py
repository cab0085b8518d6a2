"""The report in a real browser, started once: drawing, search, layout, and hostile texts."""

import json

import pytest

from self_instruct.commands.report import main
from self_instruct.novelty.vector_cache import FILE_NAME
from self_instruct.runs.layout import OutputPaths
from tests.support.report_browser import obstacle, started, until
from tests.support.report_files import HOSTILE, hostile_file, with_vectors
from tests.support.runs import generate, rows, scripted
from tests.support.scripts import write_script

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=obstacle() or "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a file of hostile texts, a run, and the report of both; return the folder."""
    folder = tmp_path_factory.mktemp("report")
    run = folder / "run"
    made = generate(*scripted(write_script(folder / "script.jsonl", 40), run, 40))
    assert made.returncode == 0, made.stderr
    path = hostile_file(folder / "hostile.jsonl")
    with_vectors(run, run / FILE_NAME)
    with_vectors(path, OutputPaths(path).vectors)
    assert main([str(path), str(run), "--output", str(folder / "both.html"), "--projection", "pca"]) == 0
    return folder


@pytest.fixture(scope="module")
def browser(folder, tmp_path_factory):
    """Return the browser with the report of both, once its records are unpacked."""
    driver = started(tmp_path_factory.mktemp("profile"))
    try:
        driver.get((folder / "both.html").as_uri())
        until(lambda: driver.execute_script("return document.documentElement.dataset.ready"))
        yield driver
    finally:
        driver.quit()


def script(browser, code, *values):
    return browser.execute_script(code, *values)


def click(browser, name):
    script(browser, "document.getElementById(arguments[0]).click()", name)


def count(browser):
    return script(browser, "return document.getElementById('count').textContent")


def first_ids(browser):
    return script(
        browser, "return [...document.querySelectorAll('#table tbody code')].map((cell) => cell.textContent)"
    )


def typed(browser, text):
    code = "const box = document.getElementById('search'); box.value = arguments[0]; box.dispatchEvent(new Event('input'))"
    before = count(browser)
    script(browser, code, text)
    return until(lambda: (now := count(browser)) != before and now)


def tooltip(browser):
    code = (
        "const tip = document.getElementById('vg-tooltip-element'); return tip?.matches('.visible') && tip.textContent"
    )
    return script(browser, code)


def test_figures_are_drawn_when_they_come_into_view(browser):
    for plot in browser.find_elements("css selector", ".plot"):
        script(browser, "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
        until(lambda plot=plot: plot.get_attribute("data-drawn"))
        drawn = script(browser, "const c = arguments[0].querySelector('svg, canvas'); return c && c.clientWidth", plot)
        assert drawn > 200, plot.get_attribute("data-figure")
    names = script(browser, "return [...document.querySelectorAll('.plot')].map((plot) => plot.dataset.figure)")
    assert {
        "funnel",
        "yield",
        "growth",
        "length_instruction",
        "similarity_rouge_l",
        "similarity_embedding",
        "reasons",
    } <= set(names)
    assert {"verbs_1", "verbs_2", "map_1", "map_2"} <= set(names)


def test_search_finds_and_marks_all_words(browser, folder):
    number = len(rows(folder / "run" / "machine_generated_instructions.jsonl")) + len(HOSTILE) + 61
    assert count(browser) == f"{number} records"
    assert typed(browser, "number7. POEM kettle") == f"1 of {number} records"
    marks = script(browser, "return [...document.querySelectorAll('#table mark')].map((found) => found.textContent)")
    assert {"number7.", "poem", "kettle"} <= set(marks)
    assert typed(browser, "no such text anywhere") == f"0 of {number} records"
    assert typed(browser, "") == f"{number} records"


def test_pages_of_the_table_can_be_turned(browser):
    seen = first_ids(browser)
    assert len(seen) == 25
    click(browser, "next")
    assert not set(first_ids(browser)) & set(seen)
    click(browser, "last")
    assert not browser.find_element("id", "next").is_enabled()
    label, _, last = browser.find_element("id", "page").text.removeprefix("page ").partition(" of ")
    assert label == last
    click(browser, "first")
    assert first_ids(browser) == seen


def pointed(browser, code, *values):
    """Move the pointer to the coordinates that the code returns, and return the text of the tooltip."""
    from selenium.webdriver import ActionChains

    x, y = script(browser, code, *values)
    pointer = ActionChains(browser)
    pointer.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    pointer.perform()
    return until(lambda: tooltip(browser))


def test_wheel_shows_the_count_on_hover_and_the_records_on_click(browser):
    from selenium.webdriver import ActionChains

    shown = pointed(
        browser,
        """const plot = document.querySelector("[data-figure=verbs_1]");
        plot.scrollIntoView({block: "center", behavior: "instant"});
        const arc = [...plot.querySelectorAll("path")].find((path) => path.__data__?.datum?.noun === "poem").__data__.datum;
        const box = plot.querySelector("svg").getBoundingClientRect(), middle = box.width / 2, scale = box.width / 448;
        const turn = (arc.a0 + arc.a1) / 2, radius = scale * (arc.inner + arc.outer) / 2;
        return [box.left + middle + radius * Math.sin(turn), box.top + middle - radius * Math.cos(turn)];""",
    )
    assert shown.startswith("write poem: 60 records")
    ActionChains(browser).click().perform()
    assert until(lambda: browser.find_element("id", "chip").text).startswith("write poem")
    assert count(browser).startswith("60 of")
    click(browser, "chip")
    assert " of " not in count(browser)


def test_map_shows_the_text_of_a_point_on_hover(browser):
    texts = """const plot = document.querySelector("[data-figure=map_2]"), view = plot.chart.view;
        const points = view.data("source_0");"""
    shown = pointed(
        browser,
        texts
        + """plot.scrollIntoView({block: "center", behavior: "instant"});
        const [left, top] = view.origin(), box = plot.querySelector("canvas").getBoundingClientRect(), around = view.padding();
        return [box.left + left + around.left + view.scale("x")(points[0].x),
                box.top + top + around.top + view.scale("y")(points[0].y)];""",
    )
    instructions = [
        text.split("\n")[0] for text in script(browser, texts + "return points.map((point) => point.text)")
    ]
    assert any(shown.startswith(instruction) for instruction in instructions)


def test_hostile_texts_are_shown_and_do_not_run(browser):
    typed(browser, "hacked")
    script(browser, "document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    shown = script(browser, "return document.getElementById('table').textContent")
    for text in HOSTILE[:3]:
        assert text in shown
    assert script(browser, "return [window.hacked, document.images.length, document.scripts.length]") == [None, 0, 4]
    assert (
        script(browser, "return document.querySelector('main svg[onload], main [onerror], .text *:not(mark, span)')")
        is None
    )
    typed(browser, "surrogate")
    assert script(browser, "return document.querySelector('#table .text').textContent.charCodeAt(7)") in (
        0xD800,
        0xFFFD,
    )
    typed(browser, "")


def test_long_text_is_cut_and_the_cut_is_shown(browser):
    typed(browser, "repeat this sentence")
    kept, cut = script(
        browser,
        "const cell = document.querySelector('#table td:nth-child(2)');"
        "return [cell.querySelector('.text').textContent.length, cell.querySelector('.cut').textContent]",
    )
    assert kept == 20_000
    assert cut == "cut: 1,319,999 characters"
    note = script(browser, "return document.querySelector('#records > .note:last-child').textContent")
    assert note == "Texts of 1 records are cut to 20,000 characters here; the files hold the full texts."
    typed(browser, "")


def test_theme_button_switches_page_and_figures(browser):
    before = script(browser, "return document.documentElement.dataset.theme")
    click(browser, "theme")
    after = script(browser, "return document.documentElement.dataset.theme")
    assert {before, after} == {"light", "dark"}
    until(
        lambda: script(
            browser,
            "return [...document.querySelectorAll('.plot')].every((p) => p.dataset.drawn === arguments[0])",
            after,
        )
    )


@pytest.mark.parametrize("width", [1400, 400])
def test_nothing_is_wider_than_the_window(browser, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.refresh()
        until(lambda: script(browser, "return document.documentElement.dataset.ready"))
        for plot in browser.find_elements("css selector", ".plot"):
            script(browser, "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
            until(lambda plot=plot: plot.get_attribute("data-drawn"))
        wider = script(
            browser,
            "return [...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll, svg, details')"
            " && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)"
            ".map((e) => e.outerHTML.slice(0, 80))",
        )
        assert wider == []
        document, view = script(browser, "const d = document.documentElement; return [d.scrollWidth, d.clientWidth]")
        assert document <= view
        lefts = script(
            browser,
            "return [...document.querySelectorAll('figure')].map((e) => Math.round(e.getBoundingClientRect().left))",
        )
        assert len(set(lefts)) == 1 if width == 400 else len(set(lefts)) > 1
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.refresh()
        until(lambda: script(browser, "return document.documentElement.dataset.ready"))


def test_page_uses_no_network_and_logs_no_errors(browser):
    assert script(browser, "return performance.getEntriesByType('resource').map((entry) => entry.name)") == []
    assert json.dumps(browser.get_log("browser")) == "[]"
