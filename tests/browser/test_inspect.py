"""Inspect in a real Chromium: hover, click, pin, upload, switch, reload, download, go back."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from engine.affinity import reading
from tests.browser.pages import VIEWER, address, elsewhere, parse, point, wait_for_address


@pytest.fixture
def inspect(served: Page, app_server: str) -> Page:
    """The page, opened without a link."""
    return opened(served, app_server)


def opened(page: Page, link: str) -> Page:
    """The link, drawn to its end."""
    page.goto(link)
    ready(page)
    return page


def ready(page: Page) -> None:
    page.wait_for_selector(VIEWER)
    page.wait_for_selector(".lp-footer")


def panel(page: Page):
    return page.locator(".lp-panel").last


def picture_of(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def upload(page: Page, name: str, data: bytes, media: str = "image/png") -> None:
    page.get_by_text("Change image").click()
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": media, "buffer": data})


def test_it_opens_on_an_affinity(inspect):
    written = address(inspect)
    row, col = written["pins"].split(",")
    expect(panel(inspect)).to_contain_text(f"row {row}, col {col}")
    expect(panel(inspect)).to_contain_text("top sources by weight")
    expect(inspect.locator(".lp-caption").first).to_contain_text(f"image row {row}, col {col}")
    expect(inspect.locator(VIEWER)).to_contain_text("reads most")


def test_hover_follows_the_pointer_without_a_request(inspect):
    inspect.wait_for_load_state("networkidle")
    requests: list[str] = []
    inspect.on("request", lambda request: requests.append(request.url))
    seen = set()
    for row, col in ((20, 20), (120, 200), (230, 60), (64, 128)):
        inspect.mouse.move(*point(inspect, row, col))
        place = inspect.locator(VIEWER).locator(".place")
        expect(place).to_contain_text(re.compile(rf"row {row} . col {col}"))
        seen.add(place.inner_text())
    assert len(seen) == 4 and requests == []
    assert address(inspect)["pins"].count(";") == 0


def test_a_click_pins_and_the_panel_shows_the_engines_numbers(inspect, engine):
    before = address(inspect)
    inspect.mouse.click(*point(inspect, 60, 190))
    wait_for_address(inspect, pins=f"{before['pins']};60,190", active="2")
    expect(panel(inspect)).to_contain_text("row 60, col 190")
    expect(inspect.locator(".lp-panel").first).to_contain_text(f"The pinned pixels at {before['stage']}")
    expect(inspect.locator(".lp-caption").first).to_contain_text(engine.card("cpt").hash[:8])


def test_the_table_and_the_engine_say_the_same(inspect, engine):
    from app.gallery import Gallery
    from app.process import ROOT
    from app.words import number

    written = address(inspect)
    picture = Gallery(ROOT / "assets" / "scenes").get(written["image"])
    trace = engine.trace("cpt", picture.image)
    row, col = map(int, written["pins"].split(","))
    text = panel(inspect).inner_text()
    for stage in trace.stages:
        one = reading(trace, stage, pixel=(row, col), truth=picture.truth)
        assert number(one.by_weight[0].weight) in text
        assert number(one.mean_distance) in text


def test_keys_move_the_pixel_and_change_the_stage(served, app_server):
    inspect = opened(served, f"{app_server}/?stage=stride4")
    inspect.mouse.click(*point(inspect, 100, 100))
    wait_for_address(inspect, active="2")
    inspect.keyboard.press("ArrowRight")
    wait_for_address(inspect, stage="stride4", active="2")
    inspect.wait_for_function("old => !location.search.includes(old)", arg="100%2C100")
    moved = address(inspect)["pins"].split(";")[1]
    assert moved.split(",")[0] in ("98", "100", "102") and int(moved.split(",")[1]) > 100
    inspect.keyboard.press("[")
    wait_for_address(inspect, stage="stride8")
    expect(inspect.locator(".lp-caption").first).to_contain_text("at stride8")
    stage = inspect.get_by_test_id("stSidebar").get_by_text("stride8")
    expect(stage.locator("xpath=ancestor-or-self::button")).to_have_attribute("aria-checked", "true")


def test_pins_can_be_removed_until_none_is_left(inspect):
    inspect.mouse.click(*point(inspect, 100, 100))
    wait_for_address(inspect, active="2")
    inspect.keyboard.press("Delete")
    wait_for_address(inspect, active="1")
    inspect.keyboard.press("Delete")
    wait_for_address(inspect, pins="")
    expect(inspect.get_by_text("Click the picture to pin a pixel")).to_be_visible()


def test_a_link_opens_the_same_elsewhere(inspect, browser):
    inspect.mouse.click(*point(inspect, 180, 40))
    wait_for_address(inspect, active="2")
    inspect.get_by_role("button", name="reads alike").click()
    wait_for_address(inspect, reading="reads-alike")
    inspect.get_by_role("button", name="smooth").click()
    wait_for_address(inspect, smooth="1")
    link, text = inspect.url, panel(inspect).inner_text()
    with elsewhere(browser) as other:
        opened(other, link)
        assert panel(other).inner_text() == text
        assert address(other) == parse(link)
        expect(other.get_by_role("button", name="reads alike")).to_have_attribute("aria-pressed", "true")
        other.reload()
        ready(other)
        assert address(other) == parse(link)


def test_quick_clicks_are_all_kept_and_back_undoes_them(inspect):
    first = address(inspect)["pins"]
    places = [(30, 30), (60, 120), (200, 200), (150, 90)]
    for row, col in places:
        inspect.mouse.click(*point(inspect, row, col))
    everything = ";".join([first, *(f"{row},{col}" for row, col in places)])
    wait_for_address(inspect, pins=everything, active="5")
    inspect.wait_for_timeout(1000)
    assert address(inspect)["pins"] == everything
    inspect.go_back()
    inspect.wait_for_function(
        "all => !decodeURIComponent(location.search).includes(`pins=${all}&`)", arg=everything
    )
    shown = address(inspect)["pins"].split(";")
    expect(panel(inspect)).to_contain_text(
        "row {}, col {}".format(*shown[int(address(inspect)["active"]) - 1].split(","))
    )


def test_another_stage_and_model_from_the_sidebar(inspect):
    side = inspect.get_by_test_id("stSidebar")
    side.get_by_text("stride16").click()
    wait_for_address(inspect, stage="stride16")
    expect(inspect.locator(".lp-caption").first).to_contain_text("at stride16")
    side.get_by_role("combobox").click()
    inspect.get_by_role("option", name=re.compile("bilinear")).click()
    wait_for_address(inspect, model="bilinear")
    ready(inspect)
    expect(panel(inspect)).to_contain_text("bilinear")
    expect(panel(inspect)).not_to_contain_text("memory share")


def test_another_picture_from_the_gallery(inspect):
    before = address(inspect)["image"]
    inspect.get_by_text("Change image").click()
    other = inspect.locator("button[aria-pressed=false][data-id]").first
    chosen = other.get_attribute("data-id")
    other.click()
    assert chosen != before
    wait_for_address(inspect, image=str(chosen), pins="128,128")
    ready(inspect)
    expect(panel(inspect)).to_contain_text("row 128, col 128")


def test_an_upload_is_traced_and_its_link_asks_for_it_elsewhere(inspect, app_server):
    rows, cols = np.mgrid[:90, :1300]
    pixels = np.stack([rows * 2, cols // 6, (rows + cols) % 255], axis=-1).astype(np.uint8)
    upload(inspect, "wide & long.jpg", picture_of(pixels, "JPEG"), "image/jpeg")
    wait_for_address(inspect, pins="45,650")
    ready(inspect)
    side = inspect.get_by_test_id("stSidebar")
    expect(side).to_contain_text("wide & long.jpg")
    expect(side).to_contain_text("traced at 71×1024")
    expect(inspect.locator(".lp-caption").first).to_contain_text("reduced from 90×1300 to 71×1024")
    expect(panel(inspect)).to_contain_text("row 45, col 650")
    unknown = re.sub("image=[0-9a-f]{16}", "image=0123456789abcdef", inspect.url)
    inspect.goto(unknown)
    ready(inspect)
    expect(inspect.get_by_test_id("stAlert")).to_contain_text("upload the file again")


@pytest.mark.parametrize("how", ["text", "cut short", "tiny"])
def test_a_bad_upload_is_one_sentence_and_nothing_changes(inspect, how):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = {
        "text": b"this is text",
        "cut short": picture_of(noise)[:4000],
        "tiny": picture_of(noise[:1, :1]),
    }[how]
    before = address(inspect)
    upload(inspect, "broken.png", data)
    expect(inspect.get_by_test_id("stAlert")).to_contain_text("broken.png")
    assert address(inspect) == before
    inspect.keyboard.press("Escape")
    inspect.mouse.click(*point(inspect, 40, 40))
    wait_for_address(inspect, active="2")
    expect(inspect.get_by_test_id("stAlert")).to_have_count(0)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("model=gpt", "gpt"),
        ("stage=stride3", "stride3"),
        ("pins=9999,9999", "9999,9999"),
        ("image=nothing", "nothing"),
        ("reading=%3Cimg%20src=x%20onerror=alert(1)%3E", "reading"),
    ],
)
def test_a_bad_link_is_answered_by_a_sentence(served, app_server, query, said):
    inspect = opened(served, f"{app_server}/?{query}")
    expect(inspect.get_by_test_id("stAlert")).to_contain_text(said)
    expect(panel(inspect)).to_contain_text("top sources by weight")


def test_downloads_arrive(inspect):
    inspect.get_by_role("button", name="Download").click()
    for kind, start in (("PNG", b"\x89PNG"), ("SVG", b"<?xml"), ("PDF", b"%PDF"), ("NPZ", b"PK")):
        with inspect.expect_download() as waiting:
            inspect.get_by_role("button", name=kind, exact=True).click()
        download = waiting.value
        assert download.suggested_filename.endswith(f".{kind.lower()}")
        data = Path(download.path()).read_bytes()
        assert data.startswith(start)
    about = json.loads(str(np.load(io.BytesIO(data))["about"]))
    assert about["model"] == "cpt" and about["stage"] == address(inspect)["stage"]


@pytest.mark.parametrize("slower", [1, 20], ids=["as it is", "on a slow machine"])
def test_the_question_mark_opens_the_equation(browser, app_server, slower):
    with elsewhere(browser) as page:
        inspect = opened(page, app_server)
        button = inspect.locator(".st-key-header").get_by_role("button", name="?")
        inspect.context.new_cdp_session(inspect).send("Emulation.setCPUThrottlingRate", {"rate": slower})
        arrow = button.locator("[data-testid=stIconMaterial]").bounding_box()
        assert arrow is not None
        inspect.mouse.click(arrow["x"] + arrow["width"] / 2, arrow["y"] + arrow["height"] / 2)
        expect(inspect.get_by_text("How to read it")).to_be_visible()
        expect(inspect.locator(".katex").nth(2)).to_be_visible()
        assert inspect.locator(".katex-error").count() == 0


def test_nothing_is_fetched_from_elsewhere(browser, app_server):
    hosts = set()
    with elsewhere(browser) as page:
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        opened(page, app_server)
        page.wait_for_load_state("networkidle")
    assert hosts - {None} == {"localhost"}


@pytest.mark.parametrize("width", [400, 700, 768, 900, 1440])
def test_the_title_stands_free_and_its_buttons_together(served, app_server, width):
    served.set_viewport_size({"width": width, "height": 900})
    inspect = opened(served, app_server)
    title = inspect.locator("h1.lp-question").bounding_box()
    assert title is not None
    middles = []
    for name in ("?", "Download", "Link"):
        box = inspect.locator(".st-key-header").get_by_role("button", name=name).bounding_box()
        assert box is not None and box["x"] + box["width"] <= width and box["x"] > title["x"]
        middles.append(box["y"] + box["height"] / 2)
    assert max(middles) - min(middles) < 3
    # Nothing of Streamlit's lies over the title.
    free = "([x, y]) => !!document.elementFromPoint(x, y)?.closest('h1.lp-question')"
    assert inspect.evaluate(free, [title["x"] + 4, title["y"] + 2])


def test_a_chosen_source_is_named_in_the_caption(served, app_server, engine):
    inspect = opened(served, f"{app_server}/?model=cpt&reading=read-by&source=5&head=1")
    card = engine.card("cpt")
    caption = inspect.locator(".lp-caption").first
    expect(caption).to_contain_text(f"Pixels that read the prototype “{card.classes[5]}” at")
    expect(caption).to_contain_text("head 2 of 4")


def test_others_do_not_see_an_upload_but_its_link_opens_it(inspect, browser):
    noise = np.random.default_rng(3).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    upload(inspect, "mine alone.png", picture_of(noise))
    wait_for_address(inspect, pins="32,40")
    ready(inspect)
    thumbnail = "button[data-id][title='mine alone.png']"
    expect(inspect.locator(thumbnail)).to_have_count(1)  # the popover is still open
    with elsewhere(browser) as other:
        opened(other, inspect.url)
        expect(other.get_by_test_id("stSidebar")).to_contain_text("mine alone.png")
        other.get_by_text("Change image").click()
        expect(other.locator("button[data-id]").first).to_be_visible()
        expect(other.locator(thumbnail)).to_have_count(0)


def test_all_stages_fit_a_wide_window(inspect):
    inspect.set_viewport_size({"width": 1440, "height": 1000})
    fits = "table => table.scrollWidth <= table.closest('.lp-panel').clientWidth + 1"
    assert panel(inspect).locator("table").evaluate(fits)
