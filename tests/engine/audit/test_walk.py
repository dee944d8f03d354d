"""The walk: rows are aligned and the same whoever else is audited; progress, stopping, partial results; files; refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from engine.audit import COLUMNS, MAPS, SCORES, Audit, read_audit, run, walk, write_audit
from engine.audit.figures import FIGURES, draw
from engine.audit.report import report
from engine.catalogue import ModelCard
from engine.segmenter import Segmenter
from engine.stage import Stopped
from engine.terminal import plain
from tests.engine.atlas.toys import CLASSES, K, Toys, blocks, card_of, one_sentence, said, toy, toys
from tests.engine.audit.toys import synthetic_audit

PIXELS = 66
SHORT = {"pixels": PIXELS, "deletion_pixels": 3}


@dataclass
class Shelf:
    """What an engine is to an audit: toys by their kind."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    made: dict[str, Segmenter] = field(default_factory=dict)

    def card(self, model: str, /) -> ModelCard:
        return card_of(self.segmenter(model), hash=model[0] * 64, id=model)

    def segmenter(self, model: str, /) -> Segmenter:
        if model not in self.made:
            self.made[model] = toy(model)
        return self.made[model]


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(scope="module")
def data() -> Toys:
    """Eight images of two sizes with unlabelled corners, the sixth without any label; the third cannot be read."""
    found = toys(8)
    found.broken = {2: OSError("the file is gone")}
    return found


@pytest.fixture(scope="module")
def audit(shelf, data) -> Audit:
    return run(shelf, ["memory", "pixels", "bilinear", "hfgd"], data, **SHORT)


def same(one: Audit, other: Audit, model: str) -> None:
    for stage in one.stages(model):
        for name, column in one.columns(model, stage).items():
            np.testing.assert_array_equal(column, other.columns(model, stage)[name], err_msg=name)


def test_rows_are_aligned_and_say_what_the_truth_says(audit, data):
    columns = audit.columns("memory", "stride4")
    assert tuple(columns) == COLUMNS and {len(c) for c in columns.values()} == {len(audit)}
    assert audit.complete and [(one.index, one.id) for one in audit.skipped] == [(2, "id-2")]
    assert "gone" in audit.skipped[0].reason
    for at in range(len(audit)):
        image = audit.images[columns["image"][at]]
        truth = data.samples[image.index].labels
        assert truth[columns["row"][at], columns["col"][at]] == columns["category"][at] < K
        assert image.size == truth.shape
    assert not (columns["image"] == [image.index for image in audit.images].index(5)).any()  # no label there
    labels = np.concatenate([data.samples[i.index].labels.ravel() for i in audit.images])
    share = np.bincount(labels[labels < K], minlength=K) / (labels < K).sum()
    np.testing.assert_allclose(columns["rarity"], share[columns["category"]], rtol=1e-6)


def test_predictions_are_those_of_a_trace(audit, data, shelf):
    columns = audit.columns("pixels", "stride8")
    for place, image in enumerate(audit.images):
        rows = columns["image"] == place
        model = shelf.segmenter("pixels")
        with torch.no_grad():
            labels = model.trace(model.normalise(data.samples[image.index].image))[0].labels.numpy()
        assert (labels[columns["row"][rows], columns["col"][rows]] == columns["predicted"][rows]).all()
    assert np.array_equal(columns["right"], columns["predicted"] == columns["category"])
    assert ((columns["confidence"] > 1 / K) & (columns["confidence"] <= 1)).all()


def test_every_kind_of_model_has_its_sites_and_what_it_lacks_is_nan(audit):
    assert audit.stages("memory") == ("stride16", "stride8", "stride4") and audit.stages("hfgd") == (
        "context",
    )
    assert audit.entry("hfgd").stages["context"].sources == "context"
    for model, lacking in (
        ("memory", set()),
        ("pixels", {"prototype_weight", "memory_share"}),
        ("hfgd", {"prototype_weight", "memory_share"}),
    ):
        columns = audit.columns(model, audit.stages(model)[-1])
        areas = (
            {name for name in SCORES if name.startswith("auc")} if model == "hfgd" else set()
        )  # four cells
        assert {name for name in SCORES if np.isnan(columns[name]).all()} == lacking | areas
    for stage in audit.stages("bilinear"):
        assert "by place" in said(lambda stage=stage: audit.deletion("bilinear", stage))
    assert "CAE" in said(lambda: audit.deletion("hfgd", "context"))
    # Of three pixels one fell to the image that cannot be read and one to that without a label.
    found = audit.deletion("memory", "stride16")
    assert found.pixels == 1 and len(found.curves) == len(MAPS)


def test_neither_company_nor_threads_nor_an_earlier_end_change_a_row(audit, shelf, data):
    same(audit, run(shelf, ["pixels"], data, **SHORT), "pixels")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        same(audit, run(shelf, ["memory", "hfgd"], data, **SHORT), "memory")
    finally:
        torch.set_num_threads(before)


