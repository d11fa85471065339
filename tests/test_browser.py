"""The dashboard in a browser: a cold deep link, live results, cancelling, exports, clicks that open a curve."""

import csv
import re

import pytest
from browser_page import SMALL_LINK, TRACES, stop_computing, wait_for_line, wait_until_computed, wait_until_idle
from playwright.sync_api import Page, expect

from nmfdiag.plots.modes import DARK
from nmfdiag.plots.theme import P_COLOURS, colour_of

pytest_plugins = ["browser_page"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]
LIGHT_BACKGROUND = "rgb(255, 255, 255)"
OVERLAPS = """() => {
    const boxes = [...document.querySelectorAll('.legendtext')].map(e => [e.textContent, e.getBoundingClientRect()])
    const width = document.querySelector('svg').getBoundingClientRect().right
    const cut = boxes.filter(([, box]) => box.right > width).map(([text]) => text)
    const over = boxes.flatMap(([text, a], i) => boxes.slice(i + 1)
        .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom).map(([other]) => text + other))
    return boxes.length ? [...cut, ...over] : ['no legend']
}"""
"""Texts of a legend that lie on one another, or are cut off."""


def test_a_cold_deep_link_shows_the_page_in_its_frame(page: Page) -> None:
    page.goto(f"/phases?{SMALL_LINK}&axis=log")
    expect(page.get_by_role("heading", name="Which layers memorise?")).to_be_visible()
    expect(page.get_by_role("link", name="k vs accuracy")).to_be_visible()
    wait_until_computed(page)
    wait_for_line(page)
    page.reload()
    expect(page.get_by_text("digits · mlp · p = 0, 1")).to_be_visible()
    assert "axis=log" in page.url and "arch=mlp" in page.url


def test_choices_survive_a_page_switch_and_the_second_visit_is_instant(page: Page) -> None:
    page.goto(f"/network?{SMALL_LINK}")
    wait_until_computed(page)
    page.get_by_role("link", name="Reconstruction error").click()
    expect(page.get_by_role("heading", name="How well do k directions")).to_be_visible()
    expect(page.get_by_text("digits · mlp · p = 0, 1")).to_be_visible()
    wait_until_computed(page)
    wait_for_line(page)
    page.wait_for_url("**arch=mlp**")
    page.get_by_role("link", name="AuC by layer").click()
    expect(page.get_by_role("heading", name="Is this network memorising?")).to_be_visible()
    wait_until_computed(page)
    wait_for_line(page)


