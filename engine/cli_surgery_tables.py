"""What `python -m engine surgery` prints for people."""

from __future__ import annotations

from typing import Any

from engine.terminal import figure, table

WIDEST = 16  # categories: a larger causal matrix is not printed whole
STRONGEST = 10


def print_surgery(found: dict[str, Any]) -> None:
    print(f"{found['model']} {found['checkpoint'][:8]} on {found['device']}")
    if "image" in found:
        _print_image(found["image"])
    if "data" in found:
        _print_data(found["data"])
    if "matrix" in found:
        _print_matrix(found["matrix"], found["attention_predicts"])
    if "saved" in found:
        print(f"\nwritten: {found['saved']}")


def _print_image(one: dict[str, Any]) -> None:
    (height, width), whole = one["size"], one["original_size"]
    reduced = f", reduced to {width}×{height}" if tuple(whole) != (height, width) else ""
    print(f"\n{one['name']}{reduced}: {'; '.join(one['described'])}")
    again = ", ".join(one["recomputed"]) or "nothing: no update changed"
    print(f"computed anew: {again} ({figure(one['milliseconds'])} ms)")
    print(
        f"{one['changed_pixels']} pixels changed their label, {100 * one['changed']:.3g} %; "
        f"mean |Δ logit| {figure(one['mean_absolute_logit_change'])}\n"
    )
    rows = [
        (name, 100 * each["before"], 100 * each["after"], 100 * (each["after"] - each["before"]))
        for name, each in one["areas"].items()
        if each["before"] or each["after"]
    ]
    table("Share of the image, percent", ["category", "before", "after", "change"], rows)
    if "pixel" in one:
        _print_pixel(one["pixel"])


def _print_pixel(one: dict[str, Any]) -> None:
    print("\npixel {},{}: {} → {}".format(*one["pixel"], *one["predicted"].values()))
    known = [stage for stage in one["stages"] if stage["affinity"] is not None]
    if not known:
        print("its sources are no prototypes, so there is no affinity to any")
        return
    rows = [
        (name, *(x for stage in known for x in stage["affinity"][name].values()))
        for name in known[0]["affinity"]
    ]
    columns = ["prototype", *(f"{stage['stage']} {when}" for stage in known for when in ("before", "after"))]
    table("Affinity, heads averaged", columns, rows)


def _print_data(one: dict[str, Any]) -> None:
    print(f"\n{one['finding']}\n")
    rows = []
    for measure, title in (("mIoU", "mIoU"), ("boundary_IoU", "boundary IoU")):
        rows.append((title, *_change(one[measure]["mean"])))
    rows += [(name, *_change(each)) for name, each in one["mIoU"]["categories"].items()]
    columns = ["", "before %", "after %", "change, points", "p", "p (Holm)", "images"]
    table("IoU, with 95 % over images, one training seed", columns, rows)
    if one["most_changed"]:
        print()
        rows = [(each["id"], 100 * each["changed"], each["delta"]) for each in one["most_changed"]]
        table("Images that changed most", ["image", "pixels changed, %", "its mIoU, points"], rows)


def _print_matrix(one: dict[str, Any], predicts: dict[str, Any]) -> None:
    names, delta = one["categories"], one["delta"]
    where = f"at {one['stage']}" if one["stage"] else "at every stage"
    print(
        f"\nEach prototype ablated ({one['meaning']}) {where}, {one['images']} images of {one['data']}: change of IoU, points\n"
    )
    if len(names) <= WIDEST:
        rows = [(name, *(f"{x:+.2f}" for x in row)) for name, row in zip(names, delta, strict=True)]
        table("row: category · column: ablated prototype", ["", *(name[:6] for name in names)], rows)
        print()
    cells = len(names) ** 2
    pairs = sorted(
        (
            (float(delta[r, c]), float(one["low"][r, c]), float(one["high"][r, c]), names[r], names[c])
            for r in range(len(names))
            for c in range(len(names))
            if one["low"][r, c] > 0 or one["high"][r, c] < 0
        ),
        key=lambda pair: -abs(pair[0]),
    )
    table(
        f"Strongest of {len(pairs)} whose interval leaves out 0 (of {cells}; chance alone gives about {cells / 20:.0f})",
        ["category", "without", "change, points"],
        [
            (row, column, f"{d:+.3g} [{low:.3g}, {high:.3g}]")
            for d, low, high, row, column in pairs[:STRONGEST]
        ],
    )
    print(f"\n{predicts.get('finding') or predicts['reason']}")


def _change(each: dict[str, Any]) -> tuple[Any, ...]:
    low, high = each["low"], each["high"]
    interval = f" [{low:+.3g}, {high:+.3g}]" if low == low else ""  # nan is not itself
    delta = "–" if each["delta"] != each["delta"] else f"{each['delta']:+.3g}{interval}"
    return each["before"], each["after"], delta, each["p"], each["p_holm"], each["images"]
