"""A recipe: everything that decides a training run, as one TOML file.

A recipe may extend another (`extends = "demo"`, the name of a file beside it or a path): it then states only what
differs. The `[spec]` table goes to `engine.segmenter.SegmenterSpec` as it is, so every width comes from there; the other
keys are the fields of `Recipe`. An unknown key, a wrong type or a value out of range is refused in one sentence.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from engine.errors import LoupeError
from engine.training.schedules import MEMORY_SCHEDULES

RECIPES = Path(__file__).resolve().parents[2] / "assets" / "recipes"
TASKS = ("segmentation", "recognition")
PRECISIONS = ("fp32", "bf16")
OPTIMISERS = ("adamw", "muon", "sgd")


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Rates are per optimiser step; sizes in pixels; `seed` decides weights, batches and dropout, and nothing else does.
    """

    name: str
    title: str = ""
    task: str = "segmentation"
    """"segmentation", or "recognition": which categories and appearance modes are in the crop."""
    spec: dict[str, Any] = field(default_factory=dict)
    """Fields of SegmenterSpec except `classes`, which come from the data."""
    initial_backbone: str = ""
    """Checkpoint of a pretrained backbone, beside the models or as a path; empty: random weights, or the hub's."""
    pretrained: bool = False
    """The backbone starts with the weights of timm's or transformers' hub (the network, or its cache, is needed)."""
    initial_memory: str = ""
    """A .npy file of per-category mean features (k, at least C) that every bank starts from; empty: at random. [author]"""
    train_data: str = "scenes-train"
    train_images: int = 3000
    """The first so many; 0: all of a folder's."""
    validation_data: str = "scenes-val"
    validation_images: int = 500
    batch: int = 8
    """Images of one optimiser step, over all processes and parts."""
    accumulate: int = 1
    """Parts that each process's share of a batch is run in, one after the other; norms and the memory see part by part."""
    scale_from: float = 1.0
    scale_to: float = 1.0
    """Factors on the images' size before a crop is cut, for datasets in folders. [author] 0.5 to 2"""
    short_side: int = 0
    """Pixels of the shorter side that these images are resized to first, in evaluation too; 0: as they are."""
    crop: int = 160
    crop_from: int = 160
    crop_to: int = 160
    """The side cut out is drawn from crop_from..crop_to and resized to `crop`."""
    category_limit: float = 0.75
    """A crop with more than this share of one category is drawn again, ten times at most. [author]"""
    jitter: float = 0.15
    """Half-width of the photometric jitter (gain, contrast, gamma, colour balance); 0 switches it off."""
    steps: int = 8000
    seed: int = 0
    optimiser: str = "adamw"
    """"adamw", "sgd" (momentum 0.9), or "muon": timm's, which orthogonalises the updates of matrices and kernels and leaves
    the rest to AdamW."""
    learning_rate: float = 3e-3
    backbone_rate: float = 0.3
    """Factor on the learning rate for the backbone's parameters."""
    weight_decay: float = 0.01
    backbone_decay: float = 1.0
    """Factor on the weight decay for the backbone's parameters."""
    floor: float = 0.0
    """The rate that the schedule ends at."""
    warmup: int = 150
    power: float = 1.0
    clip: float = 5.0
    """Limit of the gradient's norm over all parameters; where losses train disjoint parameters, over each set."""
    memory_schedule: str = "constant"
    moments: int = 40
    """How many moments of the memory bank are kept (sources = "memory" only)."""
    precision: str = "bf16"
    backbone_precision: str = "bf16"
    """The backbone's own under `precision = "bf16"`: depthwise convolutions are slower in bf16 on a CPU."""
    save_every: int = 250
    watch_every: int = 0
    """Steps between looks at the first 40 validation images; 0: never."""
    test_window: int = 0
    test_stride: int = 0
    """Sliding window of the evaluation at the end, pixels; 0: whole images."""

    def __post_init__(self) -> None:
        rules = (
            (self.task in TASKS, "task", f"one of {', '.join(TASKS)}"),
            (self.precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}"),
            (self.backbone_precision in PRECISIONS, "backbone_precision", f"one of {', '.join(PRECISIONS)}"),
            (
                self.memory_schedule in MEMORY_SCHEDULES,
                "memory_schedule",
                f"one of {', '.join(MEMORY_SCHEDULES)}",
            ),
            (
                self.batch >= 2,
                "batch",
                "2 or more, since the image pool's BatchNorm sees one value per image",
            ),
            (
                self.accumulate >= 1 and self.batch >= 2 * self.accumulate,
                "accumulate",
                f"1 or more, with at least two of the batch's {self.batch} images a part",
            ),
            (0 < self.scale_from <= self.scale_to, "scale_from", "above 0 and at most scale_to"),
            (
                0 <= self.test_stride <= self.test_window and (self.test_window == 0 or self.test_stride > 0),
                "test_stride",
                "above 0 and at most test_window where there is one",
            ),
            (
                not (self.pretrained and self.initial_backbone),
                "pretrained",
                "false where initial_backbone is given",
            ),
            (self.backbone_decay >= 0, "backbone_decay", "0 or more"),
            (0 <= self.floor <= self.learning_rate, "floor", "between 0 and learning_rate"),
            (self.steps >= 1, "steps", "1 or more"),
            (self.train_images >= 0, "train_images", "0 or more"),
            (self.short_side >= 0, "short_side", "0 or more"),
            (self.validation_images >= 0, "validation_images", "0 or more"),
            (self.crop >= 32, "crop", "32 or more, the stride of the coarsest map"),
            (1 <= self.crop_from <= self.crop_to, "crop_from", "between 1 and crop_to"),
            (0 < self.category_limit <= 1, "category_limit", "above 0 and at most 1"),
            (0 <= self.jitter < 1, "jitter", "at least 0 and below 1"),
            (self.optimiser in OPTIMISERS, "optimiser", f"one of {', '.join(OPTIMISERS)}"),
            (self.learning_rate > 0, "learning_rate", "above 0"),
            (self.backbone_rate >= 0, "backbone_rate", "0 or more"),
            (self.weight_decay >= 0, "weight_decay", "0 or more"),
            (self.warmup >= 0, "warmup", "0 or more"),
            (self.clip > 0, "clip", "above 0"),
            (self.moments >= 2, "moments", "2 or more"),
            (self.save_every >= 1, "save_every", "1 or more"),
            (self.watch_every >= 0, "watch_every", "0 or more"),
        )
        for holds, key, wanted in rules:
            if not holds:
                raise LoupeError(f"Recipe {self.name}: {key} is {getattr(self, key)!r} but must be {wanted}.")

    def json(self) -> dict[str, Any]:
        """The recipe as plain values, for provenance and for telling two recipes apart."""
        return asdict(self)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Reads a recipe by the name of a file in assets/recipes or by path.

    Raises LoupeError, in one sentence, when the file is missing, is no TOML, or holds a wrong key or value.
    """
    path = _find(name_or_path, RECIPES)
    values = _merged(path, seen=())
    values.setdefault("name", path.stem)
    return _checked(values, path)


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def _find(name_or_path: str | Path, folder: Path) -> Path:
    given = Path(name_or_path)
    for candidate in (given, folder / f"{name_or_path}.toml", RECIPES / f"{name_or_path}.toml"):
        if candidate.is_file():
            return candidate
    known = ", ".join(recipe_names())
    raise LoupeError(f"There is no recipe {str(name_or_path)!r}: give a TOML file or one of {known}.")


def _merged(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The file's values over those of the recipe it extends; tables are merged key by key."""
    path = path.resolve()
    if path in seen:
        raise LoupeError(f"Recipe {path.name} extends itself.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LoupeError(f"Recipe {path.name} is not valid TOML: {error}.") from error
    except OSError as error:
        raise LoupeError(f"Recipe {path.name} cannot be read: {error.strerror}.") from error
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise LoupeError(f"Recipe {path.name}: extends is {parent!r} but must be a recipe's name.")
    base = _merged(_find(parent, path.parent), (*seen, path))
    base.pop("name", None)
    both = {
        key: base[key] | values[key] for key in base.keys() & values.keys() if isinstance(base[key], dict)
    }
    return base | values | both


def _checked(values: Mapping[str, Any], path: Path) -> Recipe:
    hints = get_type_hints(Recipe)
    known = [f.name for f in fields(Recipe)]
    cleaned: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise LoupeError(f"Recipe {path.name} has the unknown key {key!r}; known are {', '.join(known)}.")
        wanted = getattr(hints[key], "__origin__", hints[key])  # dict[str, Any] → dict
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise LoupeError(f"Recipe {path.name}: {key} is {value!r} but must be of type {wanted.__name__}.")
        cleaned[key] = value
    return Recipe(**cleaned)
