"""The check of a folder counts what is there, names what is wrong, and changes nothing; `data check` and `data list`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from engine import cli
from engine.data.check import check, spread
from engine.data.contact_sheet import contact_sheet
from engine.data.datasets import open_dataset
from engine.data.folders import open_folder
from engine.errors import LoupeError
from tests.engine.data import layouts
from tests.engine.data.layouts import SIZE, grey, image

AREA = SIZE[0] * SIZE[1]


@pytest.fixture
def faulty(tmp_path):
    """ADE20K's layout: of 7 images in val one without labels, one unreadable, one of another size, one with odd labels."""
    layouts.ade20k(tmp_path)
    home = tmp_path / "ADEChallengeData2016"
    for stem in ("b_odd", "c_size", "d_junk", "e_lone", "f_more", "g_more"):
        image(home / f"images/validation/{stem}.jpg", size=(30, 20) if stem == "c_size" else SIZE)
    grey(home / "annotations/validation/b_odd.png", [1, 200, 1, 201, 0])
    grey(home / "annotations/validation/c_size.png", [1])
    (home / "annotations/validation/d_junk.png").write_bytes(b"no image")
    grey(home / "annotations/validation/f_more.png", [200])
    grey(home / "annotations/validation/g_more.png", [1])
    grey(home / "annotations/validation/stray.png", [1])
    return tmp_path


