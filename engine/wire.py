"""What the pixel viewer needs, as safetensors bytes: small enough to fetch once, exact enough to draw.

    affinity of query q = softmax over m of  q·k_j  =  softmax of  (q − q̄)·(k_j − k̄) + q̄·(k_j − k̄)

k̄ (mean over sources) adds one number to all scores of a query, and softmax ignores it; q̄ (mean over queries) adds one
number to each source, which is shipped in fp32 as `bias`. What is left in fp16 is small, and so is its rounding. Query and
key of a head are brought to like size by a power of two, so that neither runs into fp16's range.  [choice]

The norm of a contribution needs no value vectors in the browser. For c_j = Σ_n A_nj W_oⁿ v_nj (no biases)
    ‖c_j‖² = A_jᵀ G_j A_j,   G_j[n, n'] = ⟨W_oⁿ v_nj, W_oⁿ' v_n'j⟩
so `gram` (m, n, n) is enough, exactly. For prototypes `pixel_gram` (s, n, n) does the same for source pixels: the image
part of what pixel s adds through all prototypes is Σ_n B_ns W_oⁿ W_vⁿ aligned_s with B_ns = Σ_k A_nk assignment_ks, and
(1 − μ) is inside the Gram matrix.  [choice]

Names of the tensors, with shapes (axes as in engine.stage; q counts the query grid, pooled or not):
    stage   query (n, q, d) f16 · key (n, m, d) f16 · bias (n, m) f32 · gram (m, n, n) f32 · update_share (q) f16
            prototypes also: assignment (k, s) f16 over its own maximum, assignment_scale (k) f32, pixel_gram (s, n, n) f32,
            mean (n, m) f32. bilinear has no query, key, bias: its weights are the grid's geometry.
    maps    labels (H, W) u8 or i16 · truth likewise, where known · presence (k) f32, where there are mask logits
    extras  normaliser (n, q) f32, of the shifted scores above · mean (n, m) f32
    alike   alike (h, w) f32
    influence  shares (y, x) f32
    guidance  guide (k, y, x) f16 and upsampler (k, h, w) f16: logits minus their mean over categories, which softmax and argmax
            ignore · guide_labels (H, W) u8 or i16 · with a CAE context_query and context_key (s, d) f16, context_bias (s) f32
    logits  logits (k, h, w) f16, minus their mean over categories
Metadata, one JSON object under "loupe": see `stage_tensors`, `map_tensors`, `logit_tensors` and `guidance_tensors`.

Not known here: HTTP, keys, how long a trace lives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from engine.branches import guidance_of, guide_labels
from engine.errors import LoupeError
from engine.shapes import Float
from engine.trace import Stage, Trace

if TYPE_CHECKING:
    from engine.influence import Influence

# One stage may take this much. The finest of three weighs about three quarters of a viewer's 64 MB.
STAGE_BYTES = 46 << 20
UNKNOWN = 255


def stage_tensors(stage: Stage, limit: int = STAGE_BYTES) -> bytes:
    """Everything for affinities, contributions and assignments of one stage of one image.

    Metadata: name, sources, grid (h, w), source_grid (y, x), query_grid (h, w) after pooling, pooled (1: not at all; p: each
    query is the mean of a p×p block, taken when the file would pass `limit` bytes), heads, memory_share, count (m).
    """
    factor = pooling(stage, limit)
    tensors: dict[str, Tensor] = {
        "gram": _gram(stage.source_values(), stage),
        "update_share": _update_share(stage, factor),
    }
    if stage.query is not None and stage.key is not None:
        query, key, bias = _shifted(_pooled(stage.query.float(), stage.grid, factor), stage.key.float())
        tensors |= {"query": query.half(), "key": key.half(), "bias": bias}
    if stage.assignment is not None and stage.aligned is not None:
        assignment = stage.assignment.float().flatten(-2)
        scale = assignment.amax(dim=-1)
        values = torch.einsum("ndc,cs->nsd", stage.value_weight.float(), stage.aligned.float().flatten(-2))
        tensors |= {
            "assignment": (assignment / scale[:, None].clamp_min(torch.finfo(torch.float32).tiny)).half(),
            "assignment_scale": scale,
            "pixel_gram": _gram((values * (1 - stage.memory_share),), stage),
            "mean": stage.mean_affinity(),
        }
    height, width = stage.grid
    about = {
        "name": stage.name,
        "sources": stage.sources,
        "grid": list(stage.grid),
        "source_grid": list(stage.source_grid),
        "query_grid": [math.ceil(height / factor), math.ceil(width / factor)],
        "pooled": factor,
        "heads": stage.heads,
        "memory_share": stage.memory_share,
        "count": stage.source_count,
    }
    return _bytes(tensors, about)


def map_tensors(trace: Trace, truth: np.ndarray | None = None) -> bytes:
    """Predicted category of every traced pixel, the true one where known, and each category's presence.

    truth: (H, W) integers of the traced size, 255 unknown. presence (k): maximum over the image of the mask logits summed over
    the stages, each first resized to the finest grid  [choice; methods 1.11: it tells absent categories apart].
    Metadata: size [H, W], classes k. Raises LoupeError where truth has another size.
    """
    classes = trace.logits.shape[0]
    small = torch.uint8 if classes <= UNKNOWN else torch.int16
    tensors = {"labels": trace.labels.to(small)}
    if truth is not None:
        if tuple(truth.shape) != tuple(trace.image_size):
            expected = "×".join(map(str, trace.image_size))
            raise LoupeError(
                f"the labels are {'×'.join(map(str, truth.shape))} pixels and the traced image is {expected}"
            )
        tensors["truth"] = torch.from_numpy(np.array(truth)).to(small)  # a copy: shared labels are read-only
    masks = [stage.mask_logits for stage in trace.stages if stage.mask_logits is not None]
    if masks:
        finest = max((mask.shape[-2:] for mask in masks), key=math.prod)
        resized = [
            interpolate(mask.float()[None], finest, mode="bilinear", align_corners=False)[0] for mask in masks
        ]
        tensors["presence"] = torch.stack(resized).sum(dim=0).amax(dim=(-2, -1))
    return _bytes(tensors, {"size": list(trace.image_size), "classes": classes})


def extra_tensors(stage: Stage, limit: int = STAGE_BYTES) -> bytes:
    """What readings of the whole grid need where sources are pixels: the normalisers and the image's average affinity.

    normaliser: log Σ_m exp of the shifted scores of `stage_tensors`, so that affinity = exp(score − normaliser).
    Walks the whole affinity once, in blocks. Raises LoupeError for bilinear stages, which have neither.
    """
    if stage.query is None or stage.key is None:
        raise LoupeError(f"{stage.name} is bilinear: its weights need no normaliser")
    query, key, bias = _shifted(
        _pooled(stage.query.float(), stage.grid, pooling(stage, limit)), stage.key.float()
    )
    query, key = query.half().float(), key.half().float()  # what the browser has
    rows = max(1, (32 << 20) // (4 * stage.heads * stage.source_count))
    parts, total = [], torch.zeros_like(bias)
    for block in query.split(rows, dim=-2):
        scores = block @ key.transpose(-1, -2) + bias[:, None, :]
        most = scores.amax(dim=-1, keepdim=True)
        scores = scores.sub_(most).exp_()  # once, in place: on large grids this is what takes long
        whole = scores.sum(dim=-1)
        parts.append(most[..., 0] + whole.log())
        total += torch.einsum("nq,nqm->nm", whole.reciprocal(), scores)
    return _bytes(
        {"normaliser": torch.cat(parts, dim=-1), "mean": total / query.shape[-2]}, {"name": stage.name}
    )


def alike_tensor(
    stage: Stage, row: int, col: int, head: int | None = None, stop: Callable[[], bool] | None = None
) -> bytes:
    """`stage.profile_similarity` at a cell of the stage's own (unpooled) grid, in [0, 1]."""
    alike = stage.profile_similarity(row, col, head, stop).float()
    return _bytes({"alike": alike}, {"name": stage.name, "cell": [row, col], "head": head})


