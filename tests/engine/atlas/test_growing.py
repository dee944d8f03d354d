"""An atlas that grows keeps its reservoir unless another one is asked for by name. About eight seconds."""

from __future__ import annotations

import pytest

from engine.atlas.folder import rows_of
from engine.atlas.walk import build
from engine.errors import LoupeError
from engine.stage import Stopped
from tests.engine.atlas.toys import Nods, assert_equal, card_of, toy, toys

pytestmark = pytest.mark.usefixtures("small_walks")

COUNT, SHORT, ROWS = 9, 6, 5


def test_rows_come_from_the_folder_where_none_are_named(tmp_path):
    segmenter = toy("memory")
    given = (segmenter, card_of(segmenter), toys(COUNT))
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    assert rows_of(grown) is None
    build(*given, whole, rows=ROWS)
    build(*given, grown, rows=ROWS, limit=SHORT)
    with pytest.raises(LoupeError, match="differs in: rows"):
        build(*given, grown, rows=ROWS + 1)
    assert build(*given, grown).rows == ROWS == rows_of(grown)
    assert_equal(grown, whole)
    assert build(*given, grown, rows=ROWS + 1, anew=True).rows == ROWS + 1


def test_rows_of_a_walk_that_was_interrupted(tmp_path):
    segmenter = toy("memory")
    given = (segmenter, card_of(segmenter), toys(COUNT))
    with pytest.raises(Stopped):
        build(*given, tmp_path, rows=ROWS, stop=Nods(1))
    assert not (tmp_path / "manifest.json").exists() and rows_of(tmp_path) == ROWS
    assert build(*given, tmp_path).rows == ROWS
