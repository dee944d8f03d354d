"""What edits do, as pure functions of tensors; the decoder calls them where it computes the same thing without edits.

Prototypes are rows of (assignment, offset): P = assignment · aligned + offset, where an offset comes from outside the image. So
whatever moves a prototype moves its row of the assignment alike, and `pixel_affinity` stays true: a prototype that was replaced
by a memory row or a vector is made of no pixel, and its row of the assignment is 0.

A source that cannot be read is closed by one more channel: the queries' is 1, the keys' is so far below 0 that no score of the
image can make up for it and exp gives exactly 0. Then affinity = softmax(q·k) still holds for everybody who has the queries and
keys alone.  [choice] No constant: one large enough for every image would cost the open sources their precision in fp16.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.edits.plan import Exchange, Shift, StageEdit, TokenEdit
from engine.shapes import Bool, Float

VANISHED = 120.0  # exp(−120) is 0 in fp32


def hide(mask_logits: Float[Tensor, "b k y x"], edit: StageEdit) -> Float[Tensor, "b k y x"]:
    """Mask logits with hidden cells at −∞, so that the assignment is renormalised over the rest."""
    if edit.hidden is None:
        return mask_logits
    return mask_logits.float().masked_fill(edit.hidden[:, None], -math.inf)


def assign(assignment: Float[Tensor, "b k y x"], edit: StageEdit) -> Float[Tensor, "b k y x"]:
    """The oracle's rows where the truth has any left to read; learned ones stay for the others."""
    if edit.truth is None:
        return assignment
    truth = edit.truth if edit.hidden is None else edit.truth * ~edit.hidden[:, None]
    mass = truth.sum((-2, -1), keepdim=True)
    return torch.where(mass > 0, truth / mass.clamp_min(torch.finfo(torch.float32).tiny), assignment)


def edited_bank(bank: Float[Tensor, "k c"], edit: StageEdit) -> Float[Tensor, "k c"]:
    """The memory as it is read."""
    if not edit.bank:
        return bank
    found = bank.clone()
    for row, value in edit.bank:
        where = slice(None) if row is None else row
        # Another row is read as it was before any edit, so that the order of two such edits does not matter.
        found[where] = 0 if value is None else bank[value] if isinstance(value, int) else value.to(found)
    return found


def move_rows(
    assignment: Float[Tensor, "b k y x"],
    prototypes: Float[Tensor, "b k c"],
    aligned: Float[Tensor, "b c y x"],
    bank: Float[Tensor, "k c"] | None,
    edit: StageEdit,
) -> tuple[Float[Tensor, "b k y x"], Float[Tensor, "b k c"]]:
    """(assignment, prototypes) after replacing, swapping and moving, in the list's order."""
    if not edit.rows:
        return assignment, prototypes
    b, k = torch.broadcast_shapes(assignment.shape[:2], prototypes.shape[:2])
    assignment = assignment.expand(b, -1, -1, -1).clone()
    prototypes = prototypes.expand(b, -1, -1).clone()
    for row in edit.rows:
        if isinstance(row, Exchange):
            order = list(range(k))
            order[row.a], order[row.b] = row.b, row.a
            assignment, prototypes = assignment[:, order], prototypes[:, order]
        else:
            _shift(assignment, prototypes, aligned, bank, row)
    return assignment, prototypes


def _shift(assignment: Tensor, prototypes: Tensor, aligned: Tensor, bank: Tensor | None, row: Shift) -> None:
    """In place, on clones."""
    c, amount = row.category, row.amount
    own, made = prototypes[:, c], assignment[:, c]
    if row.along:
        assert isinstance(row.target, Tensor)
        unit = F.normalize(row.target.to(own), dim=-1)
        prototypes[:, c] = own + amount * own.norm(dim=-1, keepdim=True) * unit
        return
    if isinstance(row.target, int):
        target, pixels = prototypes[:, row.target], assignment[:, row.target]
    elif isinstance(row.target, str):
        assert bank is not None  # checked
        target, pixels = bank[c].to(own).expand_as(own), torch.zeros_like(made)
    elif row.target.is_floating_point():
        target, pixels = row.target.to(own).expand_as(own), torch.zeros_like(made)
    else:
        target = aligned.flatten(-2)[..., row.target].mean(-1)
        pixels = torch.zeros_like(made)
        pixels.flatten(-2)[:, row.target] = 1 / len(row.target)
    moved = target.clone() if amount == 1 else own + amount * (target - own)
    shares = pixels.clone() if amount == 1 else made + amount * (pixels - made)
    if row.keep_norm:
        factor = own.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        moved, shares = moved * factor, shares * factor[..., None]
    prototypes[:, c], assignment[:, c] = moved, shares


