"""`python -m engine audit`: what it says is what the engine says; bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine import Engine, cli
from engine.audit import read_audit, run
from engine.audit.report import report
from engine.data.datasets import open_dataset
from engine.terminal import plain

SHORT = ("--limit", 3, "--pixels", 45, "--deletion-pixels", 1, "--stage", "stride4", "--device", "cpu")


def called(*arguments: object) -> int:
    return cli.main([str(each) for each in ("audit", *arguments)])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert called(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
    return err


def test_it_says_what_the_engine_says_and_writes_it(capsys, tmp_path: Path):
    folder = tmp_path / "audit"
    capsys.readouterr()
    assert (
        called("--model", "cpt", "--model", "dilated", *SHORT, "--out", folder, "--figure", "svg", "--json")
        == 0
    )
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    found = json.loads(out, parse_constant=pytest.fail)
    engine = Engine(device="cpu")
    expected = plain(report(read_audit(folder)))
    assert {name: found[name] for name in expected} == expected
    again = run(
        engine, ["cpt"], open_dataset("scenes-val"), limit=3, pixels=45, deletion_pixels=0, stages=["stride4"]
    )
    columns = read_audit(folder).columns("cpt", "stride4")
    for name, column in again.columns("cpt", "stride4").items():
        np.testing.assert_array_equal(columns[name], column)
    assert found["models"][0]["checkpoint"] == engine.card("cpt").hash and found["pixels"] == 45
    assert "dilated has no affinity" in found["refused"]["dilated"]
    written = sorted(path.name for path in folder.iterdir())
    assert written == sorted(
        ["columns.npz", "manifest.json", "tables.json", "areas.svg", "correctness.svg", "deletion.svg"]
    )
    tables = json.loads((folder / "tables.json").read_text())
    assert {"boundary", "object", "rarity", "right"} < set(
        tables["models"][0]["stages"]["stride4"]["scores"]["auc"]
    )
    assert engine.card("cpt").hash[:8] in (folder / "areas.svg").read_text()


def test_it_prints_a_table_and_sentences(capsys):
    assert (
        called("--model", "hfgd", "--limit", 2, "--pixels", 20, "--deletion-pixels", 0, "--device", "cpu")
        == 0
    )
    out = capsys.readouterr().out
    assert "2 images, 20 pixels balanced" in out and "hfgd" in out and "context" in out
    assert "distance alone gives" in out and "CAE's cells cannot be hidden" in out


def test_bad_input_is_one_line(capsys, tmp_path):
    assert "dilated has no affinity" in refusal(capsys, "--model", "dilated", *SHORT[:4])
    assert "twice" in refusal(capsys, "--model", "cpt", "--model", "cpt")
    assert "stride2" in refusal(capsys, "--model", "cpt", "--stage", "stride2")
    assert "scenes-val" in refusal(capsys, "--model", "cpt", "--data", "nowhere")
    assert "nothing" in refusal(capsys, "--model", "nothing")
    assert "--out" in refusal(capsys, "--model", "cpt", "--figure", "svg")
    assert "gif" in refusal(capsys, "--model", "cpt", "--out", tmp_path, "--figure", "gif")
