"""Only our own errors come out, in one sentence, whatever goes in. More of it: `python -m tests.fuzz`."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutating import mutated
from tests.fuzz.targets import FORMATS, SIZES, TARGETS, picture, try_image

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # readers warn of much that is wrong with a file before they refuse it
EXAMPLES = {"checkpoint": 30, "route": 60, "pickle": 60}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_mutations_are_accepted_or_refused_in_a_sentence(target):
    seeds = target.seeds()

    @settings(
        max_examples=EXAMPLES.get(target.name, 120),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data):
        target.try_(mutated(seeds, lambda n: data.draw(st.integers(0, n - 1))))

    check()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_seeds_reach_what_they_are_for(target):
    """A target that refuses all of its seeds would test nothing but its first check."""
    taken = [target.try_(seed) for seed in target.seeds()]  # all of them are tried: some got through once
    assert any(taken)


@pytest.mark.parametrize("format_", FORMATS)
def test_an_image_cut_at_every_64th_byte(format_):
    """Refused as damaged, or whole: the tail of some formats holds no pixels."""
    for mode in FORMATS[format_]:
        for size in SIZES[1:2]:
            data = picture(format_, mode, size)
            assert try_image(data)
            for end in range(0, len(data), 64):
                try_image(data[:end])


def test_the_mutations_are_the_same_for_the_same_choices():
    made = [mutated([b"abcdefgh" * 9, b"0123"], random.Random(seed).randrange) for seed in range(40)]
    assert made == [mutated([b"abcdefgh" * 9, b"0123"], random.Random(seed).randrange) for seed in range(40)]
    assert len(set(made)) > 30