def unreadable(edit: StageEdit, pixels: bool) -> Bool[Tensor, "b m"] | None:
    """Sources whose affinity is 0: masked prototypes, or hidden cells where sources are pixels."""
    if pixels:
        return None if edit.hidden is None else edit.hidden.flatten(-2)
    return edit.unread


def scores(
    query: Float[Tensor, "b n q d"], key: Float[Tensor, "b n m d"], edit: StageEdit, pixels: bool
) -> tuple[Float[Tensor, "b n q e"], Float[Tensor, "b n m e"]]:
    """Queries and keys whose softmax is the edited affinity; e = d, or d + 1 where sources cannot be read."""
    if edit.shared_head is not None:
        head = slice(edit.shared_head, edit.shared_head + 1)
        query, key = query[:, head].expand_as(query), key[:, head].expand_as(key)
    if edit.temperature != 1:
        query = query / edit.temperature
    closed = unreadable(edit, pixels)
    if closed is None:
        return query, key
    query, key, closed = as_many(query, key, closed)
    # |q·k| ≤ max |q_i| · Σ |k_i|: a closed source's score lies at least VANISHED below every open one's.
    low, high = query.aminmax()
    largest = torch.maximum(high, -low).float() * key.float().abs().sum(-1).max()
    offset = (closed * -(2 * largest + VANISHED)).to(key.dtype)[:, None, :, None]
    one = torch.ones((), dtype=query.dtype, device=query.device).expand(*query.shape[:-1], 1)
    return torch.cat([query, one], -1), torch.cat([key, offset.expand(*key.shape[:-1], 1)], -1)


def source_mix(edit: StageEdit, classes: int, device: torch.device) -> Float[Tensor, "m m"] | None:
    """R of value ← R (value − b_v) + b_v: a row of 0, or the mean of the other sources; None where no source is silenced."""
    if not edit.silenced_sources:
        return None
    mix = torch.eye(classes, device=device)
    for category, meaning in edit.silenced_sources:
        mix[category] = 0 if meaning == "zero" else 1 / max(1, classes - 1)
        mix[category, category] = 0
    return mix


def as_many(*tensors: Tensor | None) -> tuple:
    """All with the same leading b: those of one image stand for many variants of it. None stays None."""
    many = max(len(t) for t in tensors if t is not None)
    return tuple(t if t is None or len(t) == many else t.expand(many, *t.shape[1:]) for t in tensors)


def silence(x: Tensor, heads: tuple[int, ...], axis: int) -> Tensor:
    """x with 0 at some heads of an axis."""
    if not heads:
        return x
    kept = torch.ones(x.shape[axis], dtype=x.dtype, device=x.device)
    kept[list(heads)] = 0
    return x * kept.view(-1, *([1] * (x.ndim - axis - 1)))


def switched(weight: Tensor, off: bool) -> Tensor:
    """The weight, or zeros in its place."""
    return torch.zeros_like(weight) if off else weight


def edited_update(update: Float[Tensor, "b c h w"], edit: StageEdit) -> Float[Tensor, "b c h w"]:
    """0, its mean over the image's queries, or as it is."""
    if edit.update == "zero":
        return torch.zeros_like(update)
    return update.mean((-2, -1), keepdim=True).expand_as(update) if edit.update == "mean" else update


def edited_tokens(
    tokens: Float[Tensor, "k c"], edits: tuple[TokenEdit, ...], branch: str
) -> Float[Tensor, "k c"]:
    """The tokens of one branch ("guide" or "upsampler"); other rows are read as they were before any edit."""
    found = tokens.clone()
    for edit in edits:
        if edit.branch not in ("both", branch):
            continue
        target = tokens[edit.target] if isinstance(edit.target, int) else edit.target.to(tokens)
        found[edit.category] = (
            target if edit.degrees is None else turned(tokens[edit.category], target, edit.degrees)
        )
    return found


def turned(vector: Float[Tensor, " c"], towards: Float[Tensor, " c"], degrees: float) -> Float[Tensor, " c"]:
    """The vector turned by an angle in the plane that both span, its norm kept; as it is where they lie on one line."""
    norm = vector.norm()
    unit = vector / norm.clamp_min(1e-12)
    across = towards - (towards @ unit) * unit
    across = (
        across - (across @ unit) * unit
    )  # once more: rounding leaves a rest where the two are nearly parallel
    if float(across.norm()) <= 1e-6 * float(towards.norm()):
        return vector.clone()
    angle = math.radians(degrees)
    return norm * (math.cos(angle) * unit + math.sin(angle) * across / across.norm())
