"""Health verdicts: planted faults are named, sound models are not blamed, and no input makes a sentence untrue."""

from __future__ import annotations

import re

import numpy as np
import pytest

from engine.atlas.records import AS_IT_IS, Effect, Images, Pairs, Parts, Usage
from engine.bank_time import MemoryTime
from engine.health import Finding, findings, warnings_first
from engine.health.finding import listed, number, percent, signed
from engine.readership import absent_if_uniform, readership

NAMES = ("sky", "water", "grass", "house", "tree")
K = len(NAMES)
ALL_KEYS = {
    *("collapse-live", "collapse-bank", "sinks", "usage", "unread", "own", "absent", "rank", "still"),
    *("memory-part", "effects"),
}


def usage_of(rate: np.ndarray, cells: np.ndarray | None = None, absent: float = 0.0, heads: int = 2) -> Usage:
    """Usage of these rates (k, k), the same in every head; row k of `everyone`: mixed cells, none here."""
    k = len(rate)
    cells = np.full(k, 10) if cells is None else cells
    mass = np.tile(np.nan_to_num(rate) * cells[:, None], (heads, 1, 1))
    everyone = mass.sum(1)
    return Usage(mass, absent * mass, np.append(cells, 0), everyone, absent * everyone, int(np.sum(cells)))


def own_reading(k: int = K, own: float = 0.6) -> np.ndarray:
    """Each category reads its own most."""
    return np.where(np.eye(k, dtype=bool), own, (1 - own) / max(1, k - 1))


def pairs_of(cosine: float, k: int = K, held: int = K) -> Pairs:
    everywhere = np.where(np.eye(k, dtype=bool), 1.0, cosine)
    together = np.zeros((k, k), int)
    together[:held, :held] = 7
    return Pairs(everywhere, np.where(together > 0, everywhere, np.nan), together)


def parts_of(image: float, memory_norm: float) -> Parts:
    overall = np.array([image, memory_norm, image + memory_norm, 2.0])
    return Parts(("image", "memory", "update", "residual"), np.tile(overall, (K + 1, 1)), overall)


def effect_of(name: str, delta: float, low: float, high: float) -> Effect:
    return Effect(name, 80 + delta, delta, low, high, 0.012, 96)


def time_of(mean: np.ndarray, steps: tuple[int, ...] = (0, 90, 100), window: int = 5) -> MemoryTime:
    rows = {"s": mean}
    return MemoryTime("m.safetensors", ("s",), np.array(steps), window, steps[-1], rows, rows)


def moving(k: int = K, still: tuple[int, ...] = ()) -> MemoryTime:
    mean = np.zeros((3, k, 8))
    mean[:, :, 0] = 1
    mean[2, :, 1] = np.where(np.isin(np.arange(k), still), 0, 0.2)
    return time_of(mean)


def by_key(*args, **given) -> dict[str, Finding]:
    found = findings(*args, **given)
    assert len({finding.key for finding in found}) == len(found)
    return {finding.key: finding for finding in found}


def of(**given) -> dict[str, Finding]:
    return by_key("s", NAMES, **given)


# ── nothing known ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_missing_is_said_and_unknown():
    for found in (of(), of(bank=np.eye(K))):
        assert set(found) == ALL_KEYS
        for finding in found.values():
            if finding.value is None:
                assert finding.level == "unknown"
                assert re.search(r"no atlas|no memory bank|No moments", finding.sentence)
    assert all(finding.level == "unknown" for finding in of().values())
    assert "No moments of training" in of(bank=np.eye(K))["still"].sentence
    assert "no memory bank" in of(parts=parts_of(1, 0), effects=())["memory-part"].sentence


def test_warnings_come_first_and_nothing_is_lost():
    found = findings("s", NAMES, bank=np.ones((K, 3)), usage=usage_of(own_reading()))
    order = [finding.level for finding in warnings_first(found)]
    assert order == sorted(order, key=["warn", "ok", "unknown"].index) and set(order) == {
        "warn",
        "ok",
        "unknown",
    }
    assert set(warnings_first(found)) == set(found)


def test_a_finding_is_plain_data():
    import json

    found = findings("s", NAMES, bank=np.eye(K), usage=usage_of(own_reading()), pairs=pairs_of(0.3))
    for finding in found:
        data = json.loads(json.dumps(finding.json()))
        assert data["key"] == finding.key and tuple(data["categories"]) == finding.categories


