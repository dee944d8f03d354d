"""Datasets in folders: the official layouts give the labels that are meant, and what is wrong is one sentence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.class_lists import class_list
from engine.data.datasets import index_of, open_dataset
from engine.data.descriptions import describe, found, names
from engine.data.folders import FolderDataset, open_folder, read_image
from engine.data.label_files import decode, read_labels
from engine.errors import LoupeError
from tests.engine.data import layouts
from tests.engine.data.layouts import SIZE, grey, image, listed, matrix

COUNTS = {
    "ade20k": 150,
    "cityscapes": 19,
    "coco-stuff-10k": 171,
    "coco-stuff-164k": 171,
    "pascal-context-59": 59,
    "pascal-context-60": 60,
    "pascal-voc": 21,
}
OFFICIAL = {
    "ade20k": (layouts.ade20k, "val", [255, 0, 1, 149]),
    "cityscapes": (layouts.cityscapes, "val", [0, 255, 18, 255, 255, 5]),
    "pascal-voc": (layouts.pascal_voc, "val", [0, 20, 255, 15]),
    "pascal-context-59": (layouts.pascal_context, "val", [0, 58, 10, 255, 255]),
    "pascal-context-60": (layouts.pascal_context, "val", [1, 59, 11, 0, 0]),
    "coco-stuff-164k": (layouts.coco_stuff_164k, "val", [0, 10, 11, 170, 255]),
    "coco-stuff-10k": (layouts.coco_stuff_10k, "test", [255, 0, 10, 11, 170]),
}


def test_every_shipped_description_reaches_each_category_by_one_number():
    assert names() == sorted(COUNTS)
    for name, count in COUNTS.items():
        about = describe(name)
        assert len(about.classes) == len(about.colours) == count and about.title and about.url
        reached = Counter(about.table[about.table < 255].tolist())
        if name == "pascal-context-60":  # every other number is background
            assert reached.pop(0) == 65536 - 59
            assert set(reached) == set(range(1, 60))
        else:
            assert set(reached) == set(range(count))
        assert set(reached.values()) == {1}
        assert not (about.known & (about.table == 255)).all()


def test_the_numbers_of_cocos_two_forms_differ_by_one():
    full, small = describe("coco-stuff-164k"), describe("coco-stuff-10k")
    assert np.array_equal(full.table[:182], small.table[1:183])
    assert np.flatnonzero(~full.known[:182]).tolist() == [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]


def test_the_ids_of_pascal_context_have_the_names_of_our_list():
    ids = {
        "aeroplane": 2,
        "table": 397,
        "tvmonitor": 427,
        "bag": 9,
        "mouse": 260,
        "curtain": 105,
        "plate": 295,
    }
    ids |= {"bedclothes": 19, "track": 415, "tree": 420, "wood": 458, "motorbike": 258, "sidewalk": 355}
    few, more = describe("pascal-context-59"), describe("pascal-context-60")
    for name, number in ids.items():
        assert few.classes[few.table[number]] == name == more.classes[more.table[number]]


def test_the_ids_of_cityscapes_have_the_names_of_our_list():
    ids = {"road": 7, "wall": 12, "traffic light": 19, "sky": 23, "rider": 25, "train": 31, "bicycle": 33}
    about = describe("cityscapes")
    assert {name: about.classes[about.table[number]] for name, number in ids.items()} == {n: n for n in ids}
    assert about.known[:34].all() and about.known[255] and not about.known[34:255].any()


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_layout_gives_the_labels_that_are_meant(tmp_path, name):
    make, split, expected = OFFICIAL[name]
    make(tmp_path)
    about = describe(name)
    home = tmp_path / about.home
    for root in (tmp_path, home, home.parent):  # the folder itself, or one above
        data = open_folder(name, split, root)
        sample = data[0]
        assert data.home == home and data.name == f"{name}-{split}"
        assert sample.image.shape == (*SIZE, 3) and sample.image.dtype == sample.labels.dtype == np.uint8
        assert sample.modes is None and sample.id == data.id_of(0) and (home / f"{sample.id}").parent.is_dir()
        assert np.array_equal(sample.labels, np.resize(expected, SIZE[1])[None].repeat(SIZE[0], 0))
        assert data.classes == about.classes and data.orphans == ()
    for each in about.splits:
        assert len(open_folder(name, each, tmp_path)) >= 1


def test_files_are_walked_in_order_and_those_without_a_partner_are_told(tmp_path):
    layouts.cityscapes(tmp_path)
    home = tmp_path / "cityscapes"
    image(home / "leftImg8bit/val/lindau/lone_leftImg8bit.png")
    grey(home / "gtFine/val/lindau/stray_gtFine_labelIds.png", [7])
    image(home / "leftImg8bit/val/lindau/._lone_leftImg8bit.png")  # macOS leaves these
    data = open_folder("cityscapes", "val", tmp_path)
    below = "leftImg8bit/val/{0}/{0}_000000_000019_leftImg8bit"
    assert [sample.id for sample in data] == [below.format("frankfurt"), below.format("lindau")]
    assert data.unlabelled == ("leftImg8bit/val/lindau/lone_leftImg8bit.png",)
    assert data.orphans == ("gtFine/val/lindau/stray_gtFine_labelIds.png",)
    assert index_of(data, below.format("lindau")) == 1
    with pytest.raises(LoupeError, match="has no image 'nothing'"):
        index_of(data, "nothing")
    with pytest.raises(IndexError):
        data[2]


def test_a_list_keeps_its_order_and_what_it_names_in_vain_is_told(tmp_path):
    layouts.pascal_voc(tmp_path)
    home = tmp_path / "VOCdevkit/VOC2012"
    trainval = open_folder("pascal-voc", "trainval", tmp_path)
    assert [each.id for each in trainval] == ["JPEGImages/2007_000033", "JPEGImages/2007_000032"]
    layouts.indexed(home / "SegmentationClass/2009_000009.png", [1])
    stems = ["2007_000033", "2008_000001", "2009_000009", "2010_000000"]
    listed(home / "ImageSets/Segmentation/val.txt", stems)
    data = open_folder("pascal-voc", "val", tmp_path)
    assert (len(data), data.unlabelled) == (1, ("JPEGImages/2008_000001.jpg",))
    assert data.orphans == ("SegmentationClass/2009_000009.png",)
    assert data.absent == ("JPEGImages/2010_000000",)


def test_a_dataset_is_opened_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path))
    with pytest.raises(
        LoupeError, match=r"not here: .*ADEChallengeData2016 is no folder; unpack it there \(from"
    ):
        open_dataset("ade20k-val")
    layouts.ade20k(tmp_path)
    data = open_dataset("ade20k-val")
    assert isinstance(data, FolderDataset) and len(data) == 1 and data.classes == class_list("ade20k")
    with pytest.raises(LoupeError, match=r"'ade20k-test'.*scenes-train, scenes-val, and a split.*pascal-voc"):
        open_dataset("ade20k-test")
    monkeypatch.delenv("LOUPE_DATA")
    monkeypatch.setattr("engine.data.datasets.DATA_ROOT", tmp_path)
    assert len(open_dataset("ade20k-val")) == 1


MINE = """
classes = ["cat", "dog", "hen"]
[labels]
first = 1
ignore = [0]
[splits.all]
images = "pictures/**/*.png"
labels = "labels/{folder}/{stem}.png"
"""


def described(folder: Path, old: str = "", new: str = "") -> Path:
    path = folder / "mine.toml"
    assert old in MINE
    path.write_text(MINE.replace(old, new, 1) if old else MINE, encoding="utf-8")
    return path


def test_ones_own_description_is_opened_by_path_and_by_name(tmp_path, monkeypatch):
    path = described(tmp_path)
    for at in ("a", "sub/deep/a"):
        image(tmp_path / f"pictures/{at}.png")
        grey(tmp_path / f"labels/{at}.png", [0, 1, 2, 3])
    data = open_folder(path, "all", tmp_path)
    assert [each.id for each in data] == ["pictures/a", "pictures/sub/deep/a"]
    assert data[1].labels[0, :4].tolist() == [255, 0, 1, 2]
    assert data.colours.shape == (3, 3) and len(np.unique(data.colours, axis=0)) == 3
    monkeypatch.setenv("LOUPE_DATA", str(tmp_path))
    assert len(open_dataset("mine-all")) == 2 and "mine" in found()
    path.write_text("classes =", encoding="utf-8")
    with pytest.raises(LoupeError, match=r"mine\.toml is not valid TOML"):
        open_dataset("mine-all")
    path.rename(tmp_path / "ade20k.toml")
    assert found()["ade20k"].parent.name == "datasets", "a shipped name keeps its meaning"


def test_label_images_may_be_in_the_colours_of_the_classes(tmp_path):
    path = described(
        tmp_path,
        "first = 1\nignore = [0]",
        'colours = true\nignore = ["#000000"]',
    )
    path.write_text("colours = [[255, 0, 0], [0, 255, 0], [1, 2, 3]]\n" + path.read_text())
    image(tmp_path / "pictures/a.png", size=(2, 2))
    (tmp_path / "labels").mkdir()
    drawn = np.array([[[1, 2, 3], [0, 0, 0]], [[255, 0, 0], [0, 255, 0]]], np.uint8)
    Image.fromarray(drawn).save(tmp_path / "labels/a.png")
    data = open_folder(path, "all", tmp_path)
    assert data[0].labels.tolist() == [[2, 255], [0, 1]] and data.colours[2].tolist() == [1, 2, 3]
    drawn[0, 0, 2] = 4
    Image.fromarray(drawn).save(tmp_path / "labels/a.png")
    with pytest.raises(LoupeError, match=r"a\.png holds the label #010204"):
        data[0]
    path.write_text(path.read_text().replace("ignore =", 'others = "ignore"\nignore ='))
    assert open_folder(path, "all", tmp_path)[0].labels.tolist() == [[255, 255], [0, 1]]


@pytest.mark.parametrize(("bits", "most"), [(1, 1), (2, 3), (4, 15), (8, 200)])
@pytest.mark.parametrize("kind", ["L", "P"])
def test_numbers_in_few_bits_are_read_as_they_are_stored(tmp_path, bits, most, kind):
    """Pillow writes no grey of 2 or 4 bits, so that the header of a palette image is turned into one of grey."""
    import struct
    import zlib

    stored = np.array([[0, 1, most, most - 1] * 2], np.uint8)
    packed = np.packbits(np.unpackbits(stored[..., None], axis=-1)[..., 8 - bits :].reshape(1, -1), axis=1)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 8, 1, bits, 0 if kind == "L" else 3, 0, 0, 0)
    colours = chunk(b"PLTE", bytes(range(3 * (most + 1)))[: 3 * (most + 1)] if bits < 8 else bytes(768))
    body = zlib.compress(b"\0" + packed.tobytes())
    (tmp_path / "few.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (colours if kind == "P" else b"")
        + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )  # fmt: skip
    assert read_labels(tmp_path / "few.png").tolist() == stored.tolist()


def test_sixteen_bits_are_read_and_pictures_are_refused(tmp_path):
    numbers = layouts.stripes([0, 300, 65535])
    Image.fromarray(numbers).save(tmp_path / "deep.png")
    assert np.array_equal(read_labels(tmp_path / "deep.png"), numbers)
    image(tmp_path / "picture.png")
    with pytest.raises(LoupeError, match=r"picture\.png are a picture \(RGB\)"):
        read_labels(tmp_path / "picture.png")
    image(tmp_path / "lossy.jpg")
    with pytest.raises(LoupeError, match=r"lossy\.jpg cannot be read"):
        read_labels(tmp_path / "lossy.jpg")


@pytest.mark.parametrize("name", ["none.png", "junk.png", "cut.png"])
def test_an_unreadable_file_is_named(tmp_path, name):
    (tmp_path / "junk.png").write_bytes(b"no image")
    grey(tmp_path / "whole.png", list(range(40)))
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    for read in (read_image, read_labels):
        with pytest.raises(LoupeError, match=rf"{name} cannot be read"):
            read(tmp_path / name)


def test_a_damaged_matrix_is_named(tmp_path):
    matrix(tmp_path / "m.mat", "LabelMap", list(range(40)))
    assert read_labels(tmp_path / "m.mat", "LabelMap")[0, :3].tolist() == [0, 1, 2]
    with pytest.raises(LoupeError, match=r"m\.mat holds no variable S"):
        read_labels(tmp_path / "m.mat", "S")
    with pytest.raises(LoupeError, match=r"m\.mat are of shape .* not one number a pixel"):
        read_labels(tmp_path / "m.mat", "other")
    whole = (tmp_path / "m.mat").read_bytes()
    broken = bytearray(whole)
    broken[150:170] = bytes(20)
    for damaged in (whole[:180], bytes(broken), whole[:90], b"", b"junk" * 100):
        (tmp_path / "m.mat").write_bytes(damaged)
        with pytest.raises(LoupeError, match=r"m\.mat"):
            read_labels(tmp_path / "m.mat", "LabelMap")


def test_sizes_that_differ_and_unexpected_numbers_are_told_with_the_file(tmp_path):
    path = described(tmp_path)
    image(tmp_path / "pictures/a.png", size=(24, 41))
    image(tmp_path / "pictures/b.png")
    grey(tmp_path / "labels/a.png", [1])
    grey(tmp_path / "labels/b.png", [0, 1, 2, 3, 9, 4])
    data = open_folder(path, "all", tmp_path)
    with pytest.raises(LoupeError, match=r"a\.png is 40×24 pixels, its image a\.png 41×24"):
        data[0]
    with pytest.raises(LoupeError, match=r"b\.png holds the labels 4, 9, not of the 3 categories of mine"):
        data[1]
    told = decode(tmp_path / "labels/b.png", data.description)
    assert told.strange == {"4": 6 * 24, "9": 6 * 24}


def test_lists_cannot_leave_the_folder(tmp_path):
    layouts.pascal_voc(tmp_path)
    for line in ("../../2007_000032", "/etc/passwd", "a\\..\\b"):
        listed(tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", [line])
        with pytest.raises(LoupeError, match=r"a line of ImageSets.* must be a path within"):
            open_folder("pascal-voc", "val", tmp_path)
    (tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(LoupeError, match=r"the list .*val\.txt cannot be read"):
        open_folder("pascal-voc", "val", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("pictures/**", "../pictures", "splits.all.images is '../pictures"),
        ("labels/{folder}", "/labels", "splits.all.labels is '/labels"),
        ('"cat", ', '"cat", "cat", ', "4 classes: 2 to 255 names, each once"),
        ('"cat", ', "".join(f'"{n}", ' for n in range(254)), "256 classes"),
        ("first = 1", 'first = 1\nothers = "refused"', "labels.others is 'refused'"),
        ("first = 1", "map = { 1 = 0, 2 = 1 }", "no label leads to 1 of 3 categories, first category 2"),
        ("first = 1", "map = { 1 = 0, 2 = 1, 3 = 3 }", "a label 3 cannot be category 3 of 3"),
        ("first = 1", "map = { cat = 0 }", "labels.map must lead from numbers"),
        ("first = 1", "first = 1\nmap = { 1 = 0 }", "exclude each other"),
        ("ignore = [0]", "ignore = [2]", "the label 2 is both ignored and category 1"),
        ("ignore = [0]", "ignore = [-1]", "labels.ignore must be whole numbers"),
        ("first = 1", "colours = true", "labels.ignore has 0"),
        ("first = 1", "frist = 1", "the key labels.frist is unknown"),
        ("first = 1", "first = true", "labels.first is True"),
        ("[labels]", "colours = [[0, 0, 0]]\n[labels]", "1 colours for 3 classes"),
        ("[labels]", "colours = [[0, 0, 0], [0, 0, 256], [1, 1, 1]]\n[labels]", "the colour .0, 0, 256."),
        ("[splits.all]\n", "[splits.all]\nfile = 1\n", "the key splits.all.file is unknown"),
        ('["cat", "dog", "hen"]', '"nothing"', 'no list of classes "nothing"'),
    ],
)
def test_a_wrong_description_is_one_sentence(tmp_path, old, new, sentence):
    with pytest.raises(LoupeError, match=sentence) as told:
        describe(described(tmp_path, old, new))
    assert str(told.value).startswith("mine.toml: ") and "\n" not in str(told.value)


def test_a_folder_that_holds_nothing_is_one_sentence(tmp_path):
    path = described(tmp_path)
    with pytest.raises(LoupeError, match=r"holds no image pictures/\*\*/\*\.png for mine-all"):
        open_folder(path, "all", tmp_path)
    image(tmp_path / "pictures/a.png")
    with pytest.raises(LoupeError, match="holds 1 images and no labels for mine-all"):
        open_folder(path, "all", tmp_path)
    with pytest.raises(LoupeError, match='mine has no split "val": it has all'):
        open_folder(path, "val", tmp_path)
    with pytest.raises(LoupeError, match="is no folder"):
        open_folder(path, "all", tmp_path / "nowhere")
    with pytest.raises(LoupeError, match='no dataset "nothing": known are ade20k'):
        describe("nothing")


def test_links_do_not_lead_out_of_a_dataset(tmp_path, monkeypatch):
    layouts.ade20k(tmp_path)
    home = tmp_path / describe("ade20k").home
    first = open_folder("ade20k", "val", tmp_path).pairs[0]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    secret = elsewhere / first.image.name
    first.image.rename(secret)
    first.image.symlink_to(secret)
    with pytest.raises(LoupeError, match=r"leaves .* by a link.*LOUPE_LINKS=1"):
        open_folder("ade20k", "val", tmp_path)
    monkeypatch.setenv("LOUPE_LINKS", "1")
    assert len(open_folder("ade20k", "val", tmp_path)) >= 1
    monkeypatch.delenv("LOUPE_LINKS")
    first.image.unlink()
    first.image.symlink_to(home / "moved.jpg")  # a link within the folder is as good as a file
    secret.rename(home / "moved.jpg")
    assert open_folder("ade20k", "val", tmp_path).pairs[0].id == first.id
    folder = first.image.parent
    folder.rename(elsewhere / "all")
    folder.symlink_to(elsewhere / "all")
    with pytest.raises(LoupeError, match="by a link"):
        open_folder("ade20k", "val", tmp_path)
    folder.unlink()
    (elsewhere / "all").rename(folder)
    home.rename(elsewhere / "whole")
    home.symlink_to(elsewhere / "whole")  # whoever keeps the data decides where its home lies
    assert open_folder("ade20k", "val", tmp_path).pairs[0].id == first.id
