"""A seeded hash of image and position: the draw that makes a reservoir uniform, mergeable and repeatable.

Every pixel has a number that depends on nothing but the seed, the image's id and its place. Those with the smallest numbers are
a uniform sample without replacement, whoever walks the images, in whatever order, however often a walk was interrupted.
"""

from __future__ import annotations

import hashlib

import numpy as np


def image_key(seed: int, image: str) -> int:
    """64 bits of an image's id."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{image}".encode(), digest_size=8).digest(), "little")


def pixel_hashes(seed: int, image: str, pixels: int) -> np.ndarray:
    """(pixels,) uint64: SplitMix64 (Steele, Lea and Flood 2014) of the image's key plus the position, twice mixed."""
    # Two images' sequences may overlap as additive sequences do, unless the key is mixed in after the position as well.
    key = np.uint64(image_key(seed, image))
    with np.errstate(over="ignore"):
        return _mix(_mix(np.arange(1, pixels + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ key)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
