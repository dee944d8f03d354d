"""The viewer in a real Chromium, without Streamlit: hovering, pinning, keys, settings, zoom."""

from __future__ import annotations

import numpy as np
import pytest

from engine.images import cell
from tests.browser.viewer_harness import decoded
from tests.browser.viewer_harness.driver import H, Viewer, W, close


@pytest.mark.parametrize("kind", decoded.KINDS)
def test_hovering_shows_the_affinity_and_asks_for_nothing(viewer, kind):
    viewer.open(kind)
    requests: list[str] = []
    viewer.page.on("request", lambda request: requests.append(request.url))
    for row, col in [(5, 9), (80, 120), (150, 220)]:
        viewer.hover(row, col)
        stage = viewer.stage()
        assert close(viewer.map(), stage.pixel_affinity(*cell(row, col, (H, W), stage.grid)))
        assert viewer.text(".place") == f"row {row} · col {col}"
        assert viewer.page.locator(".bar:visible").count() == (
            min(8, decoded.K) if stage.assignment is not None else 4 if kind == "bilinear" else 8
        )
    assert requests == []
    assert viewer.sent() == []


def test_what_is_drawn_is_what_was_computed(viewer):
    """The overlay's pixels are the colour map of the values: opaque yellow at the maximum, nothing at zero."""
    viewer.open("bilinear", opacity=1)
    viewer.hover(80, 120)
    pixels = viewer.page.evaluate(
        "(() => { const c = document.querySelector('canvas.overlay'); "
        "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data); })()"
    )
    rgba = np.array(pixels).reshape(*viewer.stage().source_grid, 4)
    values = viewer.map().reshape(viewer.stage().source_grid)
    top = np.unravel_index(values.argmax(), values.shape)
    assert rgba[top].tolist() == [254, 232, 56, 255]  # the last colour of cividis
    assert (rgba[values == 0][:, 3] == 0).all()


def test_numbers_beside_the_picture(viewer):
    viewer.open("memory")
    viewer.hover(80, 120)
    stage = viewer.stage()
    row, col = cell(80, 120, (H, W), stage.grid)
    numbers = dict(
        zip(
            viewer.page.locator(".number dt").all_inner_texts(),
            viewer.page.locator(".number dd").all_inner_texts(),
            strict=True,
        )
    )
    update, residual = stage.update[:, row, col].norm(), stage.residual[:, row, col].norm()
    assert numbers["update share"] == f"{round(100 * float(update / (update + residual)))} %"
    assert numbers["blend weight μ"] == "0.3 const"
    first = viewer.page.locator(".bar").first
    best = stage.affinity(row, col).mean(0)
    assert first.locator(".label").inner_text().startswith(decoded.CLASSES[int(best.argmax())]["name"])
    assert float(first.locator(".value").inner_text()) == pytest.approx(float(best.max()), abs=0.006)


def test_a_click_pins_and_reports_once(viewer):
    viewer.open()
    viewer.click(80, 120)
    viewer.click(20, 200)
    sent = viewer.sent()
    assert [one["pins"] for one in sent] == [[[80, 120]], [[80, 120], [20, 200]]]
    assert [one["active"] for one in sent] == [0, 1]
    assert len({one["revision"] for one in sent}) == 2
    assert viewer.page.locator(".ring").count() == viewer.page.locator(".pin").count() == 2
    viewer.page.mouse.move(2, 2)  # away: the active pin is shown
    viewer.settle()
    assert viewer.text(".place") == "row 20 · col 200"
    assert "②" in viewer.text(".where")


def test_pins_go_by_their_ring_their_cross_and_the_key(viewer):
    viewer.open()
    for row, col in [(80, 120), (20, 200), (150, 40)]:
        viewer.click(row, col)
    viewer.page.locator(".ring").nth(0).click()  # not the active one: shown first
    assert viewer.state()["active"] == 0
    viewer.page.locator(".ring").nth(0).click()  # again: removed
    assert viewer.state()["pins"] == [[20, 200], [150, 40]]
    viewer.page.locator(".pin-close").nth(1).click()
    assert viewer.state()["pins"] == [[20, 200]]
    viewer.page.locator(".frame").focus()
    viewer.press("Delete")
    assert (viewer.state()["pins"], viewer.state()["active"]) == ([], None)
    assert viewer.sent()[-1]["pins"] == []


def test_at_most_nine_pins(viewer):
    viewer.open()
    for index in range(10):
        viewer.click(10 + 15 * index, 20 + 20 * index)
    assert len(viewer.state()["pins"]) == 9
    assert "9 pixels are pinned" in viewer.text(".note")