def test_a_check_tells_what_is_there_and_what_is_wrong(faulty):
    before = sorted(faulty.rglob("*"))
    told = []
    found = check("ade20k", faulty, progress=lambda *seen: told.append(seen))
    train, val = found.splits
    assert train.clean and not val.clean and not found.clean and train.pixels[149] == AREA // 4
    assert (val.images, val.pairs, val.read) == (7, 6, 6) and told == [(n, 7) for n in range(1, 8)]
    assert val.without_labels.first == ("images/validation/e_lone.jpg",) and val.without_labels.count == 1
    assert val.without_image.first == ("annotations/validation/stray.png",)
    ((file, reason),) = val.unreadable
    assert file == "annotations/validation/d_junk.png" and "cannot be read" in reason
    assert val.mismatched[0][1] == "c_size.png is 40×24 pixels, its image c_size.jpg 20×30"
    first, second = val.unexpected
    assert (first.value, first.files, first.pixels) == ("200", 2, AREA + AREA // 5)
    assert (second.value, second.files, second.file) == ("201", 1, "annotations/validation/b_odd.png")
    assert val.ignored == AREA // 4 + AREA // 5 and val.pixels[0] == AREA // 4 + 2 * AREA // 5 + AREA
    assert sum(val.pixels) + val.ignored + first.pixels + second.pixels == 4 * AREA
    assert val.share_ignored == pytest.approx(val.ignored / (sum(val.pixels) + val.ignored))
    assert val.smallest == val.largest == SIZE and sorted(faulty.rglob("*")) == before


def test_a_limit_looks_at_some_and_stop_ends_early(faulty):
    assert check("ade20k", faulty, "val", limit=2).splits[0].read == 2
    asked = iter([False, False, True])
    found = check("ade20k", faulty, "val", stop=lambda: next(asked)).splits[0]
    assert (found.read, found.pairs) == (2, 6)
    assert spread(10, 2) == [2, 7] and spread(3, 5) == [0, 1, 2] and spread(7, None) == list(range(7))
    with pytest.raises(LoupeError, match="limit of 0"):
        check("ade20k", faulty, limit=0)


def test_a_split_that_is_not_there_is_told_and_without_any_the_check_is_refused(tmp_path):
    layouts.pascal_voc(tmp_path)
    (tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt").unlink()
    train, val, _ = check("pascal-voc", tmp_path).splits
    assert "train.txt cannot be read" in train.problem and not train.clean and train.pixels == ()
    assert val.clean and val.pixels[20] == AREA // 4
    with pytest.raises(LoupeError, match=r"train\.txt cannot be read"):
        check("pascal-voc", tmp_path, "train")
    with pytest.raises(LoupeError, match="holds no image images/training"):
        check("ade20k", tmp_path)
    with pytest.raises(LoupeError, match='no split "test"'):
        check("ade20k", tmp_path, "test")


def test_a_matrix_and_the_background_of_all_other_numbers_are_counted(tmp_path):
    layouts.pascal_context(tmp_path)
    val = check("pascal-context-60", tmp_path, "val").splits[0]
    assert val.clean and val.ignored == 0 and val.pixels[0] == 2 * AREA // 5 and val.pixels[11] == AREA // 5
    assert val.without_labels.first == ("JPEGImages/2008_000007.jpg",)
    assert check("pascal-context-59", tmp_path, "val").splits[0].share_ignored == pytest.approx(0.4)


def test_a_sheet_shows_images_beside_their_labels_in_the_classes_colours(faulty):
    data = open_folder("ade20k", "val", faulty)
    sheet = contact_sheet(data)
    assert np.array_equal(sheet, contact_sheet(data)), "the same every time"
    pixels = {tuple(each) for each in np.asarray(sheet).reshape(-1, 3).tolist()}
    for k in (0, 1, 149):
        assert tuple(data.colours[k].tolist()) in pixels
    assert tuple(data.colours[2].tolist()) not in pixels
    left, right = np.asarray(sheet)[8 + 50, 8 + 50], np.asarray(sheet)[8 + 50, 8 + 192 + 2 + 7]
    assert abs(left.astype(int) - 90).max() <= 3 and right.tolist() in [
        data.colours[k].tolist() for k in (0, 1, 149)
    ] + [[200] * 3]
    assert contact_sheet(open_dataset("scenes-val"), 2).width == 2 * (2 * 192 + 16) + 8
    with pytest.raises(LoupeError, match="sheet of 0"):
        contact_sheet(data, 0)
    (faulty / "ADEChallengeData2016/annotations/training/ADE_train_00000001.png").write_bytes(b"")
    with pytest.raises(LoupeError, match=r"ade20k-train gives no sheet: .*cannot be read"):
        contact_sheet(open_folder("ade20k", "train", faulty))


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = cli.main([str(each) for each in arguments])
    return code, *capsys.readouterr()


def test_the_command_prints_one_object_or_tables(faulty, capsys, tmp_path):
    sheet = tmp_path / "out" / "sheet.png"
    code, out, err = run(capsys, "data", "check", "ade20k", "--root", faulty, "--sheet", sheet, "--json")
    found = json.loads(out)
    assert code == 0 and err == "" and out.count("\n") == 1 and not found["clean"]
    assert found["home"] == str(faulty / "ADEChallengeData2016") and found["sheet"] == str(sheet)
    train, val = found["splits"]
    assert train["pixels"]["wall"] == AREA // 4 and val["without_labels"]["count"] == 1
    assert [each["value"] for each in val["unexpected"]] == ["200", "201"]
    with Image.open(sheet) as drawn:
        assert drawn.mode == "RGB"
    code, out, _ = run(capsys, "data", "check", "ade20k", "--root", faulty, "--split", "val")
    assert out == run(capsys, "data", "check", "ade20k-val", "--root", faulty)[1]
    assert code == 0 and "val: without labels: images/validation/e_lone.jpg" in out and "wall" in out
    assert "label 200 is none of the categories" in out and "c_size.png is 40×24" in out


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    for arguments, sentence in (
        (("ade20k", "--root", tmp_path), "holds no image images/training/*.jpg"),
        (("ade20k", "--root", tmp_path / "nowhere"), "is no folder"),
        (("nothing",), "known are ade20k"),
        (("ade20k", "--root", tmp_path, "--sheet", "x.jpg"), "must be a .png file"),
    ):
        code, out, err = run(capsys, "data", "check", *arguments)
        assert code == 1 and out == "" and err.count("\n") == 1 and sentence in err


def test_the_list_says_what_is_there_and_leaves_out_what_is_wrong(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path))
    layouts.ade20k(tmp_path)
    (tmp_path / "wrong.toml").write_text("title = 1")
    code, out, _ = run(capsys, "data", "list", "--json")
    found = json.loads(out)
    there = {each["data"]: each["there"] for each in found["datasets"]}
    assert code == 0 and len(there) == 7 and [name for name in there if there[name]] == ["ade20k"]
    assert "wrong.toml" in found["problems"][0] and found["painted"] == ["scenes-train", "scenes-val"]
    code, out, _ = run(capsys, "data", "list")
    assert code == 0 and "pascal-voc" in out and "left out: wrong.toml" in out
