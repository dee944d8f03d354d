"""Small folders laid out as the official downloads are; each label image is made of the numbers given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZE = (24, 40)


def stripes(numbers: list[int]) -> np.ndarray:
    """SIZE uint16: one column of each number in turn."""
    return np.resize(np.array(numbers, np.uint16), SIZE[1])[None].repeat(SIZE[0], 0)


def image(path: Path, shade: int = 90, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), shade, np.uint8)).save(path)


def grey(path: Path, numbers: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stripes(numbers).astype(np.uint8)).save(path)


def indexed(path: Path, numbers: list[int]) -> None:
    """A palette image whose colours say nothing about its numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = Image.fromarray(stripes(numbers).astype(np.uint8)).convert("P")
    labels.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    labels.save(path)


def matrix(path: Path, key: str, numbers: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {key: stripes(numbers), "other": "text"}, do_compression=True)


def listed(path: Path, stems: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(stems) + "\n", encoding="utf-8")


def ade20k(root: Path) -> None:
    home = root / "ADEChallengeData2016"
    for folder, stem in (("validation", "ADE_val_00000001"), ("training", "ADE_train_00000001")):
        image(home / f"images/{folder}/{stem}.jpg")
        grey(home / f"annotations/{folder}/{stem}.png", [0, 1, 2, 150])


def cityscapes(root: Path) -> None:
    for split, city in (("train", "aachen"), ("val", "lindau"), ("val", "frankfurt")):
        at = f"{split}/{city}/{city}_000000_000019"
        image(root / f"cityscapes/leftImg8bit/{at}_leftImg8bit.png")
        grey(root / f"cityscapes/gtFine/{at}_gtFine_labelIds.png", [7, 0, 33, 255, 29, 17])
        for other in ("color", "instanceIds", "labelTrainIds"):
            grey(root / f"cityscapes/gtFine/{at}_gtFine_{other}.png", [99])


def pascal_voc(root: Path) -> None:
    home = root / "VOCdevkit/VOC2012"
    for stem in ("2007_000032", "2007_000033", "2008_000001"):
        image(home / f"JPEGImages/{stem}.jpg")
    for stem in ("2007_000032", "2007_000033"):
        indexed(home / f"SegmentationClass/{stem}.png", [0, 20, 255, 15])
    lists = home / "ImageSets/Segmentation"
    listed(lists / "train.txt", ["2007_000032"])
    listed(lists / "val.txt", ["2007_000033"])
    listed(lists / "trainval.txt", ["2007_000033", "2007_000032"])


def pascal_context(root: Path) -> None:
    home = root / "VOCdevkit/VOC2010"
    for stem in ("2008_000002", "2008_000003", "2008_000007"):
        image(home / f"JPEGImages/{stem}.jpg")
    for stem in ("2008_000002", "2008_000003"):
        matrix(home / f"trainval/{stem}.mat", "LabelMap", [2, 458, 397, 1, 459])
    listed(home / "ImageSets/Main/train.txt", ["2008_000002"])
    listed(home / "ImageSets/Main/val.txt", ["2008_000003", "2008_000007"])


def coco_stuff_164k(root: Path) -> None:
    for split in ("train", "val"):
        image(root / f"coco/{split}2017/000000000139.jpg")
        grey(root / f"coco/stuffthingmaps/{split}2017/000000000139.png", [0, 10, 12, 181, 255])


def coco_stuff_10k(root: Path) -> None:
    home = root / "cocostuff-10k-v1.1"
    for split, stem in (("train", "COCO_train2014_000000000077"), ("test", "COCO_train2014_000000000081")):
        image(home / f"images/{stem}.jpg")
        matrix(home / f"annotations/{stem}.mat", "S", [0, 1, 11, 13, 182])
        listed(home / f"imageLists/{split}.txt", [stem])
