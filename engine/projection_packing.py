"""Requests for maps and their answers as bytes: a safetensors file whose header holds the rest as JSON. No pickle crosses a pipe.

The header also holds a digest of all contents: a file that was damaged on disk is told from a whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.errors import LoupeError
from engine.projection import Projection
from engine.projection_quality import Quality, Stability
from engine.projection_request import Answer, Request


def pack_request(request: Request) -> bytes:
    """As the bytes of a safetensors file; `read_request` reads them."""
    arrays = {f"x{number}": x for number, x in enumerate(request.xs)}
    if request.new is not None:
        arrays["new"] = request.new
    about: dict[str, Any] = {
        "kind": request.kind,
        "method": request.method,
        "panels": len(request.xs),
        "params": dict(request.params),
        "seed": request.seed,
        "seeds": request.seeds,
    }
    if request.base is not None:
        about["base"], base = _of_projection(request.base)
        arrays |= {f"base.{name}": array for name, array in base.items()}
    return _packed(arrays, about)


def read_request(data: bytes) -> Request:
    arrays, about = _read(data)
    base = None
    if "base" in about:
        inner = {name[5:]: array for name, array in arrays.items() if name.startswith("base.")}
        base = _to_projection(about["base"], inner)
    return Request(
        about["kind"],
        about["method"],
        tuple(arrays[f"x{number}"] for number in range(about["panels"])),
        about["params"],
        about["seed"],
        base,
        arrays.get("new"),
        tuple(about["seeds"]),
    )


def pack_answer(answer: Answer) -> bytes:
    """As the bytes of a safetensors file, with a digest of its contents; `read_answer` reads them."""
    if isinstance(answer, Projection):
        about, arrays = _of_projection(answer)
        return _packed(arrays, {"projection": about})
    if isinstance(answer, Stability):
        return _packed({}, {"stability": asdict(answer)})
    return _packed({"xy": answer}, {"places": len(answer)})


def read_answer(data: bytes) -> Answer:
    """Raises LoupeError where the bytes are not what was written."""
    try:
        arrays, about = _read(data)
        if "projection" in about:
            return _to_projection(about["projection"], arrays)
        if "stability" in about:
            found = about["stability"]
            return Stability(**{**found, "seeds": tuple(found["seeds"])})
        return arrays["xy"]
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise LoupeError("the kept projection is damaged") from error


def _of_projection(made: Projection) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    arrays = {f"map{number}": xy for number, xy in enumerate(made.maps)}
    arrays |= {name: array for name in ("centre", "axes") if (array := getattr(made, name)) is not None}
    about = {
        "method": made.method,
        "params": dict(made.params),
        "seed": made.seed,
        "panels": len(made.maps),
        "qualities": [asdict(quality) for quality in made.qualities],
        "explained": made.explained,
        "by": made.by,
        "seconds": made.seconds,
        "key": made.key,
    }
    return about, arrays


def _to_projection(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Projection:
    explained = about["explained"]
    return Projection(
        about["method"],
        about["params"],
        about["seed"],
        tuple(arrays[f"map{number}"] for number in range(about["panels"])),
        tuple(Quality(**{**one, "errors": tuple(one["errors"])}) for one in about["qualities"]),
        None if explained is None else (explained[0], explained[1]),
        about["by"],
        about["seconds"],
        about["key"],
        arrays.get("centre"),
        arrays.get("axes"),
    )


def _packed(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    # safetensors writes the memory of a transposed array as it lies, under the shape that the transpose has.
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(about)
    return save(whole, {"about": text, "digest": _digest(whole, text)})


def _read(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    size = int.from_bytes(data[:8], "little")  # of the header, see the safetensors format
    header = json.loads(data[8 : 8 + size])["__metadata__"]
    arrays = load(data)
    if _digest(arrays, header["about"]) != header["digest"]:
        raise ValueError("another digest")
    return arrays, json.loads(header["about"])


def _digest(arrays: Mapping[str, np.ndarray], about: str) -> str:
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].reshape(-1).data)
    return digest.hexdigest()
