"""Sliding windows, scales and mirror images: laws, a model on which they must agree with the whole, torchmetrics' mIoU."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics.classification import MulticlassJaccardIndex

from engine.cli import main
from engine.data.datasets import open_dataset
from engine.errors import LoupeError
from engine.evaluation import evaluate
from engine.inference import Inference, predict_labels, windows
from engine.segmenter import SegmenterSpec, build

CLASSES = ("a", "b", "c", "d")


class Pointwise(nn.Module):
    """A pixel's logits are a function of that pixel: windows must change nothing."""

    spec = SegmenterSpec("none", CLASSES)

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []
        self.mix = nn.Conv2d(3, len(CLASSES), 1)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append((images.shape[-2], images.shape[-1]))
        return self.mix(images)


@pytest.fixture
def model() -> Pointwise:
    torch.manual_seed(0)
    return Pointwise()


def images(height: int, width: int, smooth: bool = False) -> np.ndarray:
    torch.manual_seed(1)
    pixels = torch.rand(2, 3, *((4, 6) if smooth else (height, width)))
    pixels = F.interpolate(pixels, size=(height, width), mode="bilinear") if smooth else pixels
    return (255 * pixels).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("size", "crop", "stride"), [((70, 101), 32, 20), ((70, 101), 64, 64), ((33, 200), 48, 7)]
)
def test_windows_change_nothing_where_pixels_stand_alone(model, size, crop, stride):
    pixels = images(*size)
    whole = predict_labels(model, pixels, "cpu")
    assert len(np.unique(whole)) >= 3
    np.testing.assert_array_equal(predict_labels(model, pixels, "cpu", Inference(crop, stride)), whole)
    assert max(side for seen in model.seen[1:] for side in seen) <= crop


def test_windows_cover_every_pixel_and_end_with_the_image():
    for side in (10, 31, 32, 33, 100, 101):
        found = list(windows(side, 32, 20))
        assert found[0].start == 0 and found[-1].stop == side
        assert set().union(*(range(w.start, w.stop) for w in found)) == set(range(side))
        assert all(w.stop - w.start == min(32, side) for w in found)
        assert all(later.start - one.start <= 20 for one, later in pairwise(found))
    assert [(w.start, w.stop) for w in windows(1024, 768, 512)] == [(0, 768), (256, 1024)]


def test_overlaps_are_averaged():
    """Logits that are the window's own number: where windows overlap, the mean decides."""

    class Numbered(Pointwise):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen.append((images.shape[-2], images.shape[-1]))
            # First window: category 0 at 3. Second: category 1 at 2, category 2 at 2.6 and category 0 at −9.
            values = [[3, 0, 0.8, 0], [-9, 2, 2.6, 0]][len(self.seen) - 1]
            return torch.tensor(values, dtype=torch.float32)[None, :, None, None].expand(-1, -1, 8, 8)

    labels = predict_labels(Numbered(), images(40, 60)[:1], "cpu", Inference(40, 20))
    assert (labels[0, :, :20] == 0).all() and (labels[0, :, 40:] == 2).all()
    assert (labels[0, :, 20:40] == 2).all()  # (0.8 + 2.6) / 2 beats (3 − 9) / 2 and (0 + 2) / 2


def test_mirror_images_change_nothing_where_pixels_stand_alone(model):
    pixels = images(48, 80)
    whole = predict_labels(model, pixels, "cpu")
    np.testing.assert_array_equal(predict_labels(model, pixels, "cpu", Inference(flip=True)), whole)
    np.testing.assert_array_equal(
        predict_labels(model, pixels, "cpu", Inference(32, 16, (1.0,), True)), whole
    )


def test_scales_are_asked_at_their_sizes_and_averaged(model):
    pixels = images(64, 96, smooth=True)
    labels = predict_labels(model, pixels, "cpu", Inference(scales=(0.5, 1.0, 1.5), flip=True))
    assert model.seen == [(32, 48)] * 2 + [(64, 96)] * 2 + [(96, 144)] * 2
    normalised = model.normalise(torch.from_numpy(pixels))
    total = torch.zeros(2, len(CLASSES), 64, 96)
    with torch.no_grad():
        for size in [(32, 48), (64, 96), (96, 144)]:
            logits = model.mix(F.interpolate(normalised, size=size, mode="bilinear"))
            total += F.interpolate(logits, size=(64, 96), mode="bilinear").softmax(1)
    assert (labels == total.argmax(1).numpy()).mean() > 0.999


def test_the_shorter_side_is_resized_first(model):
    pixels = images(64, 96, smooth=True)
    predict_labels(model, pixels, "cpu", Inference(short_side=128))
    predict_labels(model, pixels, "cpu", Inference(96, 64, short_side=128))
    assert model.seen[0] == (128, 192) and set(model.seen[1:]) == {(96, 96)} and len(model.seen) == 1 + 2 * 3
    with pytest.raises(LoupeError, match="at least 32"):
        Inference(short_side=8)


@pytest.mark.parametrize("how", [Inference(), Inference(48, 32), Inference(scales=(0.75, 1.25), flip=True)])
def test_miou_is_that_of_an_independent_confusion_matrix(how):
    torch.manual_seed(0)
    dataset = open_dataset("scenes-val")
    spec = SegmenterSpec("mobilenetv4_conv_small_050", dataset.classes, channels=16)
    segmenter = build(spec).eval()
    found = evaluate(segmenter, dataset, limit=3, how=how)
    index = MulticlassJaccardIndex(len(dataset.classes), average="none", ignore_index=255)
    for i in range(3):
        sample = dataset[i]
        predicted = predict_labels(segmenter, sample.image[None], "cpu", how)
        index.update(torch.from_numpy(predicted), torch.from_numpy(sample.labels[None]))
    occurs = ~np.isnan(found.total.iou)
    np.testing.assert_allclose(index.compute().numpy()[occurs], found.total.iou[occurs], atol=1e-6)
    assert found.miou == pytest.approx(
        100 * float(index.compute()[torch.from_numpy(occurs)].mean()), abs=1e-4
    )
    assert found.json()["inference"] == how.json()


def test_what_cannot_be_asked_is_one_sentence(capsys):
    for arguments in ({"crop": 32}, {"stride": 32}, {"crop": 32, "stride": 33}, {"crop": -1, "stride": -1}):
        with pytest.raises(LoupeError, match="give both"):
            Inference(**arguments)
    for scales in ((), (0.0,), (float("nan"),), (9.0,)):
        with pytest.raises(LoupeError, match=r"between 0\.1 and 8"):
            Inference(scales=scales)
    for arguments, sentence in (
        (("--window", "768"), "must be crop,stride"),
        (("--scales", "1,x"), "must be numbers"),
    ):
        assert main(["evaluate", "--model", "cpt", *arguments]) == 1
        assert sentence in capsys.readouterr().err


def test_the_command_asks_as_it_is_told(capsys):
    capsys.readouterr()
    arguments = [
        "--limit",
        "2",
        "--window",
        "192,128",
        "--scales",
        "1,1.25",
        "--flip",
        "--short-side",
        "200",
        "--json",
    ]
    assert main(["evaluate", "--model", "bilinear", *arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    asked = {"crop": 192, "stride": 128, "scales": [1.0, 1.25], "flip": True, "short_side": 200}
    assert result["inference"] == asked
    assert 50 < result["mIoU"] <= 100
