"""Verdicts on live prototypes: do they differ, who reads them, and what is read that is not there?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from engine.health.finding import NO_ATLAS, Finding, Measure, listed, number, percent, plural
from engine.readership import Readership, absent_if_uniform, readership

if TYPE_CHECKING:
    from engine.atlas.records import Images, Pairs, Usage

COLLAPSED = 0.9  # mean cosine: 26 degrees apart on average; random rows have 0  [choice]
SINK_READERS = 0.5  # of the categories with readers: the majority  [choice]
# × uniform: below it nothing is read much more than anything else. Inspect's 3 cannot be reached with three categories.  [choice]
SINK_TIMES = 1.5
UNEVEN = 0.5  # entropy ÷ ln k: there the perplexity is √k  [choice]
UNREAD = 0.1  # × uniform: an order of magnitude less than an even share  [choice]
OWN = 0.5  # of the categories with readers: the majority reads its own  [choice]
ABSENT = 0.25  # of all affinity, or what an even reading would put there if that is less: a quarter of what is read  [choice]

LIVE = Measure("collapse-live", "Live prototypes alike", "mean cosine", COLLAPSED)
SINKS = Measure("sinks", "Sinks", "of categories", SINK_READERS)
USAGE = Measure("usage", "Evenness of use", "of ln k", UNEVEN)
UNUSED = Measure("unread", "Prototypes that nobody reads", "prototypes", 0)
OWN_MOST = Measure("own", "Own prototype read most", "of categories", OWN)
ON_ABSENT = Measure("absent", "Affinity on absent categories", "of affinity", ABSENT)


def live_collapse(classes: Sequence[str], pairs: Pairs | None) -> Finding:
    """Mean cosine between live prototypes of categories that an image holds; each pair of categories counts once."""
    if pairs is None:
        return LIVE.unknown(f"{NO_ATLAS}: how alike live prototypes are is not measured.")
    if not pairs.together[~np.eye(len(classes), dtype=bool)].any():
        return LIVE.unknown("No image of the atlas holds two categories: there is no pair to compare.")
    return collapse(LIVE, classes, pairs.present, "live prototypes of categories in the same image")


def collapse(measure: Measure, classes: Sequence[str], cosines: np.ndarray, what: str) -> Finding:
    """Mean over the defined pairs of a symmetric cosine matrix (k, k), and its most alike pair."""
    rows, columns = np.triu_indices(len(classes), 1)
    values = cosines[rows, columns]
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return measure.unknown(
            f"No cosine between {what} is defined: one of each pair is 0 or not a finite number."
        )
    mean, top = float(values[known].mean()), int(known[values[known].argmax()])
    pair = (classes[int(rows[top])], classes[int(columns[top])])
    bad = mean > COLLAPSED
    if len(known) == 1:
        sentence = f"There is one pair of {what}, {pair[0]} and {pair[1]}, with a cosine of {number(mean)}. "
    else:
        above = int((values[known] > COLLAPSED).sum())
        sentence = (
            f"The mean cosine over {len(known)} pairs of {what} is {number(mean)}; {above} {plural(above, 'is', 'are')} above "
            f"{number(COLLAPSED)}, the most alike {pair[0]} and {pair[1]} with {number(values[top])}. "
        )
    sentence += (
        "They have collapsed: they point almost the same way."
        if bad
        else f"No collapse of the whole, which would be a mean above {number(COLLAPSED)}."
    )
    return measure.found(mean, bad, sentence, pair)


def reading_findings(
    classes: Sequence[str], usage: Usage | None, images: Images | None = None
) -> list[Finding]:
    """Sinks, evenness, unread prototypes, own reading, absent categories."""
    if usage is None:
        measures = (SINKS, USAGE, UNUSED, OWN_MOST, ON_ABSENT)
        return [measure.unknown(f"{NO_ATLAS}: who reads what is not measured.") for measure in measures]
    read = readership(usage)
    return [
        _sinks(classes, read),
        _usage(len(classes), read),
        _unread(classes, read),
        _own(classes, read),
        _absent(read, images),
    ]


def _sinks(classes: Sequence[str], read: Readership) -> Finding:
    met = int(read.readers.sum())
    if met < 2:
        who = f"Only {classes[int(read.readers.argmax())]} has" if met else "No category has"
        return SINKS.unknown(f"{who} readers: what everyone reads takes two categories at least to be seen.")
    if not read.favoured_by.any():
        sentence = f"None of the {met} categories with readers reads one prototype clearly most: no sink."
        return SINKS.found(0, False, sentence)
    # Of those that equally many read most, the one with the larger share.
    top = max(range(len(classes)), key=lambda c: (read.favoured_by[c], read.share[c]))
    share, times = float(read.favoured_by[top]) / met, float(read.times_uniform[top])
    many = share > SINK_READERS
    bad = many and times > SINK_TIMES
    sentence = (
        f"{classes[top]} is what {read.favoured_by[top]} of {met} categories with readers read most; it receives "
        f"{percent(read.share[top])} of all affinity, {number(times)} × uniform. "
    )
    if bad:
        sentence += "It is a sink: that a pixel reads it says little about the pixel."
    elif many:
        sentence += f"No sink all the same: that is no more than {number(SINK_TIMES)} × uniform."
    else:
        sentence += "No sink: that is not more than half of them."
    return SINKS.found(share, bad, sentence, [classes[top]])


def _usage(k: int, read: Readership) -> Finding:
    if not np.isfinite(read.entropy):
        return USAGE.unknown("No affinity was measured, so how evenly prototypes are used is not known.")
    bad = read.entropy < UNEVEN
    sentence = (
        f"Affinity is spread as if {number(read.perplexity)} of {k} prototypes were read evenly: its entropy is "
        f"{percent(read.entropy)} of ln {k}. The limit is {percent(UNEVEN)}, which is √{k} = {number(k**0.5)} prototypes"
        f"{': few carry most of it.' if bad else '.'}"
    )
    return USAGE.found(read.entropy, bad, sentence)


def _unread(classes: Sequence[str], read: Readership) -> Finding:
    k = len(classes)
    if not np.isfinite(read.share).all() or not read.readers.any():
        return UNUSED.unknown(
            "No affinity of a pure cell was measured, so which prototypes nobody reads is not known."
        )
    order = np.argsort(read.times_uniform, kind="stable")
    little = [int(c) for c in order if read.times_uniform[c] < UNREAD]
    # A rare category's prototype gets a small share of everything; that its own few pixels read it is enough.
    nobody = [classes[c] for c in little if not read.best[c] * k >= 1]
    limit = f"a tenth of an even share ({percent(UNREAD / k)})"
    if not little:
        sentence = f"Each of the {k} prototypes receives at least {limit} of all affinity."
        return UNUSED.found(0, False, sentence)
    sentence = (
        f"{len(little)} of {k} prototypes {plural(len(little), 'receives', 'receive')} less than {limit} of all affinity: "
        f"{listed(classes[c] for c in little)}. "
    )
    if nobody:
        sentence += f"No category gives {listed(nobody)} even an even share: nobody reads {plural(len(nobody), 'it', 'them')}."
    else:
        sentence += "Yet some category gives each an even share or more: rare rather than unread."
    return UNUSED.found(len(nobody), bool(nobody), sentence, nobody)


def _own(classes: Sequence[str], read: Readership) -> Finding:
    met = np.flatnonzero(read.readers)
    if not len(met):
        return OWN_MOST.unknown(
            "No category has readers, so whether they read their own prototype is not known."
        )
    own = read.favourite[met] == met
    count, share, weight = int(own.sum()), float(own.mean()), float(read.own[met].mean())
    bad = share < OWN
    others = [classes[int(c)] for c in met[~own]]
    sentence = (
        f"{count} of {len(met)} categories with readers {plural(count, 'reads its', 'read their')} own prototype most; the mean "
        f"weight on the own one is {percent(weight)}, {number(weight * len(classes))} × uniform. "
    )
    if bad:
        sentence += (
            "A prototype's name does not say who reads it: go by profiles and ratios, not by raw affinity."
        )
    else:
        sentence += f"Not so: {listed(others)}." if others else "A prototype's name says who reads it most."
    return OWN_MOST.found(share, bad, sentence, others)


def _absent(read: Readership, images: Images | None) -> Finding:
    if not np.isfinite(read.absent):
        return ON_ABSENT.unknown("No affinity was measured, so its part on absent categories is not known.")
    # Readers who put more there than an even reading would do not avoid what is absent, however little it is.
    even = np.nan if images is None else absent_if_uniform(images)
    limit = min(ABSENT, even) if np.isfinite(even) else ABSENT
    bad = read.absent > limit
    beside = f"; reading all prototypes evenly would put {percent(even)} there" if np.isfinite(even) else ""
    why = " They average pixels of other categories, so their names mislead." if read.absent > 0 else ""
    sentence = (
        f"{percent(read.absent)} of all affinity falls on prototypes of categories that the image does not hold{beside}.{why} "
        f"{'More' if bad else 'Not more'} than the limit of {percent(limit)}."
    )
    return replace(ON_ABSENT, threshold=limit).found(read.absent, bad, sentence)