def test_it_tells_how_far_it_is_and_hands_out_what_it_has(shelf, data, monkeypatch):
    monkeypatch.setattr(walk, "REFINE_SECONDS", 0.0)
    told, parts = [], []
    whole = run(
        shelf, ["pixels"], data, pixels=PIXELS, deletion_pixels=0, stages=["stride8"],
        progress=lambda done, todo, _: told.append((done, todo)), refine=parts.append,
    )  # fmt: skip
    assert told == [(done, 8) for done in range(1, 9)]
    sizes = [len(part) for part in parts]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] == len(whole) and not parts[0].complete
    first = parts[0].columns("pixels", "stride8")
    for name in ("auc", "row", "right"):
        np.testing.assert_array_equal(first[name], whole.columns("pixels", "stride8")[name][: sizes[0]])
    assert parts[0].summary("pixels", "stride8", "auc") and whole.stages("pixels") == ("stride8",)
    assert "no pixel of pixels was asked" in said(lambda: whole.deletion("pixels", "stride8"))


def test_it_stops_when_it_is_told(shelf, data):
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Stopped):
        run(shelf, ["pixels"], data, stop=stop, **SHORT)


def test_files_give_back_every_column_and_table(audit, tmp_path):
    write_audit(audit, tmp_path / "new" / "folder")
    found = read_audit(tmp_path / "new" / "folder")
    for model in audit.models:
        same(audit, found, model)
        assert found.entry(model).stages == audit.entry(model).stages
    assert (
        found.images == audit.images and found.skipped == audit.skipped and found.versions == audit.versions
    )
    assert plain(report(found)) == plain(report(audit))
    manifest = json.loads((tmp_path / "new" / "folder" / "manifest.json").read_text())
    assert manifest["models"][0]["checkpoint"] == "m" * 64
    again = write_audit(audit, tmp_path / "other")
    for name in ("columns.npz", "manifest.json"):
        assert (again / name).read_bytes() == (tmp_path / "new" / "folder" / name).read_bytes()


def test_damaged_files_are_refused_in_one_sentence(tmp_path):
    assert "no audit" in said(lambda: read_audit(tmp_path))
    folder = write_audit(synthetic_audit(0, images=6, each=8), tmp_path / "a")
    manifest, columns = folder / "manifest.json", folder / "columns.npz"
    whole, data = manifest.read_text(), columns.read_bytes()
    for broken in (whole[:80], "[]", whole.replace('"seed"', '"sed"'), whole.replace("columns.npz", "x.npz")):
        manifest.write_text(broken)
        assert "damaged" in said(lambda: read_audit(folder))
    manifest.write_text(whole.replace("loupe-audit-1", "loupe-audit-0"))
    assert "another version" in said(lambda: read_audit(folder))
    manifest.write_text(whole)
    columns.write_bytes(data[:-9])
    assert "columns.npz" in said(lambda: read_audit(folder))
    columns.unlink()
    assert "lacks columns.npz" in said(lambda: read_audit(folder))
    (tmp_path / "file").write_text("")
    assert "cannot be written" in said(lambda: write_audit(synthetic_audit(0, 6, 8), tmp_path / "file" / "a"))


def test_figures_carry_the_checkpoints_hash_and_are_the_same_again():
    whole = synthetic_audit(0, images=6, each=10)
    first, name = whole.entries[0], "stride4"
    one = {field: {name: getattr(first, field)[name]} for field in ("stages", "scores", "deletion")}
    audit = replace(whole, entries=(replace(first, **one),))
    made = {figure: draw(audit, figure, "svg") for figure in FIGURES}
    for svg in made.values():
        assert b"cccccccc" in svg and b"one training seed" in svg and b"stride4" in svg
    assert draw(audit, "areas", "svg") == made["areas"]
    assert draw(audit, "correctness", "pdf").startswith(b"%PDF")
    assert "areas" in said(lambda: draw(audit, "pie"))
    assert "no pixel was asked" in said(lambda: draw(replace(whole, entries=whole.entries[2:]), "deletion"))


def test_what_cannot_be_audited_is_refused_in_one_sentence(shelf, data):
    def refusal(models, dataset=data, **given) -> str:
        return said(lambda: run(shelf, models, dataset, **given))

    assert "no model" in refusal([])
    assert "twice" in refusal(["pixels", "pixels"])
    assert "stride2" in refusal(["pixels"], stages=["stride2"])
    assert "at least 1" in refusal(["pixels"], pixels=0)
    assert "at least 0" in refusal(["pixels"], deletion_pixels=-1)
    assert "no image" in refusal(["pixels"], Toys([]))
    assert "categories" in refusal(["pixels"], Toys([blocks(0, (48, 72))], classes=CLASSES[:4]))
    nothing = toys(6)
    nothing.samples = nothing.samples[5:]
    assert "labelled pixel" in refusal(["pixels"], nothing)
    lost = Toys([blocks(0, (48, 72))], broken={0: OSError("gone\nfor good")})
    assert "gone for good" in one_sentence(refusal(["pixels"], lost))


def test_models_without_an_affinity_are_left_out_with_a_sentence(data):
    shelf = Shelf()
    shelf.made["plain"] = toy("hfgd", classes=CLASSES)
    shelf.made[
        "plain"
    ].decoder.guided = False  # as SemanticFPN trained jointly: nobody looks at its context encoder
    found = run(shelf, ["plain", "pixels"], data, limit=2, pixels=20, deletion_pixels=0, stages=["stride16"])
    assert found.models == ("pixels",) and "plain has no affinity" in found.refused["plain"]
    assert "plain has no affinity" in said(lambda: found.columns("plain", "stride16"))
    assert "plain has no affinity" in said(lambda: run(shelf, ["plain"], data, limit=2))
    other = run(shelf, ["hfgd", "pixels"], data, limit=2, pixels=20, deletion_pixels=0, stages=["stride16"])
    assert "it has context" in other.refused["hfgd"]