def test_keys_move_by_one_cell_of_the_stage(viewer):
    viewer.open()
    viewer.click(80, 120)
    before = cell(80, 120, (H, W), viewer.stage().grid)
    viewer.page.locator(".frame").focus()
    viewer.press("ArrowRight", "ArrowDown")
    ((row, col),) = viewer.state()["pins"]
    assert cell(row, col, (H, W), viewer.stage().grid) == (before[0] + 1, before[1] + 1)
    viewer.press("Shift+ArrowLeft")
    ((row, col),) = viewer.state()["pins"]
    assert cell(row, col, (H, W), viewer.stage().grid) == (before[0] + 1, before[1] + 1 - 8)
    for _ in range(5):
        viewer.press("Shift+ArrowUp")
    assert cell(*viewer.state()["pins"][0], (H, W), viewer.stage().grid)[0] == 0
    pins = viewer.state()["pins"]
    viewer.page.wait_for_function(
        "(pins) => JSON.stringify(sent.at(-1).value.pins) === JSON.stringify(pins)", arg=pins
    )


def test_keys_change_the_stage(viewer):
    viewer.open()
    viewer.hover(80, 120)
    viewer.page.locator(".frame").focus()
    viewer.press("[")
    assert viewer.state()["view"]["stage"] == "stride8"
    stage = viewer.stage("stride8")
    assert close(viewer.map(), stage.pixel_affinity(*cell(80, 120, (H, W), stage.grid)))
    viewer.press("[", "[", "[")
    assert viewer.state()["view"]["stage"] == "stride16"
    viewer.press("]")
    assert viewer.sent()[-1]["view"]["stage"] == "stride8"


def test_without_a_pin_keys_move_a_cursor_and_enter_pins_it(viewer):
    viewer.open()
    viewer.page.locator(".frame").focus()
    viewer.press("ArrowLeft")
    assert viewer.text(".where") == "keyboard"
    assert viewer.sent() == []
    viewer.press("Enter")
    assert len(viewer.state()["pins"]) == 1
    viewer.press("Escape")
    assert "①" in viewer.text(".where")


def test_settings_act_at_once_and_sliders_report_late(viewer):
    viewer.open()
    viewer.click(80, 120)
    viewer.page.get_by_role("button", name="× uniform").click()
    viewer.settle()
    assert viewer.sent()[-1]["view"]["scale"] == "uniform"
    viewer.page.evaluate(
        "for (const value of [0.2, 0.3, 0.4, 0.5]) { const node = document.querySelector('input[type=range]'); "
        "node.value = value; node.dispatchEvent(new Event('input')); }"
    )
    assert viewer.state()["view"]["opacity"] == 0.5
    viewer.page.wait_for_function("sent.at(-1).value.view.opacity === 0.5")
    assert not {one["view"]["opacity"] for one in viewer.sent()} & {0.2, 0.3, 0.4}


def test_refused_settings_say_why(viewer):
    viewer.open("pixels")
    button = viewer.page.get_by_role("button", name="made of")
    assert button.get_attribute("aria-disabled") == "true"
    button.click(force=True)
    assert "needs prototypes" in viewer.text(".note")
    assert viewer.state()["view"]["reading"] == "reads"


def test_a_bar_previews_and_chooses_its_source(viewer):
    viewer.open("prototypes")
    viewer.click(80, 120)
    viewer.page.locator(".bar").nth(1).hover()
    viewer.settle()
    name = viewer.text(".bars-title")
    assert "is made of" in name
    viewer.page.locator(".bar").nth(0).click()
    viewer.settle()
    view = viewer.sent()[-1]["view"]
    assert view["reading"] == "made of"
    assert close(viewer.map(), viewer.stage().assignment[view["source"]])


def test_zoom_with_the_wheel_keeps_the_pixel_under_the_pointer(viewer):
    viewer.open()
    viewer.hover(80, 120)
    viewer.page.keyboard.down("Control")
    viewer.page.mouse.wheel(0, -400)
    viewer.page.keyboard.up("Control")
    viewer.settle()
    assert viewer.page.locator(".frame.zoomed").count() == 1
    viewer.page.mouse.move(*(x + 0.3 for x in viewer.point(80, 120)))
    viewer.settle()
    assert viewer.text(".place") == "row 80 · col 120"
    viewer.page.mouse.dblclick(*viewer.point(80, 120))
    viewer.settle()
    assert viewer.page.locator(".frame.zoomed").count() == 0


