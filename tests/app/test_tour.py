"""The tour: every step's link opens its page as it says, whatever models are there; hostile links mean no step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from app import process, tour
from app.views import tour_card
from tests.app.conftest import forget
from tests.app.pages import address, opened, run_with
from tests.conftest import ROOT

ALL = ("cpt", "bilinear", "qup", "hfgd")
IMAGES = {f"scene {number}": f"id{number}" for number in (8, 17, 20)}


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The shipped models; a scene's title → its id."""
    monkeypatch.delenv("LOUPE_MODELS", raising=False)
    monkeypatch.setenv("LOUPE_ATLASES", str(tmp_path))
    monkeypatch.setenv("LOUPE_ATLAS", "0")
    forget()
    yield {picture.title: picture.id for picture in process.gallery().samples()}
    for job in list(process.jobs()._jobs.values()):
        job.stop()
        job.wait(120)
    forget()


def test_the_demo_has_every_step(demo: dict[str, str]):
    assert tour.steps(process.engine().models(), demo) == tour.STEPS


@pytest.mark.parametrize("number", range(1, len(tour.STEPS) + 1))
def test_a_steps_link_opens_its_page_as_it_says(demo: dict[str, str], number: int):
    step = tour.STEPS[number - 1]
    asked = tour.parameters(step, number, demo)
    page = opened(step.path or "inspect", **asked)
    assert not page.error and not page.warning
    written = address(page)
    # To the letter: a page that wrote anything else would put a second entry into the browser's history.
    assert written == asked


def test_links_are_relative_and_hold_the_step():
    shown = tour.steps(ALL, IMAGES)
    link = tour.link(shown, 6, IMAGES)
    assert link is not None and link.startswith("./compare?tour=6&")
    assert dict(parse_qsl(urlsplit(link).query))["image"] == "id20"
    assert tour.link(shown, 0, IMAGES) is None and tour.link(shown, len(shown) + 1, IMAGES) is None


@pytest.mark.parametrize("scene", [*IMAGES, None])
@pytest.mark.parametrize("model", [*ALL, None])
def test_what_cannot_be_shown_is_left_out_and_the_rest_counted_anew(model: str | None, scene: str | None):
    images = {title: name for title, name in IMAGES.items() if title != scene}
    shown = tour.steps([name for name in ALL if name != model], images)
    left = [step for step in tour.STEPS if model not in step.models and step.scene not in {scene} - {None}]
    assert list(shown) == (left if left != [tour.STEPS[-1]] else [])  # Findings alone is no tour
    for number, step in enumerate(shown, 1):
        assert tour.number_of(str(number), step.path, shown) == number


def test_without_the_demos_models_there_is_no_tour():
    assert tour.steps(["mine"], IMAGES) == ()
    assert tour_card.payload((), None, IMAGES) == {"step": None, "links": {"first": None}}


@pytest.mark.parametrize(
    "text",
    [None, "", "0", "-1", "9", "99", "1000000", "1.0", "+1", "01", "١", "1\n", "<b>1</b>", "1;2", "x" * 9000],
)
def test_a_hostile_number_means_no_step(text: str | None):
    assert tour.number_of(text, "", tour.STEPS) is None


def test_a_number_of_another_page_means_no_step():
    assert tour.number_of("1", "", tour.STEPS) == 1
    assert tour.number_of("1", "compare", tour.STEPS) is None
    assert tour.number_of("1", "", ()) is None


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("text", ["1", "99", "-1", "<script>", "x" * 500])
def test_the_app_opens_with_any_number(text: str):
    page = run_with(AppTest.from_file(str(ROOT / "app" / "home.py"), default_timeout=60), tour=text)
    assert not page.error and address(page)["model"] == "cpt"


def test_the_card_says_where_it_is_and_leads_on():
    first, last = (tour_card.payload(tour.STEPS, number, IMAGES) for number in (1, len(tour.STEPS)))
    assert first["step"]["number"] == 1 and first["step"]["count"] == len(tour.STEPS)
    assert first["links"]["back"] is None and first["links"]["next"].startswith("./prototypes?tour=2&")
    assert last["links"]["next"] is None and last["links"]["back"].startswith("./surgery?tour=7&")


def test_steps_are_short():
    for step in tour.STEPS:
        assert len(step.title) <= 30 and len(step.said) <= 170, step.title
