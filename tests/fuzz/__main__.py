"""`python -m tests.fuzz`: mutates what every reader of foreign bytes is given, for as long as you like, and counts.

    python -m tests.fuzz --seconds 60                 every target for a minute; a table of counts; exit 1 at a defect
    python -m tests.fuzz --only image --seed 7        one target, other mutations
    python -m tests.fuzz --seconds 60 --atheris       the same guided by coverage, where atheris is installed

What fails is written to runs/fuzz/TARGET-HASH, and `--replay FILE --only TARGET` runs it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

from tests.fuzz.mutating import mutated
from tests.fuzz.targets import FORMATS, SIZES, TARGETS, Target, picture, try_image


def fuzz(target: Target, seconds: float, seed: int, out: Path) -> dict[str, int | str]:
    """Counts of one target's inputs."""
    seeds, rng, end = target.seeds(), random.Random(seed), time.monotonic() + seconds
    counts = {"inputs": 0, "accepted": 0, "refused": 0, "defects": 0}
    kinds: set[str] = set()
    while time.monotonic() < end:
        _try(target, mutated(seeds, rng.randrange), counts, kinds, out)
    return {"target": target.name, "seeds": len(seeds), **counts}


def truncations(out: Path) -> dict[str, int | str]:
    """Every image of the table, cut at every 64th byte."""
    counts = {"inputs": 0, "accepted": 0, "refused": 0, "defects": 0}
    target, kinds, files = Target("image-cut", "", list, try_image), set(), 0
    for format_, modes in FORMATS.items():
        for mode in modes:
            for size in SIZES:
                data = picture(format_, mode, size)
                files += 1
                for at in range(0, len(data), 64):
                    _try(target, data[:at], counts, kinds, out)
    return {"target": target.name, "seeds": files, **counts}


def _try(target: Target, data: bytes, counts: dict[str, int], kinds: set[str], out: Path) -> None:
    counts["inputs"] += 1
    try:
        counts["accepted" if target.try_(data) else "refused"] += 1
    except Exception as error:  # any other error than ours is what is looked for
        counts["defects"] += 1
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} {where.filename}:{where.lineno}"
        if kind in kinds:
            return
        kinds.add(kind)
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        print(f"{target.name}: {kind}: {error}\n  {path}", file=sys.stderr)


def guided(target: Target, seconds: float, seed: int, out: Path) -> NoReturn:
    """The same by coverage of Loupe's own code: prints the counts and ends the process, as libFuzzer does too."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed here: pip install atheris (it needs Linux or macOS)")
    with atheris.instrument_imports(
        include=["app", "engine"]
    ):  # targets import what they need when they are first used
        seeds = target.seeds()
        for each in seeds:
            target.try_(each)
    counts = {"inputs": 0, "accepted": 0, "refused": 0, "defects": 0}
    kinds: set[str] = set()
    end = time.monotonic() + seconds

    def one(data: bytes) -> None:
        given = atheris.FuzzedDataProvider(data)
        _try(target, mutated(seeds, lambda n: given.ConsumeIntInRange(0, n - 1)), counts, kinds, out)
        if time.monotonic() > end:
            print(json.dumps({"target": target.name, "seeds": len(seeds), **counts}), flush=True)
            os._exit(0)

    atheris.Setup([sys.argv[0], f"-seed={seed + 1}", "-rss_limit_mb=0", "-verbosity=0"], one)
    atheris.Fuzz()
    raise AssertionError("libFuzzer does not return")


def all_guided(targets: list[Target], seconds: float, seed: int, out: Path) -> list[dict[str, int | str]]:
    """Each target in a process of its own."""
    rows = []
    for target in targets:
        command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--atheris", "--only", target.name]
        asked = ["--seconds", str(seconds), "--seed", str(seed), "--out", str(out)]
        done = subprocess.run([*command, *asked], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{target.name}: its process ended with {done.returncode}")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Hostile input for every reader."
    )
    parser.add_argument("--seconds", type=float, default=20, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    parser.add_argument("--replay", type=Path, help="a file that failed; needs --only")
    parser.add_argument(
        "--atheris", action="store_true", help="guided by coverage, each target in a process of its own"
    )
    parser.add_argument("--json", action="store_true", help="counts as JSON on stdout")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    asked = parser.parse_args()
    targets = [target for target in TARGETS if asked.only in (None, target.name)]
    if asked.replay:
        if not asked.only:
            parser.error("--replay needs --only")
        print("accepted" if targets[0].try_(asked.replay.read_bytes()) else "refused")
        return 0
    if asked.atheris and asked.only:
        guided(targets[0], asked.seconds, asked.seed, asked.out)
    if asked.atheris:
        rows = all_guided(targets, asked.seconds, asked.seed, asked.out)
    else:
        rows = [truncations(asked.out)] if asked.only in (None, "image") else []
        rows += [fuzz(target, asked.seconds, asked.seed, asked.out) for target in targets]
    if asked.json:
        print(json.dumps(rows))
    else:
        print(f"{'target':14}{'seeds':>8}{'inputs':>10}{'accepted':>10}{'refused':>10}{'defects':>10}")
        for row in rows:
            cells = "".join(f"{row[key]:>10}" for key in ("inputs", "accepted", "refused", "defects"))
            print(f"{row['target']:14}{row['seeds']:>8}{cells}")
    return 1 if any(row["defects"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
