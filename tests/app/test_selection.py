"""Selection ⇄ URL: what is written is read again, and what cannot be used is told in a sentence."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from urllib.parse import parse_qsl, urlencode

import pytest

from app.selection import (
    ABLATIONS,
    AUDIT,
    AUDITED,
    BANKS,
    COLOURS,
    COMPARE,
    DRAWN,
    FEW,
    GUIDANCE,
    INSPECT,
    LEAST_PIXELS,
    LIBRARY,
    LOOKS,
    MANY,
    MARKS,
    MAX_PINS,
    MEASURES,
    MOST_PIXELS,
    NUMBERS,
    OUTLINES,
    PAINTS,
    PARAMETERS,
    PROJECTIONS,
    PROTOTYPES,
    READINGS,
    RELATIVES,
    SCALES,
    SCORES,
    SECTIONS,
    SHOWS,
    SITES,
    SLICES,
    SURGERY,
    THIRDS,
    VARIANCE,
    WHATS,
    Page,
    Selection,
    adopt,
    fit_pins,
    fit_stage,
    from_params,
    to_params,
    view_of,
)
from app.viewer import VIEW

STAGES = {
    "stride16": ("memory", 4, 14),
    "stride8": ("memory", 4, 14),
    "stride4": ("memory", 4, 14),
}


def some(seed: int) -> Selection:
    """A random selection; every seed another."""
    draw = random.Random(seed)
    pins = tuple((draw.randrange(5000), draw.randrange(9000)) for _ in range(draw.randint(0, MAX_PINS)))
    return Selection(
        model=draw.choice(["cpt", "qup", "a model/with & odd=name", "ö"]),
        image=f"{draw.getrandbits(64):016x}",
        stage=draw.choice([*STAGES, "stride2"]),
        pins=pins if draw.random() < 0.9 else None,
        active=draw.randrange(len(pins)) if pins else 0,
        reading=draw.choice(READINGS),
        head=draw.choice([None, 0, 3, 11]),
        measure=draw.choice(MEASURES),
        relative=draw.choice(RELATIVES),
        scale=draw.choice(SCALES),
        smooth=draw.random() < 0.5,
        opacity=draw.randrange(101) / 100,
        colours=draw.choice(COLOURS),
        outline=draw.choice(OUTLINES),
        source=draw.choice([None, 0, 13, 4095]),
        hold=draw.random() < 0.5,
        models=("cpt",) if draw.random() < 0.2 else ("a, b", "50%2C", "ö", "x;y")[: draw.randint(1, 4)],
        shows=tuple(draw.choice(SHOWS) for _ in range(draw.randint(1, 4))),
        site=draw.choice(SITES),
        marks=draw.choice(MARKS),
        pair=draw.choice([(0, 1), (2, 0), (1, 3)]),
        category=draw.choice(["tree", "traffic light", "ö, x"]),
        token_cut=draw.randrange(101) / 100,
        high_cut=draw.randrange(101) / 100,
        low_cut=draw.randrange(101) / 100,
        third=draw.choice(THIRDS),
        context=draw.random() < 0.5,
        section=draw.choice(SECTIONS),
        patches=draw.choice([FEW, MANY]),
        moment=draw.choice([None, 0, 39]),
        bank=draw.choice(BANKS),
        features=draw.choice(["f0", "stride4.value"]),
        beside=("qup", "ö, x")[: draw.randint(0, 2)],
        sites=("f2", "stride8.value", "fused")[: draw.randint(1, 3)],
        categories=("tree", "traffic, light")[: draw.randint(0, 2)],
        amount=draw.choice([LEAST_PIXELS, 3000, MOST_PIXELS]),
        drawn=draw.choice(DRAWN),
        projection=draw.choice(PROJECTIONS),
        neighbours=draw.randint(2, 200),
        min_dist=draw.randrange(100) / 100,
        seed=draw.randrange(1_000_000),
        paint=draw.choice(PAINTS),
        number=draw.choice(NUMBERS),
        lasso=draw.choice(["", "sl:c1b39ce0::0.112,8.508,4.138,8.508,6.151,-4.482"]),
        isolated=draw.choice(["", "category.3.5"]),
        photo=draw.choice(["", "1000085"]),
        look=draw.choice(LOOKS),
        smallest=draw.choice([0, 20]),
        at=draw.randrange(4),
        named=("sails", "", "a, b")[: draw.choice([0, 1, 3])],
        score=draw.choice(SCORES),
        slices=draw.choice(SLICES),
        data=draw.choice(["scenes-val", "ö, x"]),
        audited=draw.choice(AUDITED),
        sheet=draw.randrange(50),
        edits=draw.choice(["", "ablate,tree,,stride4;update", "ablate,a%2Cb"]),
        what=draw.choice(WHATS),
        region=draw.choice(["", "2x3-1.1.2.2"]),
        ablation=draw.choice(ABLATIONS),
    )


def kept(selection: Selection, page: Page) -> dict[str, object]:
    """What a link of the page says."""
    return {field: getattr(selection, field) for field in page.fields if field != "pins"}


@pytest.mark.parametrize(
    "page",
    [INSPECT, COMPARE, GUIDANCE, PROTOTYPES, VARIANCE, AUDIT, SURGERY, LIBRARY],
    ids=lambda page: page.key,
)
@pytest.mark.parametrize("seed", range(100))
def test_a_link_says_the_whole_selection(seed, page):
    selection, other = some(seed), some(seed + 1000)
    if selection.pins is None:
        selection = replace(selection, active=0)
    link = urlencode(to_params(selection, page))
    again, problems = from_params(dict(parse_qsl(link, keep_blank_values=True)), other, page)
    assert problems == []
    assert kept(again, page) == kept(selection, page)
    # Pins that were never chosen are not inherited from another picture.
    if "pins" in page.fields:
        assert again.pins == selection.pins or (selection.pins is None and other.image == selection.image)
    else:  # another picture has other pixels, also where a page says nothing of them
        same = "image" not in page.fields or selection.image == other.image
        assert again.pins == (other.pins if same else None)
    # What the page does not spell is left as it was; but the first of several models is the other pages' model.
    own = {*page.fields, "pins", "active", *(("model",) if "models" in page.fields else ())}
    assert all(
        getattr(again, field.name) == getattr(other, field.name)
        for field in fields(Selection)
        if field.name not in own
    )
    if page is COMPARE:
        assert again.model == selection.models[0]


@pytest.mark.parametrize("page", [INSPECT, COMPARE, GUIDANCE], ids=lambda page: page.key)
@pytest.mark.parametrize("seed", range(30))
def test_what_the_viewer_reports_is_adopted_and_given_back_unchanged(seed, page):
    mine, theirs = some(seed), some(seed + 500)
    pins = theirs.pins or ()
    view = json.loads(json.dumps(view_of(theirs, page)))  # as it comes from a browser
    got = adopt(mine, pins, theirs.active if pins else None, view, page)
    assert view_of(got, page) == view_of(theirs, page)
    assert (got.pins, got.model, got.image) == (pins, mine.model, mine.image)
    assert got.pin == (pins[theirs.active] if pins else None)


def test_what_the_scatter_reports_is_adopted_and_nothing_else_changes():
    mine, theirs = (
        some(3),
        replace(some(4), lasso="sl:c1b39ce0::" + ",".join(["0.125,-3"] * 200), isolated="mode.4"),
    )
    got = adopt(mine, (), None, view_of(theirs, VARIANCE), VARIANCE)
    assert got == replace(mine, lasso=theirs.lasso, isolated=theirs.isolated)


def test_the_viewers_settings_and_the_selections_are_the_same():
    assert set(view_of(Selection())) == set(VIEW)
    default = view_of(Selection())
    assert {name: default[name] for name in VIEW if name != "stage"} == {
        name: value for name, value in VIEW.items() if name != "stage"
    }


def test_every_field_is_in_the_link():
    assert len(PARAMETERS) == len(set(PARAMETERS)) == len(fields(Selection))
    spelled = set()
    for page in (INSPECT, COMPARE, GUIDANCE, PROTOTYPES, VARIANCE, AUDIT, SURGERY, LIBRARY):
        written = set(to_params(replace(some(1), pins=((1, 2),)), page))
        assert written == set(page.parameters)
        spelled |= written
    assert spelled == set(PARAMETERS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pins", "1,2,3"),
        ("pins", "1,-2"),
        ("pins", "a,b"),
        ("pins", ";".join(["1,2"] * 10)),
        ("pins", "1,99999999999999999999"),
        ("pins", "１,２"),
        ("reading", "thinks"),
        ("head", "-1"),
        ("head", "1.5"),
        ("measure", "length"),
        ("relative", "maybe"),
        ("scale", "log"),
        ("smooth", "yes"),
        ("opacity", "nan"),
        ("opacity", "2"),
        ("opacity", "half"),
        ("colours", "jet"),
        ("outline", "red"),
        ("source", "tree"),
        ("active", "0x1"),
        ("hold", ""),
    ],
)
def test_a_bad_value_is_named_and_the_default_stays(name, text):
    default = Selection(image="x", pins=((5, 6),))
    got, problems = from_params({name: text}, default)
    assert got == default
    if text:
        assert len(problems) == 1 and name in problems[0] and "\n" not in problems[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("beside", "a,b,c,d"),
        ("sites", "a,b,c,d,e"),
        ("sites", "x" * 900),
        ("categories", ",".join(map(str, range(301)))),
        ("pixels", "499"),
        ("pixels", "50001"),
        ("pixels", "many"),
        ("from", "memory"),
        ("projection", "tsne"),
        ("neighbours", "1"),
        ("neighbours", "1e1"),
        ("distance", "1.5"),
        ("seed", "-1"),
        ("colour", "red"),
        ("number", "mood"),
        ("lasso", "s" * 20_000),
        ("show", "all"),
        ("clusters", "-2"),
        ("at", "0"),
        ("at", "5"),
        ("names", ",".join("x" * 80)),
    ],
)
def test_a_bad_value_of_variance_is_named_and_the_default_stays(name, text):
    default = Selection(sites=("f2",))
    got, problems = from_params({name: text}, default, VARIANCE)
    assert got == default
    assert len(problems) == 1 and name in problems[0] and "\n" not in problems[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("models", "a,b,c,d,e"),
        ("models", ",,"),
        ("models", "x" * 900),
        ("shows", "affinity,guess"),
        ("shows", ",".join(["auto"] * 5)),
        ("site", "f9"),
        ("marks", "red"),
        ("pair", "1"),
        ("pair", "2,2"),
        ("pair", "0,1"),
        ("pair", "1,5"),
    ],
)
def test_a_bad_value_of_a_link_to_compare_is_named(name, text):
    default = Selection(image="x", models=("cpt", "qup"))
    got, problems = from_params({name: text}, default, COMPARE)
    assert got == default and len(problems) == 1 and name in problems[0] and len(problems[0]) < 200


def test_a_bad_value_that_is_very_long_is_cut():
    _, problems = from_params({"reading": "x" * 100_000 + "\n"}, Selection())
    assert len(problems[0]) < 200 and "\n" not in problems[0]


def test_a_link_to_an_image_alone_inherits_no_pixel():
    got, _ = from_params({"image": "other"}, Selection(image="mine", pins=((1, 2),)))
    assert got.pins is None
    assert fit_pins(got, (100, 60))[0].pins == ((50, 30),)


def test_pins_outside_the_image_are_left_out_one_sentence_each():
    selection = Selection(pins=((5, 5), (100, 5), (5, 60)), active=2)
    got, problems = fit_pins(selection, (100, 60))
    assert got.pins == ((5, 5),) and got.active == 0
    assert len(problems) == 2 and "100,5" in problems[0]
    got, problems = fit_pins(replace(selection, pins=((100, 60),), active=0), (100, 60))
    assert got.pins == ((50, 30),) and "middle" in problems[0]


def test_pins_that_the_person_removed_stay_removed():
    assert fit_pins(Selection(pins=()), (10, 10)) == (Selection(pins=()), [])


def test_stage_head_source_and_reading_are_made_to_fit_the_model():
    bad = Selection(stage="stride2", head=7, source=99, reading="made of")
    got, problems = fit_stage(bad, STAGES)
    assert (got.stage, got.head, got.source, got.reading) == ("stride4", None, None, "made of")
    assert len(problems) == 3
    assert problems[1].startswith("The head 8 (head=7 in the link) does not exist at stride4")
    assert problems[2] == "The source 99 does not exist at stride4; what lies under the pin is shown."
    got, problems = fit_stage(bad, {"stride4": ("bilinear", 1, 4096)})
    assert got.reading == "reads" and any("bilinear" in sentence for sentence in problems)
    good = Selection(stage="stride8", head=3, source=13)
    assert fit_stage(good, STAGES) == (good, [])


@pytest.mark.parametrize(
    "view", [{"opacity": "x"}, {"head": [1]}, {"reading": None}, {"stage": 5}, {"smooth": {}}]
)
def test_a_browser_may_send_anything(view):
    mine = Selection(image="x", pins=((1, 1),))
    got = adopt(mine, ((1, 1),), 0, view)
    assert from_params(to_params(got), mine) == (got, [])