def test_held_overlay_reads_values_under_the_pointer(viewer):
    viewer.open(hold=True)
    viewer.click(80, 120)
    pinned = viewer.map()
    viewer.hover(20, 200)
    assert np.array_equal(viewer.map(), pinned)
    y, x = cell(20, 200, (H, W), viewer.stage().source_grid)
    shown = float(viewer.page.locator(".number dd").first.inner_text())
    assert shown == pytest.approx(pinned[y * viewer.stage().source_grid[1] + x], rel=0.01)


def test_slow_similarity_comes_from_the_engine_for_the_pin(viewer):
    viewer.open("pixels")
    viewer.page.evaluate(
        "async () => { const { load } = await import(modules + 'tensors.js'); for (const path of Object.values(given.tensors)) "
        "(await load(new URL(path, location.href).href, {})).light = false; }"
    )
    viewer.click(80, 120)
    viewer.page.get_by_role("button", name="reads alike").click()
    viewer.page.wait_for_function("__loupe.map?.length === 21 * 29")
    stage = viewer.stage()
    assert close(viewer.map(), stage.profile_similarity(*cell(80, 120, (H, W), stage.grid)))


HEAVY = (
    "async () => { const { load } = await import(modules + 'tensors.js'); for (const path of Object.values(given.tensors)) "
    "(await load(new URL(path, location.href).href, {})).light = false; }"
)


def test_slow_similarity_is_that_of_the_chosen_head(viewer):
    """As from the engine: for the head that is chosen, and another one when another is chosen."""
    viewer.open("pixels", head=1)
    viewer.page.evaluate(HEAVY)
    viewer.click(80, 120)
    viewer.page.get_by_role("button", name="reads alike").click()
    viewer.page.wait_for_function("__loupe.map?.length === 21 * 29")
    stage = viewer.stage()
    row, col = cell(80, 120, (H, W), stage.grid)
    assert close(viewer.map(), stage.profile_similarity(row, col, head=1))
    assert not close(viewer.map(), stage.profile_similarity(row, col))
    for label, head in [("1", 0), ("mean", None)]:
        viewer.page.get_by_label("head").select_option(label=label)
        wanted = stage.profile_similarity(row, col, head=head)
        viewer.page.wait_for_function(
            "(most) => __loupe.map?.length === 21 * 29 && Math.abs(Math.min(...__loupe.map) - most) < 1e-3",
            arg=float(wanted.min()),
        )
        assert close(viewer.map(), wanted)


def test_heads_are_counted_from_one(viewer):
    viewer.open("memory", head=0)
    head = viewer.page.get_by_label("head")
    count = viewer.stage().heads
    assert head.locator("option").all_inner_texts() == ["mean", *(str(n + 1) for n in range(count))]
    assert head.input_value() == "0"
    head.select_option(label="2")
    assert viewer.sent()[-1]["view"]["head"] == 1


EMPTY = """
() => {
  const seen = (name) => [...document.querySelectorAll(name)].filter((node) =>
    node.checkVisibility({ visibilityProperty: true }));
  return { bars: seen(".bar").length, numbers: seen(".number").length, mass: seen(".mass").length, ticks: seen(".tick").length,
    title: document.querySelector(".bars-title").textContent, unit: document.querySelector(".unit").textContent };
}
"""
NOTHING = {"bars": 0, "numbers": 0, "mass": 0, "ticks": 0, "title": "", "unit": ""}


def test_nothing_stands_beside_no_reading(viewer):
    viewer.open("memory")
    assert viewer.page.evaluate(EMPTY) == NOTHING  # nothing is pinned
    viewer.hover(80, 120)
    shown = viewer.page.evaluate(EMPTY)
    assert all(shown[name] for name in NOTHING)
    viewer.page.mouse.move(2, 2)
    viewer.settle()
    assert viewer.page.evaluate(EMPTY) == NOTHING


def test_while_the_engine_works_nothing_of_the_last_reading_stays(viewer):
    viewer.open("pixels")
    viewer.page.evaluate(HEAVY)
    viewer.click(80, 120)
    assert all(viewer.page.evaluate(EMPTY).values())
    viewer.page.route("**/extras", lambda route: None)
    viewer.page.get_by_role("button", name="read by").click()
    viewer.page.wait_for_selector(".wait .stop")
    assert viewer.page.evaluate(EMPTY) == NOTHING
    assert viewer.text(".place") == "row 80 · col 120"
    viewer.page.get_by_role("button", name="reads", exact=True).click()
    viewer.settle()
    assert all(viewer.page.evaluate(EMPTY).values())