# ── collapse and rank ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_collapse_of_live_prototypes_is_the_mean_over_pairs():
    found = of(pairs=pairs_of(0.25))["collapse-live"]
    assert found.level == "ok" and found.value == pytest.approx(0.25)
    assert f"{K * (K - 1) // 2} pairs" in found.sentence and "0.25" in found.sentence
    found = of(pairs=pairs_of(0.95))["collapse-live"]
    assert found.level == "warn" and "collapsed" in found.sentence
    # Pairs that no image holds do not count.
    found = of(pairs=pairs_of(0.5, held=2))["collapse-live"]
    assert (
        found.value == pytest.approx(0.5)
        and "one pair" in found.sentence
        and found.categories == ("sky", "water")
    )


def test_the_most_alike_pair_is_named():
    rows = np.eye(K)
    rows[4] = [0, 1, 0, 0, 0.1]
    found = of(bank=rows)["collapse-bank"]
    assert found.level == "ok" and found.categories == ("water", "tree")
    assert "1 is above 0.9" in found.sentence
    assert found.value == pytest.approx(1 / np.sqrt(1.01) / 10)


def test_identical_rows_are_a_collapse_without_a_rank():
    found = of(bank=np.tile(np.arange(1.0, 7), (K, 1)))
    assert found["collapse-bank"].level == "warn" and found["collapse-bank"].value == pytest.approx(1)
    assert found["rank"].level == "warn" and found["rank"].value == 0


def test_distinct_rows_have_their_full_rank():
    found = of(bank=np.eye(K, 9))["rank"]
    assert found.level == "ok" and found.value == pytest.approx(K - 1) and found.threshold == (K - 1) / 2
    assert f"{K - 1} of {K - 1} possible directions" in found.sentence


# ── who reads what ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_planted_sink_is_named():
    rate = np.full((K, K), 0.1)
    rate[:, 3] = 0.6
    found = of(usage=usage_of(rate))
    assert found["sinks"].level == "warn" and found["sinks"].categories == ("house",)
    assert found["sinks"].value == 1 and "5 of 5" in found["sinks"].sentence
    assert "60\u2009%" in found["sinks"].sentence and "3 × uniform" in found["sinks"].sentence
    assert found["own"].level == "warn" and found["own"].value == pytest.approx(1 / K)


def test_own_reading_is_no_sink():
    found = of(usage=usage_of(own_reading()))
    assert found["sinks"].level == "ok" and found["sinks"].value == pytest.approx(1 / K)
    assert found["own"].level == "ok" and found["own"].value == 1
    assert "60\u2009%" in found["own"].sentence and "3 × uniform" in found["own"].sentence
    assert found["usage"].value == pytest.approx(1) and found["unread"].value == 0


def test_the_majority_must_read_a_sink_more_than_evenly():
    rate = np.full((K, K), 0.19)
    rate[:, 2] = 0.24
    found = of(usage=usage_of(rate))["sinks"]
    assert found.level == "ok" and found.value == 1 and "No sink all the same" in found.sentence


def test_identical_prototypes_have_no_favourite():
    found = of(usage=usage_of(np.full((K, K), 1 / K)))
    assert found["sinks"].level == "ok" and found["sinks"].value == 0 and found["sinks"].categories == ()
    assert found["own"].value == 0 and found["usage"].value == pytest.approx(1)
    assert (readership(usage_of(np.full((K, K), 1 / K))).favourite == -1).all()


@pytest.mark.parametrize(("k", "level"), [(2, "ok"), (3, "warn")])
def test_a_sink_needs_more_than_half(k, level):
    rate = own_reading(k, 0.9)
    rate[:2] = [0.05 / (k - 1)] * k
    rate[:2, 0] = 1 - rate[0, 1:].sum()
    if k == 2:
        rate = own_reading(2, 0.9)
    found = by_key("s", NAMES[:k], usage=usage_of(rate))["sinks"]
    assert found.level == level


def test_entropy_and_perplexity_by_hand():
    rate = np.tile([0.5, 0.5, 0, 0, 0], (K, 1))
    read = readership(usage_of(rate))
    assert read.perplexity == pytest.approx(2) and read.entropy == pytest.approx(np.log(2) / np.log(5))
    found = of(usage=usage_of(rate))
    assert found["usage"].level == "warn" and "2 of 5" in found["usage"].sentence
    assert found["unread"].level == "warn" and set(found["unread"].categories) == {"grass", "house", "tree"}


def test_a_rare_category_that_reads_its_own_is_not_unread():
    rate = own_reading(K, 0.9)
    rate[:4, 4] = 0
    found = of(usage=usage_of(rate, np.array([1000, 1000, 1000, 1000, 1])))["unread"]
    assert found.level == "ok" and found.value == 0 and "tree" in found.sentence and "rare" in found.sentence


