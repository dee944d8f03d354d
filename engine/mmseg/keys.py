"""Keys of state dicts: renamed by rules, each rule the first that matches, and none left over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from engine.errors import LoupeError

Renames = list[tuple[str, str]]
PREFIX_HEAD = "decode_head."
PREFIX_BACKBONE = "backbone."
NAMED = 4  # keys that a sentence lists


def under(state_dict: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What lies under a prefix, without it."""
    return {key.removeprefix(prefix): x for key, x in state_dict.items() if key.startswith(prefix)}


def renamed(keys: Iterable[str], renames: Renames) -> dict[str, str]:
    """our key → theirs; a key that no rule knows keeps its name.

    Raises:
        LoupeError: two of their keys would become one.
    """
    found: dict[str, str] = {}
    for key in keys:
        ours = rename(key, renames)
        if ours in found:
            raise LoupeError(
                f"the weights {found[ours]} and {key} mean the same: {ours} (in this program's names)"
            )
        found[ours] = key
    return found


def rename(key: str, renames: Renames) -> str:
    for pattern, replacement in renames:
        changed, times = re.subn(pattern, replacement, key)
        if times:
            return changed
    return key


def fit(module: nn.Module, weights: Mapping[str, Tensor], theirs: Mapping[str, str], what: str) -> None:
    """Loads weights into a module; every one must fit.

    Args:
        weights: by our keys. theirs: our key → the file's, for the sentence.

    Raises:
        LoupeError: missing, unknown or misshapen keys, or numbers that are none.
    """
    wanted = module.state_dict()
    missing = sorted(set(wanted) - set(weights))
    unknown = sorted(theirs.get(key, key) for key in set(weights) - set(wanted))
    shapes = [
        f"{theirs.get(key, key)} {_size(weights[key])} instead of {_size(wanted[key])}"
        for key in sorted(set(wanted) & set(weights))
        if wanted[key].shape != weights[key].shape
    ]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''})"
        for kind, names in (("missing", missing), ("unknown", unknown), ("misshapen", shapes))
        if names
    ]
    if problems:
        raise LoupeError(f"the state dict is no {what}: of its weights {', '.join(problems)}")
    for key, x in weights.items():
        if not torch.isfinite(x).all():
            raise LoupeError(f"weight {theirs.get(key, key)} holds values that are not finite numbers")
    module.load_state_dict(weights)


def _size(x: Tensor) -> str:
    return "×".join(map(str, x.shape)) or "one number"
