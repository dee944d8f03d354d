"""Seeds, changed: cut, torn, spliced and filled with words that have broken readers before.

Where the changes come from is left to whoever asks: `choose(n)` is a whole number from 0 to n − 1, drawn by hypothesis (which
shrinks what fails), by a seeded generator or by a fuzzer that watches coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Choose = Callable[[int], int]

WORDS = [
    b"\x00", b"\xff" * 4, b"\x80\x02", b"../", b"/etc/passwd", b"\\", b"%00", b"%2e%2e%2f", b"{}", b"[]", b'"', b"'", b"-1",
    b"NaN", b"Infinity", b"1e999", b"9" * 30, b"null", b"true", b"<script>", b"<img src=x>", b"\n", b";", b",", b"=", b"&",
    b"\xc3\x28", "\u202e".encode(), b"__class__", b"0", b"255", b"65536", b"4294967295",
]  # fmt: skip


def mutated(seeds: Sequence[bytes], choose: Choose, words: Sequence[bytes] = WORDS, most: int = 6) -> bytes:
    """One of the seeds after up to `most` changes; at times another one's end, or a seed as it is."""
    data = bytearray(seeds[choose(len(seeds))])
    for _ in range(choose(most + 1)):
        at = choose(len(data) + 1)
        end = min(len(data), at + 1 + choose(16))
        kind = choose(7)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:end] = words[choose(len(words))]
        elif kind == 3:
            data[at:at] = words[choose(len(words))]
        elif kind == 4 and at < len(data):
            data[at] = choose(256)
        elif kind == 5 and at < len(data):
            data[at] ^= 1 << choose(8)
        else:
            other = seeds[choose(len(seeds))]
            data[at:] = other[choose(len(other) + 1) :]
    return bytes(data)