def test_usage_counts_mixed_cells_and_rates_do_not():
    usage = usage_of(own_reading())
    everyone = usage.everyone.copy()
    everyone[:, 1] += 50  # fifty mixed cells, all reading water
    mixed = Usage(
        usage.mass,
        usage.absent,
        np.append(usage.cells[:-1], 50),
        everyone,
        usage.everyone_absent,
        usage.labelled + 50,
    )
    read = readership(mixed)
    assert read.share[1] == pytest.approx(0.6) and read.share.sum() == pytest.approx(1)
    assert read.favourite.tolist() == list(range(K)) and read.own == pytest.approx(0.6)


def test_affinity_on_absent_categories():
    images = Images(
        np.arange(2),
        ("a", "b"),
        np.full((2, 2), 64),
        np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]),
        np.zeros((2, K), int),
        None,
    )
    assert absent_if_uniform(images) == pytest.approx(0.5)
    found = of(usage=usage_of(own_reading(), absent=0.4), images=images)["absent"]
    assert found.level == "warn" and found.value == pytest.approx(0.4)
    assert "40\u2009%" in found.sentence and "50\u2009%" in found.sentence
    # Less than a quarter, but more than an even reading would put there.
    few = Images(
        images.index, images.id, images.size, np.array([[1, 1, 1, 1, 0], [1] * 5]), images.predicted, None
    )
    found = of(usage=usage_of(own_reading(), absent=0.15), images=few)["absent"]
    assert found.level == "warn" and found.threshold == pytest.approx(0.1)
    assert of(usage=usage_of(own_reading(), absent=0.15))["absent"].level == "ok"
    found = of(usage=usage_of(own_reading(), absent=0.0))["absent"]
    assert found.level == "ok" and found.value == 0 and "mislead" not in found.sentence


def test_categories_without_readers_are_left_out():
    cells = np.array([10, 10, 0, 0, 0])
    found = of(usage=usage_of(own_reading(), cells))
    assert "2 of 2" in found["own"].sentence and found["own"].value == 1
    alone = of(usage=usage_of(own_reading(), np.array([0, 0, 0, 4, 0])))
    assert alone["sinks"].level == "unknown" and "Only house has readers" in alone["sinks"].sentence
    assert "1 of 1" in alone["own"].sentence


def test_no_cell_at_all_is_unknown():
    found = of(usage=usage_of(own_reading(), np.zeros(K, int)), pairs=pairs_of(0.5, held=1))
    for key in ("sinks", "usage", "unread", "own", "absent", "collapse-live"):
        assert found[key].level == "unknown" and found[key].value is None, key
    assert "holds two categories" in found["collapse-live"].sentence


def test_permuting_categories_permutes_the_answers():
    random, order = np.random.default_rng(0), np.array([2, 4, 0, 1, 3])
    rate = random.dirichlet(np.ones(K) * 0.3, size=K)
    cells, rows = random.integers(1, 90, K), random.normal(size=(K, 6))
    time = time_of(random.normal(size=(3, K, 6)))
    one = of(usage=usage_of(rate, cells), bank=rows, time=time)
    names = tuple(NAMES[c] for c in order)
    moved = time_of(time.mean["s"][:, order])
    usage = usage_of(rate[np.ix_(order, order)], cells[order])
    other = by_key("s", names, usage=usage, bank=rows[order], time=moved)
    for key, finding in one.items():
        assert other[key].level == finding.level
        assert set(other[key].categories) == set(finding.categories)
        if finding.value is not None:
            assert other[key].value == pytest.approx(finding.value)
    a, b = readership(usage_of(rate, cells)), readership(usage)
    np.testing.assert_allclose(b.share, a.share[order])
    assert b.favoured_by.tolist() == a.favoured_by[order].tolist()
    assert order[b.favourite].tolist() == a.favourite[order].tolist()


# ── the memory ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_that_stand_still_are_named():
    found = of(bank=np.eye(K), time=moving(still=(1, 4)))["still"]
    assert found.level == "warn" and found.value == 2 and set(found.categories) == {"water", "tree"}
    assert "water and tree" in found.sentence and "step 90 to 100" in found.sentence
    found = of(bank=np.eye(K), time=moving())["still"]
    assert found.level == "ok" and found.value == 0 and "None of the 5" in found.sentence


def test_a_short_run_and_rows_of_nothing_are_unknown():
    short = time_of(np.ones((3, K, 2)), window=20)
    assert of(time=short)["still"].level == "unknown" and "too few" in of(time=short)["still"].sentence
    zero = time_of(np.zeros((3, K, 2)))
    assert of(time=zero)["still"].level == "unknown" and "end at 0" in of(time=zero)["still"].sentence