def logit_tensors(trace: Trace, limit: int = STAGE_BYTES) -> bytes:
    """The logits of one image on the decoder's own grid, minus their mean over categories, which softmax and argmax ignore.

    Metadata: grid (h, w), sent_grid after pooling, pooled (1: not at all; p: each cell is the mean of a p×p block, taken when the
    file would pass `limit` bytes), classes k.
    """
    sent, factor = _small_enough(_relative(trace.logits), limit)
    about = {
        "grid": list(trace.logits.shape[-2:]),
        "sent_grid": list(sent.shape[-2:]),
        "pooled": factor,
        "classes": len(sent),
    }
    return _bytes({"logits": _half(sent)}, about)


def guidance_tensors(trace: Trace, limit: int = STAGE_BYTES) -> bytes:
    """Both branches of a guided decoder on one image, and the CAE's queries and keys.

    Metadata: guide_grid (y, x), upsampler_grid (h, w), sent_grid after pooling, pooled (1: not at all; p: each of the
    upsampler's cells is the mean of a p×p block, taken when the file would pass `limit` bytes), classes k, context (has a CAE).
    Raises LoupeError for a model without a guide branch.
    """
    guidance = guidance_of(trace)
    grid = guidance.upsampler_logits.shape[-2:]
    upsampler, factor = _small_enough(_relative(guidance.upsampler_logits), limit)
    classes = len(upsampler)
    labels = guide_labels(trace).to(torch.uint8 if classes <= UNKNOWN else torch.int16)
    tensors = {
        "guide": _half(_relative(guidance.guide_logits)),
        "upsampler": _half(upsampler),
        "guide_labels": labels,
    }
    if guidance.context_query is not None and guidance.context_key is not None:
        query, key, bias = _shifted(guidance.context_query.float()[None], guidance.context_key.float()[None])
        tensors |= {
            "context_query": query[0].half(),
            "context_key": key[0].half(),
            "context_bias": bias[0],
        }
    about = {
        "guide_grid": list(guidance.grid),
        "upsampler_grid": list(grid),
        "sent_grid": list(upsampler.shape[-2:]),
        "pooled": factor,
        "classes": classes,
        "context": "context_query" in tensors,
    }
    return _bytes(tensors, about)


