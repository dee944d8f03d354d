"""What the command line prints: strict JSON, short figures, progress that stays out of the way."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.terminal import Progress, figure, plain


def test_json_knows_no_nan(tmp_path):
    value = {
        "a": float("nan"),
        "b": (np.float32(0.5), np.arange(2)),
        3: tmp_path,
        "c": [float("inf"), True, None],
    }
    assert plain(value) == {"a": None, "b": [0.5, [0, 1]], "3": str(tmp_path), "c": [None, True, None]}
    json.dumps(plain(value), allow_nan=False)


def test_progress_is_silent_at_first_and_then_a_line_now_and_then(capsys):
    with Progress("work") as progress:
        progress(1, 9, {})
        progress.said -= 60
        progress(2, 9, {"loss": 0.25, "seconds": 3.0})
        progress(3, 9, {})
    stdout, stderr = capsys.readouterr()
    assert (stdout, stderr) == ("", "work: 2/9 loss=0.250\n")


def test_progress_is_a_bar_in_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress("work") as progress:
        for done in range(1, 4):
            progress(done, 3, {"loss": 0.25})
    stdout, stderr = capsys.readouterr()
    assert stdout == "" and "work: 100%" in stderr and "3/3" in stderr and "loss=0.250" in stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0.000"),
        (1e-5, "1.0e-05"),
        (123.45, "123.5"),
        (1234567, "1 234 567"),
    ],
)
def test_figures_are_short(value, text):
    assert figure(value) == text