def test_the_memorys_part():
    found = of(bank=np.eye(K), parts=parts_of(4.0, 0.1))["memory-part"]
    assert found.level == "warn" and found.value == pytest.approx(0.025)
    assert "0.1" in found.sentence and "2.5\u2009%" in found.sentence
    assert of(bank=np.eye(K), parts=parts_of(4.0, 0.4))["memory-part"].level == "ok"
    for broken in (parts_of(0.0, 1.0), parts_of(np.nan, 1.0)):
        assert of(bank=np.eye(K), parts=broken)["memory-part"].level == "unknown"


@pytest.mark.parametrize(
    ("delta", "low", "high", "level", "says"),
    [
        (0.0, 0.0, 0.0, "warn", "inert"),
        (-0.02, -0.1, 0.06, "warn", "inert"),
        (-2.0, -5.0, 0.4, "warn", "too wide"),
        (-3.0, -4.0, -2.0, "ok", "matters"),
        (-0.05, -0.09, -0.01, "warn", "in practice the memory is inert"),
        (0.015, 0.006, 0.025, "warn", "in practice the memory is inert"),
        (1.0, 0.5, 1.5, "warn", "better"),
    ],
)
def test_what_a_change_of_the_memory_does(delta, low, high, level, says):
    effects = (effect_of(AS_IT_IS, 0, 0, 0), effect_of("zeroed", delta, low, high))
    found = of(bank=np.eye(K), effects=effects)
    assert {key for key in found if key.startswith("effect")} == {"effect-zeroed"}
    finding = found["effect-zeroed"]
    assert finding.level == level and says in finding.sentence and finding.value == delta
    assert "96 images" in finding.sentence and "1.2\u2009%" in finding.sentence
    assert ("inert" in finding.sentence) == ("inert" in says)


def test_effects_that_are_missing_or_undefined():
    assert of(bank=np.eye(K), effects=())["effects"].level == "unknown"
    found = of(bank=np.eye(K), effects=(effect_of("permuted", np.nan, np.nan, np.nan),))
    assert found["effect-permuted"].level == "unknown" and found["effect-permuted"].value is None


# ── extremes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("k", [2, 3, 150])
@pytest.mark.parametrize("kind", ["random", "identical", "zero", "nan", "one image's"])
def test_every_sentence_is_one_that_can_be_printed(k, kind):
    random = np.random.default_rng(k)
    names = tuple(f"c{c}" for c in range(k))
    rows = {
        "random": random.normal(size=(k, 4)),
        "identical": np.ones((k, 4)),
        "zero": np.zeros((k, 4)),
        "nan": np.full((k, 4), np.nan),
        "one image's": np.eye(k, 4),
    }[kind]
    rate = np.full((k, k), 1 / k) if kind == "identical" else random.dirichlet(np.ones(k), size=k)
    cells = np.zeros(k, int) if kind in ("zero", "nan") else np.full(k, 9)
    if kind == "one image's":
        cells[1:] = 0
    cosines = np.full((k, k), np.nan) if kind == "nan" else np.ones((k, k))
    held = 1 if kind == "one image's" else k
    together = np.zeros((k, k), int)
    together[:held, :held] = 1
    found = findings(
        "s",
        names,
        bank=rows,
        time=time_of(np.stack([np.nan_to_num(rows)] * 3)),
        pairs=Pairs(cosines, cosines, together),
        usage=usage_of(rate, cells),
        parts=parts_of(np.nan if kind == "nan" else 1.0, 0.0),
        effects=(effect_of("zeroed", 0, 0, 0),),
    )
    for finding in found:
        assert not re.search(r"nan\b|inf\b|None(?! of)|–", finding.sentence), finding
        assert finding.sentence[-1] == "." and "  " not in finding.sentence and len(finding.sentence) < 420
        assert (finding.value is None) == (finding.level == "unknown")
        assert finding.value is None or np.isfinite(finding.value)


def test_words():
    assert [number(x) for x in (0.12345, 12345.0, -2.0, 0.0, -0.0, np.nan)] == [
        "0.123",
        "12300",
        "−2",
        "0",
        "0",
        "–",
    ]
    assert (signed(0.5), signed(-0.5), signed(0.0)) == ("+0.5", "−0.5", "0")
    assert percent(0.1234) == "12.3\u2009%"
    assert (
        listed([]) == ""
        and listed("a") == "a"
        and listed("ab") == "a and b"
        and listed("abc") == "a, b and c"
    )
    assert listed("abcde") == "a, b, c, d and e" and listed("abcdef") == "a, b, c, d and 2 more"