def test_curves_come_one_by_one_and_can_be_cancelled_and_resumed(page: Page) -> None:
    page.goto("/network?p=0&p=0.8&p=1&seed=1&n=50")
    progress = page.get_by_test_id("stProgress")
    expect(progress).to_contain_text(re.compile(r"\d+ of 210 curves"))
    wait_for_line(page, TRACES)
    expect(page.get_by_text("So far:")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    stopped = page.get_by_text(re.compile(r"Stopped with \d+ of 210 curves"))
    expect(stopped).to_be_visible()
    expect(progress).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    expect(progress).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(stopped).to_be_visible()


def drawn_colours(page: Page) -> list[str]:
    """Return the colours of a plot's lines with markers."""
    colours: list[str] = page.evaluate(
        "[...document.querySelector('.js-plotly-plot').data].filter(t => t.mode === 'lines+markers').map(t => t.line.color)"
    )
    return colours


def test_a_plot_follows_the_mode_and_is_saved_in_light_colours(page: Page) -> None:
    page.goto(f"/curves?{SMALL_LINK}&layer=fc1")
    wait_until_computed(page)
    wait_for_line(page)
    assert drawn_colours(page) == [colour_of(0.0), colour_of(1.0)]
    page.emulate_media(color_scheme="dark")  # no other click, and no reload
    dark = ["rgba({},{},{},1)".format(*colour) for colour in (DARK.p_colours[0], DARK.p_colours[-1])]
    page.wait_for_function(
        "c => document.querySelector('.js-plotly-plot')?.data.some(t => t.line?.color === c)", arg=dark[1]
    )
    wait_until_idle(page)
    assert drawn_colours(page) == dark
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as image:
        page.get_by_role("button", name="Image (SVG)").click()
    lines = re.findall(r'class="js-line"[^>]*stroke: (rgb\([^)]*\))', image.value.path().read_text(encoding="utf-8"))
    assert {"rgb({}, {}, {})".format(*P_COLOURS[i]) for i in (0, -1)} <= set(lines)
    assert drawn_colours(page) == dark


def test_exports_and_links(page: Page, server: str) -> None:
    page.goto(f"/curves?{SMALL_LINK}&layer=fc1")
    wait_until_computed(page)
    wait_for_line(page)
    stem = "digits_mlp_p0-1_s0_fc1_accuracy-over-rank"
    expect(page.locator(".js-plotly-plot")).to_have_count(1)  # the plot before the last curve is gone
    saved_images = {}
    for form in ("SVG", "PNG"):  # each is two clicks
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as image:
            page.get_by_role("button", name=f"Image ({form})").click()
        assert image.value.suggested_filename == f"{stem}.{form.lower()}"
        saved_images[form] = image.value.path().read_bytes()
        page.keyboard.press("Escape")
    assert saved_images["PNG"].startswith(b"\x89PNG")
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    assert drawn_colours(page) == [colour_of(0.0), colour_of(1.0)]  # the plot itself is as it was
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as table:
        page.get_by_role("button", name="Data (CSV)").click()
    assert table.value.suggested_filename == f"{stem}.csv"
    rows = list(csv.DictReader(table.value.path().open()))
    assert {row["p"] for row in rows} == {"0.0", "1.0"} and all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    assert len(rows) == len({(row["p"], row["k"]) for row in rows})  # what is drawn: the mean over classes
    with page.expect_download() as html:
        page.get_by_role("button", name="Interactive plot (HTML)").click()
    assert "fc1" in html.value.path().read_text(encoding="utf-8")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Link").click()
    link = page.get_by_test_id("stPopoverBody").get_by_test_id("stCode").inner_text().strip()
    assert link.startswith(f"{server}/curves?")
    reader = page.context.new_page()
    reader.set_content(saved_images["SVG"].decode())
    assert LIGHT_BACKGROUND in saved_images["SVG"].decode() and reader.evaluate(OVERLAPS) == []
    reader.close()
    page.goto(link)  # as another reader
    expect(page.get_by_text("digits · mlp · p = 0, 1 · seed 0 · single-class batches of 10")).to_be_visible()
    expect(page.get_by_role("heading", name="How robust is fc1")).to_be_visible()


def test_a_click_on_a_layer_opens_its_curve(page: Page) -> None:
    page.goto(f"/phases?{SMALL_LINK}")
    wait_until_computed(page)
    wait_for_line(page)
    box = page.locator(".scatterlayer .points path").nth(3).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".hoverlayer .hovertext")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.get_by_role("heading", name="How robust is fc4 to compression?")).to_be_visible()
    wait_until_computed(page)
    wait_for_line(page)
    page.wait_for_url("**layer=fc4**")


@pytest.mark.soak  # tests/views has the same without a browser
def test_a_run_started_on_the_runtime_page_is_drawn(page: Page) -> None:
    page.goto(f"/runtime?{SMALL_LINK}&layer=fc4&over=convergence&rank=4")
    expect(page.get_by_role("heading", name="What does the factorisation cost?")).to_be_visible()
    page.get_by_role("button", name="Measure", exact=True).click()
    wait_until_computed(page)
    expect(page.get_by_text(re.compile(r"At fc4 \(10 × 128\)"))).to_be_visible()
    wait_for_line(page)
    page.get_by_text("rows", exact=True).click()  # another plot of the same layer starts with a click
    page.get_by_role("button", name="Measure", exact=True).click()
    expect(page.get_by_text("Time of NMF over rows at fc4").first).to_be_visible()  # for a while next to the old plot
    page.wait_for_url("**over=rows**")
    page.reload()
    wait_until_computed(page)  # running work continues, results come from the cache
    expect(page.get_by_role("button", name="Measure again")).to_be_visible()
    wait_for_line(page)


