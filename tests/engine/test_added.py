"""Models of one's own: added from bytes, renamed, removed; what cannot be is one sentence and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch

from engine import Engine, checkpoints
from engine.added import add, is_own, remove, rename
from engine.catalogue import ASSETS
from engine.errors import LoupeError
from tests.engine.test_golden import state_dict
from tests.stand_ins import save


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ours")
    save(folder, "tiny")
    return (folder / "tiny.safetensors").read_bytes()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    path = tmp_path_factory.mktemp("theirs") / "iter.pth"
    torch.save({"state_dict": state_dict("mmseg_resnet50c_cpt")}, path)
    return path.read_bytes()


def test_a_model_is_added_found_renamed_and_removed(ours, folder):
    added = add(ours, "C:\\stuff\\My model (1).safetensors", folder)
    assert added.path == folder / "My-model-1.safetensors" and added.notes == () and not added.imported
    engine = Engine(device="cpu", models_dir=folder)
    assert engine.models_folder == folder and list(engine.models()) == ["My-model-1"]
    (folder / "My-model-1.memory.safetensors").write_bytes(b"moments")
    card = engine.models()["My-model-1"]
    assert is_own(card, folder)
    rename(card, "better", folder)
    assert list(engine.models()) == ["better"] and (folder / "better.memory.safetensors").is_file()
    remove(engine.models()["better"], folder)
    assert engine.models() == {} and list(folder.iterdir()) == []


def test_theirs_is_imported_under_its_own_name(theirs, folder):
    added = add(theirs, "iter_160000.pth", folder, memory_share=0.2)
    assert added.imported and added.path.name == "iter_160000.safetensors"
    header = checkpoints.read_header(added.path)
    assert header.provenance["imported_from"] == "iter_160000.pth" and header.spec.memory_share == 0.2
    assert [path.name for path in folder.iterdir()] == ["iter_160000.safetensors"]


def test_what_cannot_be_added_is_one_sentence_and_leaves_nothing(ours, theirs, folder):
    add(ours, "here.safetensors", folder)
    for content, name, sentence in (
        (ours, "here.safetensors", "there is a model here already"),
        (ours, "notes.txt", "must end in"),
        (ours[:2000], "cut.safetensors", "truncated or damaged"),
        (b"nothing", "none.pth", "cannot be read"),
        (theirs[:5000], "cut.pth", "cannot be read"),
        (b"", "empty.safetensors", "truncated or damaged"),
    ):
        with pytest.raises(LoupeError) as caught:
            add(content, name, folder)
        assert sentence in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(LoupeError, match="19 class names for a model of 150"):
        add(theirs, "a.pth", folder, classes=[str(i) for i in range(19)])
    for name in ("../away", "a/b", "", ".hidden", "backbone", "x.memory", "n" * 90):
        with pytest.raises(LoupeError, match="cannot be a model's name"):
            rename(Engine(device="cpu", models_dir=folder).models()["here"], name, folder)
    assert [path.name for path in folder.iterdir()] == ["here.safetensors"]


def test_shipped_models_stay(folder):
    card = Engine(device="cpu", models_dir=ASSETS / "models").models()["cpt"]
    assert not is_own(card, ASSETS / "models")
    for act in (lambda: rename(card, "mine", folder), lambda: remove(card, ASSETS / "models")):
        with pytest.raises(LoupeError, match="ships with the program"):
            act()
    assert card.path.is_file()


def test_added_models_stand_beside_the_shipped_ones(ours, tmp_path, monkeypatch):
    monkeypatch.delenv("LOUPE_MODELS", raising=False)
    monkeypatch.setattr("engine.catalogue.OWN", tmp_path)
    add(ours, "mine.safetensors", tmp_path)
    add(ours, "cpt.safetensors", tmp_path)
    engine = Engine(device="cpu")
    assert (
        list(engine.models())[-1] == "mine" and "cpt" in engine.models() and engine.models_folder == tmp_path
    )
    assert engine.models()["cpt"].path.parent == ASSETS / "models"
    assert "has the name of another model" in engine.problems()["cpt.safetensors"]
