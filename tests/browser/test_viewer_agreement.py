"""The viewer and Python: overrides, late echoes, reruns, other images, lost tensors, unmounting."""

from __future__ import annotations

from engine.images import cell
from tests.browser.viewer_harness.driver import H, W, close


def test_an_override_by_python_wins_and_a_late_echo_does_not(viewer):
    viewer.open()
    viewer.click(80, 120)
    first = viewer.sent()[-1]
    viewer.page.get_by_role("button", name="smooth").click()
    viewer.click(20, 200)
    # Python runs with what it knew after the first click, and changes the stage: that alone is taken over.
    viewer.page.evaluate(
        "(seen) => rerun({ ...seen, view: { ...seen.view, stage: 'stride16' } })",
        first,
    )
    viewer.settle()
    state = viewer.state()
    assert state["view"]["stage"] == "stride16"
    assert state["view"]["smooth"] is True
    assert state["pins"] == [[80, 120], [20, 200]]
    # The same data again, after the person went on to another stage: nothing jumps back.
    viewer.page.locator(".strip .stage").nth(1).click()
    viewer.page.evaluate("rerun({})")
    viewer.settle()
    assert viewer.state()["view"]["stage"] == "stride8"
    # Python knows everything and clears the pins.
    last = viewer.sent()[-1]
    viewer.page.evaluate("(seen) => rerun({ ...seen, pins: [], active: 0 })", last)
    viewer.settle()
    assert (viewer.state()["pins"], viewer.state()["view"]["stage"]) == ([], "stride8")


def test_a_rerun_keeps_the_canvas_and_fetches_nothing(viewer):
    viewer.open()
    viewer.page.evaluate("window.before = document.querySelector('canvas.overlay')")
    requests: list[str] = []
    viewer.page.on("request", lambda request: requests.append(request.url))
    viewer.page.evaluate("rerun({ pins: [[3, 4]] })")
    viewer.settle()
    assert viewer.page.evaluate("before === document.querySelector('canvas.overlay') && before.isConnected")
    assert viewer.page.locator(".loupe").count() == 1
    assert requests == []


def test_another_image_takes_the_place_of_the_first(viewer, harness):
    viewer.open("prototypes")
    viewer.hover(80, 120)
    viewer.page.evaluate("(data) => rerun(data)", harness.data["pixels"])
    viewer.page.wait_for_function("document.querySelector('.loupe').dataset.ready === '1'")
    viewer.kind = "pixels"
    viewer.hover(81, 121)
    stage = viewer.stage()
    assert close(viewer.map(), stage.pixel_affinity(*cell(81, 121, (H, W), stage.grid)))


def test_lost_tensors_ask_python_for_a_new_trace(viewer, harness):
    data = {
        **harness.data["memory"],
        "tensors": {n: f"tensors/gone/{n}" for n in ("stride16", "stride8", "stride4")},
    }
    harness.data["gone"] = data
    viewer.kind = "memory"
    viewer.page.goto(harness.url("gone"))
    viewer.page.wait_for_function("expired.length === 1")
    assert "a new trace is being made" in viewer.text(".wait")
    viewer.page.evaluate("(data) => rerun(data)", harness.data["memory"])
    viewer.page.wait_for_selector(".loupe[data-ready='1']")
    viewer.hover(80, 120)
    assert close(viewer.map(), viewer.stage().pixel_affinity(*cell(80, 120, (H, W), viewer.stage().grid)))
    assert not viewer.page.locator(".wait").is_visible()


def test_what_the_server_cannot_give_is_said_and_can_be_tried_again(viewer, harness):
    viewer.page.route("**/stride4", lambda route: route.fulfill(status=500, body="the disk is full"))
    viewer.page.goto(harness.url("memory"))
    viewer.page.wait_for_selector(".wait .stop")
    assert "the disk is full" in viewer.text(".wait")
    viewer.page.unroute("**/stride4")
    viewer.page.locator(".wait .stop").click()
    viewer.page.wait_for_selector(".loupe[data-ready='1']")


def test_unmounting_leaves_nothing(viewer):
    viewer.open()
    viewer.page.evaluate("(() => { document.getElementById('host').remove(); unmount(); })()")
    viewer.page.wait_for_timeout(100)
    assert viewer.page.locator(".loupe").count() == 0
    held = viewer.page.evaluate("import(modules + 'tensors.js').then((module) => module.cacheBytes())")
    assert held > 0  # kept for the next viewer of the same trace, within the page's bound


def test_settings_that_python_does_not_know_stay(viewer):
    viewer.open()
    viewer.click(80, 120)
    viewer.page.get_by_role("button", name="hold").click()
    seen = viewer.sent()[-1]
    assert seen["view"].pop("hold") is True
    viewer.page.evaluate("(seen) => rerun(seen)", seen)
    assert viewer.state()["view"]["hold"] is True


def test_what_arrives_after_a_page_was_left_draws_nothing(viewer):
    """Fetches end when they end: what they brought once looked for frames that had gone."""
    viewer.open()
    drawn = viewer.page.evaluate(
        """async () => {
          const { Panes } = await import(modules + "panes.js");
          let drawn = 0;
          class Page extends Panes {
            refreshed() { this.panes[1].setTitle("drawn"); drawn += 1; }
          }
          const page = new Page(document.getElementById("host"), location.href, { defaults: {}, label: "of this test" });
          page.given = { image: { original: [1, 1] } };
          page.state = { pins: [], active: null, view: {} };
          page.opening = {};
          page.setPanes(2);
          page.refresh();
          page.close();
          page.refresh();
          return [drawn, page.opening];
        }"""
    )
    assert drawn == [1, None]
