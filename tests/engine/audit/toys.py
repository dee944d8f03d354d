"""Audits made up for tests: columns drawn from known laws, three models, one refused."""

from __future__ import annotations

import numpy as np

from engine.atlas.records import Skipped
from engine.audit.records import (
    MAPS,
    SCORES,
    SHARES,
    AuditedImage,
    DeletionRows,
    ModelAudit,
    StageInfo,
)
from engine.audit.results import Audit

CLASSES = ("sky", "water", "grass", "house", "tree")
STAGES = {
    "stride16": StageInfo("memory", (16, 16), (8, 8), 4),
    "stride8": StageInfo("memory", (32, 32), (16, 16), 4),
    "stride4": StageInfo("memory", (64, 64), (32, 32), 4),
}
CONTEXT = {"context": StageInfo("context", (8, 8), (8, 8), 1)}
FALL = {
    "affinity": 1.0,
    "relative": 1.6,
    "contribution": 1.8,
    "influence": 2.4,
    "distance": 0.8,
    "random": 0.5,
}
"""Logits by which the margin has fallen when half of the cells are hidden."""


def synthetic_audit(seed: int = 0, images: int = 24, each: int = 20, gain: float = 0.08) -> Audit:
    """`each` pixels of every image; "qup" has areas `gain` above "cpt", and wrong pixels have lower ones than right pixels."""
    random = np.random.default_rng(seed)
    r = images * each
    image = np.repeat(np.arange(images), each)
    category = np.tile(np.arange(each) % len(CLASSES), images)
    boundary = random.gamma(1.5, 6, r).astype(np.float32)
    pixels = {
        "image": image,
        "row": random.integers(0, 256, r).astype(np.int32),
        "col": random.integers(0, 256, r).astype(np.int32),
        "category": category.astype(np.int16),
        "boundary_distance": boundary,
        "object_share": random.beta(1, 8, r).astype(np.float32),
        "rarity": np.array([0.4, 0.25, 0.2, 0.1, 0.008], np.float32)[category],
    }
    hard = random.normal(0, 0.05, images)[image] - 0.15 * np.exp(-boundary / 4)
    entries = tuple(
        _entry(random, name, stages, pixels, hard + (gain if name == "qup" else 0))
        for name, stages in (("cpt", STAGES), ("qup", STAGES), ("hfgd", CONTEXT))
    )
    return Audit(
        data="toys",
        seed=seed,
        classes=CLASSES,
        asked=images + 1,
        images=tuple(AuditedImage(f"image {i}", i, (256, 256)) for i in range(images)),
        pixels=pixels,
        entries=entries,
        refused={"dilated": "dilated reads no sources: it has no affinity to audit"},
        skipped=(Skipped(images, "image x", "the file is empty"),),
        versions={"torch": "0", "numpy": "0"},
    )


def _entry(
    random: np.random.Generator,
    name: str,
    stages: dict[str, StageInfo],
    pixels: dict[str, np.ndarray],
    ease: np.ndarray,
) -> ModelAudit:
    r = len(ease)
    right = random.random(r) < np.clip(0.9 + ease, 0, 1)
    other = (pixels["category"] + random.integers(1, len(CLASSES), r)) % len(CLASSES)
    prototypes = name == "cpt"
    deletable = name != "hfgd"
    return ModelAudit(
        model=name,
        checkpoint=(name[0] * 64),
        method="hfgd" if name == "hfgd" else "cpt",
        sources={"cpt": "memory", "qup": "pixels", "hfgd": ""}[name],
        predicted=np.where(right, pixels["category"], other).astype(np.int16),
        right=right,
        confidence=np.clip(random.beta(8, 2, r) + ease, 0.1, 1).astype(np.float32),
        stages=stages,
        scores={
            stage: _scores(random, ease + 0.05 * right + 0.03 * at, prototypes, other)
            for at, stage in enumerate(stages)
        },
        deletion={stage: _deletion(random, r) for stage in stages} if deletable else {},
        undeletable={} if deletable else {"context": "nothing can be hidden from the CAE"},
    )


def _scores(
    random: np.random.Generator, ease: np.ndarray, prototypes: bool, other: np.ndarray
) -> dict[str, np.ndarray]:
    r = len(ease)
    middles = dict(zip(SCORES, (0.65, 0.78, 0.88, 0.8, 0.6, 0.7, 0.75), strict=False))
    found = {name: np.clip(random.normal(middle + ease, 0.08), 0, 1) for name, middle in middles.items()}
    undefined = random.random(r) < 0.03
    for column in found.values():
        column[undefined] = np.nan
    found |= {
        "entropy": random.beta(5, 3, r),
        "prototype_weight": random.beta(2, 8, r) if prototypes else np.full(r, np.nan),
        "pixel_mass": random.beta(3, 5, r),
        "memory_share": random.normal(0.02, 0.01, r) if prototypes else np.full(r, np.nan),
        "mean_distance": random.gamma(20, 4, r),
    }
    found = {name: found[name].astype(np.float32) for name in SCORES}
    return {**found, "leaks_to": np.where(undefined, -1, other).astype(np.int16)}


def _deletion(random: np.random.Generator, r: int, count: int = 48) -> DeletionRows:
    row = np.sort(random.choice(r, count, replace=False))
    start = random.gamma(4, 1, count)
    share = np.array(SHARES) / SHARES[-1]
    fall = np.array([FALL[name] for name in MAPS])[:, None] * share
    margins = (
        start[:, None, None] - fall + random.normal(0, 0.1, (count, len(MAPS), len(SHARES))) * (share > 0)
    )
    return DeletionRows(row, margins.astype(np.float32), np.tile(np.array(SHARES, np.float32), (count, 1)))
