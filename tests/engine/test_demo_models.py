"""The shipped models: comparable, small, and what their training promises about each other."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from engine.catalogue import ASSETS, TITLES, read_catalogue
from engine.training.recipes import Recipe, load_recipe

MODELS = ASSETS / "models"


@pytest.fixture(scope="module")
def cards():
    found, problems = read_catalogue([MODELS])
    assert not problems
    return found


def test_they_are_small():
    sizes = {path.stem: path.stat().st_size for path in MODELS.glob("*.safetensors")}
    assert sum(sizes.get(name, 0) for name in TITLES) <= 32e6
    files = [path for path in ASSETS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6
    assert max(path.stat().st_size for path in files) <= 8e6


def test_each_was_trained_by_the_recipe_that_ships(cards):
    """Same data, steps, seed and optimiser: what differs between two rows of the README's table is the decoder."""
    assert tuple(cards) == tuple(TITLES)
    for name, card in cards.items():
        # Keys that recipes have got since have their defaults.
        assert Recipe(name).json() | card.provenance["recipe"] == load_recipe(name).json(), name
        assert card.provenance["seed"] == 0 and card.provenance["images"] == 500
        assert card.mIoU == pytest.approx(
            sum(card.provenance["categories"].values()) / len(card.classes), abs=0.01
        )


def test_the_guide_branch_never_noticed_which_tokens_the_upsampler_has(cards):
    """hfgd and fpn-cut differ in L_u alone, which their cuts keep out: backbone, CAE and tokens agree bit by bit."""
    first, second = (load_file(cards[name].path) for name in ("hfgd", "fpn-cut"))
    guide = ("backbone.", "decoder.context.", "decoder.tokens.")
    shared = [name for name in first if name.startswith(guide)]
    assert len(shared) > 100
    assert all(first[name].equal(second[name]) for name in shared)
    assert not first["decoder.upsampler.merge.conv.weight"].equal(
        second["decoder.upsampler.merge.conv.weight"]
    )
