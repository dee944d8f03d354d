"""Scales of the Guidance page's figures, and that every sheet can be drawn."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from app.figures_guidance import GradientSheet, MapSheet, TokenSheet, angle_top, cosine_reach, decades
from app.figures_guidance_drawing import HATCHES, draw, map_figure
from engine.branches import BOTH_RIGHT, OUTCOMES

NAMES = ("sky", "tree", "road")


def test_the_scale_of_cosines_is_symmetric_and_leaves_the_diagonal_out():
    cosines = np.eye(3)
    assert cosine_reach(cosines) == 0.1
    cosines[0, 1] = cosines[1, 0] = -0.31
    assert cosine_reach(cosines) == 0.4
    cosines[0, 2] = 0.95
    assert cosine_reach(cosines) == 1.0


def test_angles_end_at_90_or_180_degrees():
    assert angle_top([10.0, 90.0, float("nan")]) == 90 and angle_top([91.0]) == 180 and angle_top([]) == 90


def test_decades_hold_all_norms_with_room_below():
    assert decades([0.0, 0.28, 2.5]) == (-2, 1)
    assert decades([10.0]) == (0, 1)
    assert decades([0.0]) == (-1, 0)


def test_every_wrong_outcome_has_a_hatching_of_its_own():
    assert set(HATCHES) == set(range(len(OUTCOMES))) - {BOTH_RIGHT}
    assert len(set(HATCHES.values())) == 3


@pytest.mark.parametrize("words", [None, OUTCOMES])
def test_maps_share_one_scale_and_differences_are_symmetric(words):
    guide, upsampler = np.array([[-1.0, 3.0]]), np.linspace(-2, 2, 32).reshape(4, 8)
    third = np.full((4, 8), 0.5) if words is None else (np.arange(32).reshape(4, 8) % 4).astype(np.uint8)
    photo = np.zeros((20, 40, 3), np.uint8)
    labels = np.zeros((20, 40), np.uint8)
    labels[:, 20:] = 1
    sheet = MapSheet(
        photo,
        (40, 80),
        guide,
        upsampler,
        third,
        words,
        ((10, 70),),
        (((labels, "white"),), (), ()),
        "sky",
        "t",
        "c",
    )
    figure = map_figure(sheet)
    norms = [
        image.norm for axes in figure.axes for image in axes.images if image.get_cmap().name == "cividis"
    ]
    assert [(norm.vmin, norm.vmax) for norm in norms] == [(-2.0, 3.0)] * 2
    spread = [
        image.norm for axes in figure.axes for image in axes.images if image.get_cmap().name == "coolwarm"
    ]
    assert [(norm.vmin, norm.vmax) for norm in spread] == ([(-0.5, 0.5)] if words is None else [])
    assert Image.open(io.BytesIO(draw(sheet, "png"))).format == "PNG"


def test_tokens_and_gradients_with_gaps_can_be_drawn():
    gaps = {"high": np.array([10.0, np.nan, np.nan]), "upsampled": np.array([20.0, 95.0, np.nan])}
    tokens = TokenSheet(np.eye(3), gaps, NAMES, ("#000000",) * 3, "t", "c")
    gradients = GradientSheet((("stage 1", 1.0, 0.0, None), ("tokens", 0.5, 0.1, -0.25)), (-2, 1), "t", "c")
    for sheet in (tokens, gradients):
        assert draw(sheet, "svg") == draw(sheet, "svg")
    text = draw(gradients, "svg").decode()
    assert ">–<" in text and ">−0.250<" in text and ">0<" in text


def test_names_with_dollar_signs_are_no_formulas():
    """They would be taken for mathematics otherwise, and end the drawing where they are none."""
    name = r"$\href{x}{y}$ for $5"
    gaps = {"high": np.array([10.0, 3.0, 4.0]), "upsampled": np.array([20.0, 95.0, 5.0])}
    tokens = TokenSheet(np.eye(3), gaps, (name, "b", "c"), ("#000000",) * 3, name, name)
    gradients = GradientSheet(((name, 1.0, 0.0, None),), (-2, 1), name, name)
    for sheet in (tokens, gradients):
        assert r"\href{x}{y}" in draw(sheet, "svg").decode()
    assert ">mean of $F_h$" not in draw(tokens, "svg").decode()  # what is ours stays a formula
