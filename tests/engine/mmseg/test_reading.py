"""Files of theirs: read without running them, imported with provenance, refused in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections import OrderedDict
from datetime import datetime
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine import Engine, checkpoints
from engine.cli import main
from engine.errors import LoupeError
from engine.mmseg import import_checkpoint
from engine.mmseg.pickles import read_state_dict
from tests.engine.test_golden import GOLDEN, error, state_dict

NAME = "mmseg_swin_tiny_cpt"


@pytest.fixture(scope="module")
def weights():
    return state_dict(NAME)


@pytest.fixture(scope="module")
def theirs(weights, tmp_path_factory):
    """A checkpoint as mmengine writes it: tensors, a record of the run, an auxiliary head."""
    path = tmp_path_factory.mktemp("theirs") / "iter_160000.pth"
    extra = {
        "decode_head.loss_mask_decode.criterion.empty_weight": torch.ones(151),
        "auxiliary_head.conv_seg.weight": torch.ones(150, 4, 1, 1),
        "backbone.stages.0.blocks.0.attn.w_msa.relative_position_index": torch.zeros(
            49, 49, dtype=torch.int64
        ),
    }
    names = [f"thing {i}" for i in range(150)]
    meta = {
        "dataset_meta": {"classes": names, "palette": np.zeros((150, 3))},
        "iter": 160000,
        "mmseg_version": "1.2.2",
    }
    torch.save({"meta": meta, "state_dict": OrderedDict(weights | extra), "optimizer": {"state": {}}}, path)
    return path


def test_a_file_of_theirs_becomes_one_of_ours(theirs, tmp_path):
    arrays = np.load(GOLDEN / f"{NAME}.npz")
    out = tmp_path / "swin.safetensors"
    found = import_checkpoint(theirs, out, memory_share=0.2)
    assert found.unused == (
        "auxiliary_head.conv_seg.weight",
        "backbone.stages.0.blocks.0.attn.w_msa.relative_position_index",
        "decode_head.loss_mask_decode.criterion.empty_weight",
    )
    read = checkpoints.load(out)
    with torch.no_grad():
        logits = read.segmenter(torch.from_numpy(arrays["input.image"]))
    assert error(logits, arrays["eval.logits"]) < 1e-5
    assert read.segmenter.spec.classes[149] == "thing 149"
    kept = read.provenance
    assert kept["imported_from"] == "iter_160000.pth" and kept["imported_hash"] == checkpoints.file_hash(
        theirs
    )
    assert kept["unused_keys"] == list(found.unused) and kept["meta"]["iter"] == 160000
    # And the engine runs it as any other model.
    trace = Engine(device="cpu").trace(str(out), np.zeros((40, 60, 3), np.uint8))
    assert trace.labels.shape == (40, 60) and len(trace.stages) == 3


def test_the_command_says_what_it_took_for_granted(theirs, tmp_path, capsys):
    out = tmp_path / "a.safetensors"
    assert main(["import", str(theirs), "--out", str(out), "--classes", "ade20k", "--half", "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert result["backbone"] == "mmseg/swin_tiny_window7" and len(result["unused_keys"]) == 3
    assert result["classes"][:3] == ["wall", "building", "sky"] and result["memory_share"] == 0.1
    assert "note: μ is not in the file" in said.err and out.stat().st_size < 0.6 * theirs.stat().st_size
    for arguments, sentence in (
        (["--classes", "cityscapes"], "19 class names for a model of 150 categories"),
        (["--classes", "nothing"], 'there is no list of classes "nothing"'),
        (["--output-stride", "8"], "only 32 can be had"),
    ):
        assert main(["import", str(theirs), "--out", str(tmp_path / "b.safetensors"), *arguments]) == 1
        said = capsys.readouterr()
        assert said.out == "" and sentence in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "b.safetensors").exists()


def test_other_containers_are_read(weights, tmp_path):
    some = dict(list(weights.items())[:5])
    legacy, wrapped, safe = tmp_path / "legacy.pth", tmp_path / "ddp.pth", tmp_path / "safe.safetensors"
    torch.save(some, legacy, _use_new_zipfile_serialization=False)
    torch.save({"model": {f"module.{key}": torch.nn.Parameter(x) for key, x in some.items()}}, wrapped)
    save_file(some, safe)
    for path in (legacy, wrapped, safe):
        read, meta = read_state_dict(path)
        assert meta == {} and sorted(read) == sorted(some)
        assert all(torch.equal(read[key], x) and not read[key].requires_grad for key, x in some.items())


class Runs:
    """Would make a folder on reading."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path):
    folder = tmp_path / "made"
    for name, settings in (("zip.pth", {}), ("old.pth", {"_use_new_zipfile_serialization": False})):
        torch.save({"state_dict": {"a": torch.ones(1)}, "meta": Runs(folder)}, tmp_path / name, **settings)
        with pytest.raises(LoupeError, match=rf"{name} is not opened: it wants (posix|nt)\.mkdir to run"):
            read_state_dict(tmp_path / name)
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(Runs(folder)))
    with pytest.raises(LoupeError):
        read_state_dict(bare)
    assert not folder.exists()


def test_objects_of_their_packages_are_left_empty(tmp_path, monkeypatch):
    """As mmengine's message hub is: state, items, and a class that is not installed where the file is read."""
    name = "mmengine.logging.history_buffer"
    module = ModuleType(name)
    history = type("HistoryBuffer", (list,), {"__module__": name})
    module.HistoryBuffer = history  # pyright: ignore[reportAttributeAccessIssue]
    for each in ("mmengine", "mmengine.logging", name):
        monkeypatch.setitem(sys.modules, each, module)
    hub = history([1, 2])
    hub.window = 5
    path = tmp_path / "hub.pth"
    log = {"loss": hub, "at": np.float64(3), "array": np.arange(3), "when": datetime(2025, 1, 1)}
    torch.save({"message_hub": log, "meta": {"iter": 3}, "state_dict": {"a": torch.arange(3.0)}}, path)
    monkeypatch.undo()
    read, meta = read_state_dict(path)
    assert read["a"].tolist() == [0, 1, 2] and meta == {"iter": 3}


def test_what_is_no_checkpoint_is_one_sentence(theirs, tmp_path):
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.pth").write_text("no checkpoint")
    (tmp_path / "cut.pth").write_bytes(theirs.read_bytes()[:100_000])
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"state_dict": {"a": 1}}, tmp_path / "numbers.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    for path in [*sorted(tmp_path.glob("*")), tmp_path / "missing.pth"]:
        with pytest.raises(LoupeError) as caught:
            read_state_dict(path)
        assert path.name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(LoupeError, match=r"must end in \.safetensors"):
        import_checkpoint(theirs, tmp_path / "out.pth")