def _small_enough(maps: Float[Tensor, "k h w"], limit: int) -> tuple[Float[Tensor, "k i j"], int]:
    """Maps that fit into `limit` bytes in half precision, and the side of the blocks that were averaged for it: 1, 2, 4, …"""
    factor = 1
    while factor < min(maps.shape[-2:]) and 2 * maps.numel() / factor**2 > limit:
        factor *= 2
    return (avg_pool2d(maps, factor, ceil_mode=True, count_include_pad=False) if factor > 1 else maps), factor


def _relative(logits: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
    return logits.float() - logits.float().mean(dim=0)


def _half(values: Tensor) -> Tensor:
    """In half precision, without infinities: a difference of 60 000 decides a softmax like any larger one."""
    return values.clamp(-60000, 60000).half()


def influence_tensor(found: Influence) -> bytes:
    """shares (y, x) f32 of one pixel's decision. Metadata: site, total and margin in logits, category and rival."""
    about = {
        "site": found.site,
        "total": found.total,
        "margin": found.margin,
        "category": found.category,
        "rival": found.rival,
    }
    return _bytes({"shares": found.shares.float()}, about)


def pooling(stage: Stage, limit: int = STAGE_BYTES) -> int:
    """How many queries a side are averaged into one so that the stage fits into `limit` bytes: 1, 2, 4, …"""
    if stage.query is None:
        return 1
    sources = sum(t.numel() * 2 for t in (stage.key, stage.assignment) if t is not None)
    sources += 4 * stage.heads**2 * (stage.source_count + math.prod(stage.source_grid))
    room = max(
        limit - sources, limit // 8
    )  # sources that alone pass the limit do not cost the queries all of theirs
    factor = 1
    while factor < min(stage.grid) and 2 * stage.query.numel() / factor**2 > room:
        factor *= 2
    return factor


def _pooled(query: Float[Tensor, "n q d"], grid: tuple[int, int], factor: int) -> Float[Tensor, "n p d"]:
    if factor == 1:
        return query
    planes = query.transpose(-1, -2).unflatten(-1, grid)
    # ceil_mode keeps the last, narrower blocks; the divisor is then the number of queries inside.
    return avg_pool2d(planes, factor, ceil_mode=True, count_include_pad=False).flatten(-2).transpose(-1, -2)


def _shifted(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(q − q̄)·2^e, (k − k̄)·2^−e and q̄·(k − k̄): the same softmax, with little left to round."""
    key = key - key.mean(dim=-2, keepdim=True)
    centre = query.mean(dim=-2, keepdim=True)
    bias = (centre * key).sum(dim=-1)
    query = query - centre
    tiny = torch.finfo(torch.float32).tiny
    ratio = key.abs().amax(dim=(-2, -1)).clamp_min(tiny) / query.abs().amax(dim=(-2, -1)).clamp_min(tiny)
    power = torch.exp2((0.5 * ratio.log2()).round().clamp(-24, 24))[:, None, None]
    return query * power, key / power, bias


def _gram(parts: tuple[Float[Tensor, "n m d"], ...], stage: Stage) -> Float[Tensor, "m n n"]:
    """⟨W_oⁿ v_nj, W_oⁿ' v_n'j⟩ for every source j, in blocks of sources; `parts` add up to v."""
    output = stage.output_weight.float()
    between = torch.einsum("cnd,cNe->nNde", output, output)
    rows = max(1, (32 << 20) // (4 * stage.heads**2 * output.shape[-1]))
    blocks = []
    for start in range(0, parts[0].shape[-2], rows):
        value = sum(part[:, start : start + rows] for part in parts)
        half = torch.einsum("nmd,nNde->mnNe", value, between)
        blocks.append(torch.einsum("mnNe,Nme->mnN", half, value))
    return torch.cat(blocks)


def _update_share(stage: Stage, factor: int) -> Float[Tensor, " q"]:
    """‖update‖ / (‖update‖ + ‖residual‖) of every query; 0 where both vanish."""
    update, residual = (part.float().norm(dim=0) for part in (stage.update, stage.residual))
    share = update / (update + residual).clamp_min(torch.finfo(torch.float32).tiny)
    return _pooled(share.flatten()[None, :, None], stage.grid, factor)[0, :, 0].half()


def _bytes(tensors: dict[str, Tensor], about: dict[str, Any]) -> bytes:
    # `clone` because a tensor may share its storage with another, which safetensors refuses.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return save(plain, metadata={"loupe": json.dumps(about)})