def test_a_long_timing_can_be_cancelled(page: Page) -> None:
    page.goto("/runtime?data=fashion_mnist&arch=cnn&p=1&layer=conv1_1&n=50")
    page.get_by_role("button", name="Measure", exact=True).click()
    expect(page.get_by_test_id("stProgress")).to_contain_text(re.compile(r"\d+ of 15 points"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text(re.compile(r"Stopped with \d+ of 15 points"))).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_a_click_on_a_cell_opens_that_class_at_that_layer(page: Page) -> None:
    page.goto(f"/classes?{SMALL_LINK}")
    wait_until_computed(page)
    page.wait_for_selector(".heatmaplayer image", state="attached")
    box = page.locator(".heatmaplayer image").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 3.9 / 5, box["y"] + box["height"] * 6.9 / 10  # a corner of fc4, class 6
    page.mouse.move(x, y)
    page.wait_for_selector(".hoverlayer .hovertext")
    page.mouse.click(x, y)
    expect(page.get_by_role("heading", name="How robust is fc4 to compression?")).to_be_visible()
    expect(page.get_by_text("digits · mlp · p = 0, 1 · seed 0 · class 6, 10 samples")).to_be_visible()
    page.wait_for_url("**batch=6**")


@pytest.mark.parametrize(
    ("path", "heading", "drawing"),
    [
        (f"/ablation?{SMALL_LINK}&layer=fc4&batch=3", "Does losing directions hurt", TRACES),
        pytest.param(
            *(f"/batches?{SMALL_LINK}&families=digits+mlp&by=pca", "Are layers more linear on one class", TRACES),
            marks=pytest.mark.soak,
        ),
        pytest.param(
            *(f"/support?{SMALL_LINK}&layer=fc3&batch=3", "How linear is fc3", ".heatmaplayer image"),
            marks=pytest.mark.soak,
        ),
    ],
    ids=["ablation", "batches", "support"],
)
def test_a_page_of_the_evidence_is_computed_and_drawn(page: Page, path: str, heading: str, drawing: str) -> None:
    page.goto(path)
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    page.get_by_role("button", name="Measure", exact=True).click()
    wait_until_computed(page)
    page.wait_for_selector(drawing, state="attached")
    expect(page.get_by_role("tab", name="How to read it")).to_be_visible()


def test_a_claim_opens_its_runs_and_its_view(page: Page) -> None:
    page.goto("/evidence?verdict=holds&verdict=holds+in+part&verdict=does+not+hold")
    expect(page.get_by_role("heading", name="Which of the paper's claims hold here?")).to_be_visible()
    page.get_by_text("AuC goes with per-class test accuracy.").click()
    expect(page.get_by_text("A unit is a network at p = 0").locator("visible=true")).to_be_visible()
    expect(page.get_by_test_id("stDataFrame").locator("visible=true").first).to_be_visible()
    wait_until_idle(page)  # a link that is being drawn again takes no click
    page.get_by_role("link", name="Open the view").locator("visible=true").click()
    expect(page.get_by_role("heading", name="Which classes are memorised?")).to_be_visible()
    expect(page.get_by_text("fashion_mnist · cnn · p = 0 · seed 0")).to_be_visible()
    stop_computing(page)  # else it would be computed during the next tests


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/generalization", "Does AuC predict"),
        pytest.param("/stopping", "When should training have stopped?", marks=pytest.mark.soak),
    ],
    ids=["generalization", "stopping"],
)
def test_a_recorded_experiment_is_drawn_at_once(page: Page, path: str, heading: str) -> None:
    page.goto(path)
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    page.wait_for_selector(".js-plotly-plot .scatterlayer .trace", state="attached")
    with page.expect_download() as table:
        page.get_by_role("button", name="Export").first.click()
        page.get_by_role("button", name="Data (CSV)").first.click()
    assert len(list(csv.DictReader(table.value.path().open()))) > 5


@pytest.mark.soak  # a separate process trains
def test_a_run_that_the_page_starts_is_watched_live(page: Page) -> None:
    page.goto("/training_runs")
    expect(page.get_by_role("heading", name="Is this run memorising yet?")).to_be_visible()
    expect(page.get_by_text("MemorizationMonitor").first).to_be_visible()
    page.get_by_role("button", name="Train one now").click()
    page.wait_for_selector(".js-plotly-plot .scatterlayer .trace", state="attached")
    expect(page.get_by_text(re.compile(r"digits-mlp-p0.4-s0, epoch \d+")).first).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Train one now")).to_be_visible()


