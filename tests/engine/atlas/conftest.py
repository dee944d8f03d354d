"""Small walks: chunks of four images, few resamples; and how hypothesis runs on a machine that others use as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from engine.atlas import memory_effect, price, walk

# No deadline: the machine is shared. Derandomised: a failure comes back. No database: nothing is left in the folder.
settings.register_profile("loupe", deadline=None, max_examples=25, derandomize=True, database=None)
settings.load_profile("loupe")

CHUNK = 4
RESAMPLES = 100
WALKED = 3


@pytest.fixture(scope="module")
def small_walks() -> Iterator[None]:
    """A module that asks for it walks in chunks of four, saves after each, and draws few resamples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "CHUNK", CHUNK)
        patch.setattr(walk, "SAVE_SECONDS", 0.0)
        patch.setattr(walk, "EFFECT_IMAGES", WALKED)
        patch.setattr(memory_effect, "WALKED", WALKED)
        patch.setattr(memory_effect, "RESAMPLES", RESAMPLES)
        patch.setattr(price, "RESAMPLES", RESAMPLES)
        yield
