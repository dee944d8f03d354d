"""The side panel's numbers: laws, and slow explicit computations beside them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.affinity import _spread, disagreement, entropy, reading, sinks
from engine.cell_labels import UNKNOWN, cell_labels
from engine.decoders.cpt import CPTDecoder
from engine.errors import LoupeError
from engine.trace import Trace

KINDS = ("bilinear", "pixels", "prototypes", "memory")
CLASSES, CHANNELS = 7, 24
SIZE = (72, 104)  # of the image: sides, grids, categories, heads and channels all differ


def trace_of(kind: str, heads: int = 3) -> Trace:
    torch.manual_seed(5)
    decoder = CPTDecoder(
        (5, 6, 9, 10), CLASSES, kind, channels=CHANNELS, heads=heads, memory_share=0.3
    ).eval()
    grids = [(math.ceil(SIZE[0] / s), math.ceil(SIZE[1] / s)) for s in (4, 8, 16, 32)]
    features = [torch.randn(1, c, *grid) for c, grid in zip((5, 6, 9, 10), grids, strict=True)]
    with torch.no_grad():
        # Untrained queries are nearly uniform; a larger scale makes affinities that differ.
        for name, weights in decoder.named_parameters():
            if name.endswith("pointwise.weight"):
                weights *= 6
        return decoder.trace(features)[0]


@pytest.fixture(scope="module")
def traces() -> dict[str, Trace]:
    return {kind: trace_of(kind) for kind in KINDS}


def truth_map() -> np.ndarray:
    """Categories 0 to 4 in blobs; 5 and 6 absent; a strip of unknown pixels."""
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    truth = ((rows // 23) + (cols // 31)) % 5
    truth[:, :7] = UNKNOWN
    return truth.astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_pixel_masses_sum_to_the_image_share(traces, kind):
    for stage in traces[kind].stages:
        got = reading(traces[kind], stage, pixel=(40, 61), truth=truth_map())
        labels = cell_labels(traces[kind], stage, truth_map())
        mass = stage.pixel_affinity(*got.cell).numpy()
        by_category = sum(mass[labels.majority == c].sum() for c in range(CLASSES))
        assert by_category + got.mixed_mass == pytest.approx(1 - stage.memory_share, abs=1e-5)
        assert got.own_true is not None and got.own_true.pixel_mass == pytest.approx(
            mass[labels.majority == got.true].sum(), abs=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_contributions_against_explicit_sums(traces, kind):
    trace = traces[kind]
    stage = trace.stages[1]
    got = reading(trace, stage, cell=(4, 7))
    weights = stage.affinity(4, 7).double()
    mean = weights.mean(dim=0)
    assert [s.index for s in got.by_weight] == [
        j for j in mean.topk(min(8, len(mean))).indices.tolist() if mean[j] > 0
    ]
    # c_j, one source and one head at a time
    vectors = torch.zeros(stage.source_count, CHANNELS, dtype=torch.float64)
    for j in range(stage.source_count):
        for n in range(stage.heads):
            value = (stage.value[n, j] - stage.value_bias[n]).double()
            vectors[j] += weights[n, j] * (stage.output_weight[:, n].double() @ value)
    total = vectors.sum(dim=0)
    norms = vectors.norm(dim=1)
    shares = (vectors @ total) / total.square().sum()
    assert float(shares.sum()) == pytest.approx(1)
    for source in got.by_weight + got.by_contribution:
        assert source.weight == pytest.approx(float(mean[source.index]), abs=1e-6)
        assert source.norm == pytest.approx(float(norms[source.index]), rel=1e-4)
        assert source.share == pytest.approx(float(shares[source.index]), abs=1e-4)
    assert [s.norm for s in got.by_contribution] == sorted(
        (s.norm for s in got.by_contribution), reverse=True
    )
    assert got.by_contribution[0].norm == pytest.approx(float(norms.max()), rel=1e-4)


def test_the_memory_part_against_its_definition(traces):
    stage = traces["memory"].stages[2]
    got = reading(traces["memory"], stage, cell=(3, 11))
    weights = stage.affinity(3, 11).double()
    memory = torch.zeros(CHANNELS, dtype=torch.float64)
    for j in range(CLASSES):
        for n in range(stage.heads):
            value = 0.3 * (stage.value_weight[n].double() @ stage.memory[j].double())
            memory += weights[n, j] * (stage.output_weight[:, n].double() @ value)
    everything = stage.contribution(3, 11).vectors.double().sum(dim=0)
    assert got.memory_norm == pytest.approx(float(memory.norm()), rel=1e-4)
    assert got.memory_share == pytest.approx(float(memory @ everything / everything.square().sum()), abs=1e-4)
    assert got.image_norm == pytest.approx(float((everything - memory).norm()), rel=1e-4)
    assert got.blend_weight == pytest.approx(0.3)


@pytest.mark.parametrize("kind", ["bilinear", "pixels", "prototypes"])
def test_without_a_bank_nothing_comes_from_memory(traces, kind):
    for stage in traces[kind].stages:
        got = reading(traces[kind], stage, cell=(1, 2))
        assert (got.blend_weight, got.memory_share, got.memory_norm) == (0, 0, 0)


def test_update_share_against_the_stages_own_fields(traces):
    stage = traces["memory"].stages[0]
    got = reading(traces["memory"], stage, cell=(2, 5))
    update, low = stage.update[:, 2, 5].norm().item(), stage.residual[:, 2, 5].norm().item()
    assert got.update_share == pytest.approx(update / (update + low), rel=1e-5)


def test_entropy_is_0_for_one_source_and_1_for_all_alike():
    one = torch.zeros(3, 11)
    one[:, 4] = 1
    assert entropy(one).tolist() == [0, 0, 0]
    assert entropy(torch.full((2, 11), 1 / 11)).tolist() == pytest.approx([1, 1])


def test_disagreement_is_0_for_alike_heads_1_for_disjoint_ones_and_a_mean_divergence_between():
    alike = torch.rand(1, 9).softmax(-1).expand(4, 9)
    assert disagreement(alike) == pytest.approx(0, abs=1e-6)
    assert disagreement(torch.eye(4, 9)) == pytest.approx(1)
    assert disagreement(torch.rand(1, 9)) is None
    heads = torch.randn(3, 9, generator=torch.Generator().manual_seed(0)).softmax(-1).double()
    mean = heads.mean(0)
    divergence = (heads * (heads / mean).log()).sum(-1).mean() / math.log(3)
    assert disagreement(heads) == pytest.approx(float(divergence), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_spread_measures_against_loops(traces, kind):
    trace = traces[kind]
    for stage in trace.stages:
        got = reading(trace, stage, pixel=(50, 20))
        mass = stage.pixel_affinity(*got.cell).double()
        mass /= mass.sum()
        (y, x), surprise, near, even = stage.source_grid, 0.0, 0.0, 0.0
        for i in range(y):
            for j in range(x):
                distance = math.dist((50.5, 20.5), ((i + 0.5) * SIZE[0] / y, (j + 0.5) * SIZE[1] / x))
                near += float(mass[i, j]) * distance
                even += distance / (y * x)
                if mass[i, j] > 0:
                    surprise -= float(mass[i, j]) * math.log(float(mass[i, j]))
        assert got.mean_distance == pytest.approx(near, rel=1e-5)
        assert got.uniform_distance == pytest.approx(even, rel=1e-9)
        assert got.effective_area == pytest.approx(math.exp(surprise) / (y * x), rel=1e-5)
        assert 1 / (y * x) - 1e-9 <= got.effective_area <= 1 + 1e-9


def test_bilinear_reads_its_neighbours_only(traces):
    for stage in traces["bilinear"].stages:
        got = reading(traces["bilinear"], stage, pixel=(33, 47))
        assert got.effective_area <= 4 / math.prod(stage.source_grid) + 1e-6
        assert got.mean_distance < 1.5 * max(SIZE[0] / stage.source_grid[0], SIZE[1] / stage.source_grid[1])
        assert sum(s.weight for s in got.by_weight[:4]) == pytest.approx(1)
        assert (
            got.disagreement is None
            and got.absent_mass is None
            and got.own_predicted.prototype_weight is None
        )


@pytest.mark.parametrize("kind", ["prototypes", "memory"])
def test_prototype_weight_and_absent_mass(traces, kind):
    trace = traces[kind]
    stage = trace.stages[1]
    got = reading(trace, stage, pixel=(40, 61), truth=truth_map())
    mean = stage.affinity(*got.cell).mean(0)
    assert got.absent == (5, 6) and got.labels_by == "ground truth"
    assert got.absent_mass == pytest.approx(float(mean[5] + mean[6]), abs=1e-6)
    assert got.true == truth_map()[40, 61]
    assert got.own_true is not None and got.own_true.prototype_weight == pytest.approx(
        float(mean[got.true]), abs=1e-6
    )
    guessed = reading(trace, stage, pixel=(40, 61))
    present = set(np.unique(trace.labels.numpy()).tolist())
    assert guessed.labels_by == "prediction" and set(guessed.absent) == set(range(CLASSES)) - present
    assert guessed.true is None and guessed.own_true is None
    assert guessed.predicted == int(trace.labels[40, 61])


def test_cell_labels_against_a_loop(traces):
    trace, truth = traces["pixels"], truth_map()
    stage = trace.stages[0]
    labels = cell_labels(trace, stage, truth)
    y, x = stage.source_grid
    for i in range(y):
        for j in range(x):
            inside = [
                truth[r, c]
                for r in range(SIZE[0])
                for c in range(SIZE[1])
                if math.floor((r + 0.5) * y / SIZE[0]) == i and math.floor((c + 0.5) * x / SIZE[1]) == j
            ]
            counts = {c: inside.count(c) / len(inside) for c in range(CLASSES)}
            best = max(counts, key=lambda c: (counts[c], -c))
            assert labels.majority[i, j] == (best if counts[best] >= 0.75 else UNKNOWN)
    assert labels.present.tolist() == [True] * 5 + [False] * 2
    assert (labels.majority == UNKNOWN).any() and (labels.majority != UNKNOWN).any()


def test_pixels_of_the_original_and_cells_agree_when_the_image_was_reduced(traces):
    trace = traces["pixels"]
    twice = (2 * SIZE[0], 2 * SIZE[1])
    big, small = (
        reading(trace, "stride8", pixel=(101, 63), size=twice),
        reading(trace, "stride8", pixel=(50, 31)),
    )
    assert big.cell == small.cell and big.predicted == small.predicted
    assert big.mean_distance == pytest.approx(2 * small.mean_distance, rel=0.05)


@pytest.mark.parametrize("kind", ["pixels", "memory"])
def test_sinks_against_the_full_matrix(traces, kind):
    trace = traces[kind]
    for stage in trace.stages:
        h, w = stage.grid
        matrix = stage.affinity_block(slice(0, h * w)).mean(0).double()
        votes: dict[int, list[torch.Tensor]] = {}
        for q in range(h * w):
            row, col = ((2 * (q // w) + 1) * SIZE[0]) // (2 * h), ((2 * (q % w) + 1) * SIZE[1]) // (2 * w)
            votes.setdefault(int(trace.labels[row, col]), []).append(matrix[q])
        favourites = [int(torch.stack(rows).mean(0).argmax()) for rows in votes.values()]
        times = matrix.mean(0) * stage.source_count
        order = [j for j in times.argsort(descending=True).tolist() if times[j] > 3][:4]
        got = sinks(trace, stage)
        assert [sink.index for sink in got] == order
        for sink in got:
            assert sink.read_most_by == favourites.count(sink.index) and sink.present == len(votes)
            assert sink.weight == pytest.approx(float(matrix[:, sink.index].mean()), rel=1e-4)
            assert sink.times_uniform == pytest.approx(sink.weight * stage.source_count)


@pytest.mark.parametrize(
    ("h", "w", "most"), [(18, 26, 468), (18, 26, 467), (18, 26, 40), (18, 26, 1), (5, 90, 9)]
)
def test_queries_are_thinned_in_both_directions(h, w, most):
    asked = _spread(h, w, most)
    assert len(asked) <= most and len(set(asked.tolist())) == len(asked) and int(asked.max()) < h * w
    rows, cols = asked // w, asked % w
    assert len(asked) == len(rows.unique()) * len(cols.unique())
    if most >= h * w:
        assert asked.tolist() == list(range(h * w))
    elif most > 30:
        assert len(rows.unique()) > 2 and len(cols.unique()) > 2


def test_large_affinities_are_sampled_and_the_planted_sink_is_still_found(traces, monkeypatch):
    trace = traces["pixels"]
    stage = trace.stages[2]
    key = stage.key.clone()
    key[:, 7] = stage.query.mean(dim=-2) * 50
    planted = replace(stage, query=stage.query.mean(dim=-2, keepdim=True).expand_as(stage.query), key=key)
    whole = sinks(trace, planted)
    monkeypatch.setattr("engine.affinity.SINK_ENTRIES", stage.heads * stage.source_count * 20)
    (sampled,) = sinks(trace, planted)
    assert sampled.cell == whole[0].cell == divmod(7, stage.source_grid[1])
    assert sampled.weight == pytest.approx(whole[0].weight, rel=1e-4)
    assert whole[0].asked == whole[0].queries == sampled.queries == stage.grid[0] * stage.grid[1]
    assert 0 < sampled.asked <= 20


def test_a_planted_sink_is_found(traces):
    trace = traces["prototypes"]
    stage = trace.stages[2]
    key = torch.zeros_like(stage.key)
    key[:, 3] = stage.query.mean(dim=-2) * 50
    query = stage.query.mean(dim=-2, keepdim=True).expand_as(stage.query)
    labels = torch.arange(SIZE[1]).expand(SIZE) % CLASSES
    planted = replace(trace, stages=(replace(stage, query=query, key=key),))
    planted.__dict__["labels"] = labels.to(torch.uint8)
    (sink,) = sinks(planted, planted.stages[0])
    assert sink.index == sink.category == 3 and sink.read_most_by == sink.present == CLASSES
    assert sink.times_uniform > 3 and sinks(traces["bilinear"], "stride4") == ()


@pytest.mark.parametrize("kind", KINDS)
def test_json_is_plain(traces, kind):
    got = reading(traces[kind], "stride4", pixel=(0, 0), truth=truth_map())
    again = json.loads(json.dumps(got.json(), allow_nan=False))
    assert again["stage"] == "stride4" and again["pixel"] == [0, 0] and again["true"] is None
    assert again["by_weight"][0]["weight"] == got.by_weight[0].weight


def test_refusals_are_one_sentence(traces):
    trace = traces["memory"]
    for call in (
        lambda: reading(trace, "stride2", pixel=(1, 1)),
        lambda: reading(trace, "stride4", pixel=(72, 1)),
        lambda: reading(trace, "stride4", cell=(18, 0)),
        lambda: reading(trace, "stride4"),
        lambda: cell_labels(trace, "stride4", np.zeros((2, 3, 4), np.uint8)),
    ):
        with pytest.raises(LoupeError) as error:
            call()
        assert "\n" not in str(error.value)