@pytest.mark.soak  # tests/views has the same without a browser
def test_a_second_network_is_drawn_into_the_same_plot(page: Page) -> None:
    page.goto(f"/network?{SMALL_LINK}")
    page.get_by_role("button", name="Compare").click()
    page.get_by_test_id("stPopoverBody").get_by_role("combobox").fill("mlp-p1-s1")
    page.get_by_role("option", name="digits-mlp-p1-s1").click()
    page.wait_for_url("**beside=digits-mlp-p1-s1**")
    expect(page.get_by_test_id("stPopoverBody")).to_be_hidden()
    second = page.locator(".js-plotly-plot .legendtext", has_text="digits mlp seed 1 p = 1")
    expect(second).to_be_visible()
    expect(page.get_by_text("digits mlp seed 1 p = 1 · random labels").first).to_be_visible()
    expect(page.get_by_text(re.compile("They differ in seed"))).to_be_visible()
    page.reload()
    expect(second).to_be_visible()
    page.locator(".scatterlayer .trace").last.locator(".point").first.click(force=True)
    expect(page.get_by_role("heading", name="How robust is fc1")).to_be_visible()
    page.wait_for_url("**beside=digits-mlp-p1-s1**")
    expect(second).to_be_visible()
    page.goto(f"/classes?{SMALL_LINK}&beside=digits-mlp-p1-s1")
    columns = page.locator(".st-key-side_by_side [data-testid=stColumn]")
    for column in (columns.nth(0), columns.nth(1)):
        expect(column.get_by_text("s of computing on")).to_be_visible()
    page.set_viewport_size({"width": 800, "height": 1000})  # too narrow for two columns
    left, right = (columns.nth(i).bounding_box() for i in range(2))
    assert left and right and right["y"] >= left["y"] + left["height"] - 1 and abs(right["x"] - left["x"]) < 1


def test_a_suspect_is_looked_at_marked_and_exported(page: Page) -> None:
    page.goto("/suspects?arch=mlp&p=0.2")
    page.get_by_role("button", name="Measure", exact=True).click()
    wait_until_computed(page)
    cards = page.locator(".st-key-suspects_grid button")
    expect(cards).to_have_count(30)
    page.wait_for_function(
        "[...document.querySelectorAll('.st-key-suspects_grid img')].every(e => e.naturalWidth == 96)"
    )
    page.get_by_role("combobox", name="given class").fill("7")
    page.get_by_role("option", name="7", exact=True).click()
    page.wait_for_url("**given=7**")
    wait_until_idle(page)
    expect(page.get_by_text(re.compile(r"^\d+ of 1,000 samples"))).to_be_visible()  # no longer all 1,000
    expect(cards.first).to_contain_text("7 →")
    sample = re.findall(r"sample (\d+)", cards.nth(1).inner_html())[0]
    cards.nth(1).click()
    page.wait_for_url(f"**sample={sample}**")
    expect(page.get_by_text(f"Sample {sample}:")).to_be_visible()
    expect(page.get_by_role("img", name=f"image of sample {sample}").first).to_be_visible()
    wait_until_idle(page)
    page.keyboard.press("w")
    expect(page.get_by_text("Marked wrong: 1 of 1, 100 %")).to_be_visible()
    expect(cards.nth(1)).to_contain_text("wrong")
    wait_until_idle(page)
    page.get_by_role("button", name="Fine").click()
    expect(page.get_by_text("Marked wrong: 1 of 2, 50 %")).to_be_visible()
    wait_until_idle(page)
    page.get_by_role("button", name="Export samples").click()
    with page.expect_download() as table:
        page.get_by_role("button", name="Marks (CSV)").click()
    assert table.value.suggested_filename == "digits-mlp-p0.2-s0_marks.csv"
    rows = list(csv.DictReader(table.value.path().open()))
    assert {row["index"]: row["mark"] for row in rows}[sample] == "wrong" and {row["given"] for row in rows} == {"7"}
    assert [row["new_label"] != "" for row in rows] == [row["mark"] == "wrong" for row in rows]