def test_the_name_of_a_pin_catches_no_click(viewer):
    viewer.open()
    viewer.click(80, 60)
    ring = viewer.page.locator(".ring").bounding_box()
    viewer.page.mouse.click(ring["x"] + 36 + 5, ring["y"] + 11)  # on the name, to the right of the ring
    pins = viewer.state()["pins"]
    assert pins[0] == [80, 60] and len(pins) == 2


def test_outlines_are_named(viewer):
    viewer.open(outline="both")
    names = viewer.page.locator(".outline-name:visible")
    assert names.all_inner_texts() == ["prediction", "truth"]
    viewer.page.get_by_label("outlines").select_option("truth")
    assert names.all_inner_texts() == ["truth"]
    viewer.page.get_by_label("outlines").select_option("none")
    assert not viewer.page.locator(".outlines").is_visible()


def test_the_image_part_and_pooled_queries_are_named(viewer):
    viewer.open("memory", measure="contribution")
    viewer.hover(80, 120)
    assert "(image part)" in viewer.text(".unit")
    assert not viewer.page.locator(".pooled").is_visible()
    viewer.page.evaluate(HEAVY.replace(".light = false", ".pooled = 2"))
    viewer.page.get_by_role("button", name="smooth").click()
    assert "mean of a block of 2×2" in viewer.text(".pooled")


def test_a_rerun_does_not_fade_the_viewer(viewer):
    """Streamlit's wrapper of an element that a running script has not reached yet is nearly transparent."""
    viewer.page.route(
        "**/?name=*",
        lambda route: route.fulfill(
            response=(answer := route.fetch()),
            body=answer.text().replace(
                '<div id="host"></div>',
                "<style>[data-stale] { opacity: 0.33; }</style>"
                '<div data-testid="stElementContainer" data-stale="true"><div id="host"></div></div>',
            ),
        ),
    )
    viewer.open()
    opacity = "getComputedStyle(document.querySelector('[data-stale]')).opacity"
    assert viewer.page.evaluate(opacity) == "1"


@pytest.mark.parametrize("width", [320, 420, 700, 1400])
def test_nothing_overflows(viewer, width):
    viewer.page.set_viewport_size({"width": width, "height": 900})
    viewer.open(reading="read by")
    viewer.click(80, 120)
    overflow = viewer.page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0
    panel, frame = (viewer.page.locator(name).bounding_box() for name in (".panel", ".frame"))
    assert (panel["x"] >= frame["x"] + frame["width"]) == (width == 1400)


def test_what_takes_the_engine_long_can_be_stopped_and_resumed(viewer):
    viewer.open("pixels")
    viewer.page.evaluate(
        "async () => { const { load } = await import(modules + 'tensors.js'); for (const path of Object.values(given.tensors)) "
        "(await load(new URL(path, location.href).href, {})).light = false; }"
    )
    viewer.page.route("**/extras", lambda route: None)  # the engine takes its time
    viewer.click(80, 120)
    viewer.page.get_by_role("button", name="read by").click()
    viewer.page.wait_for_selector(".wait .stop")
    assert "the engine sums up 609 × 165 affinities" in viewer.text(".wait")
    viewer.page.get_by_role("button", name="Stop").click()
    viewer.page.wait_for_selector("text=Go on")
    viewer.page.unroute("**/extras")
    viewer.page.get_by_role("button", name="Go on").click()
    viewer.page.wait_for_function("__loupe.map?.length === 21 * 29")
    stage = viewer.stage()
    y, x = cell(80, 120, (H, W), stage.source_grid)
    assert close(viewer.map(), stage.pixel_readers(y, x))
    viewer.page.wait_for_selector(".wait", state="hidden")


def test_of_several_things_waited_for_the_newest_is_said_until_none_is_left(viewer):
    viewer.open()
    said = viewer.page.evaluate(
        "async () => { const { Data } = await import(modules + 'data.js'); const said = [];"
        "const data = new Data(given, location.href, (text) => said.push(text));"
        "for (const [name, text, part] of [['stride4', 'fetching', 0.5], ['engine', 'summing'], ['stride4', 'fetching', 0.9],"
        "['stride4', null], ['stride8', 'fetching', 0.2], ['stride8', 'fetching', 1], ['engine', null]])"
        "data.waiting(name, text, part); return said; }"
    )
    assert said == ["fetching", "summing", "summing", "summing", "fetching", "summing", None]


def test_a_tap_pins(browser, harness):
    context = browser.new_context(viewport={"width": 420, "height": 900}, has_touch=True)
    viewer = Viewer(context.new_page(), harness).open()
    viewer.page.touchscreen.tap(*viewer.point(80, 120))
    assert viewer.state()["pins"] == [[80, 120]]
    assert "①" in viewer.text(".where")
    context.close()
