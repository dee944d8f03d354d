"""Reads PyTorch's files without running what is in them.

A checkpoint of mmsegmentation is a pickle: tensors, and a record of the run in classes of other packages. Here tensors are
rebuilt, what those packages wrote becomes an empty object, and a file that names anything else (a function of the operating
system, say) is refused with that name. Nothing that a file names is ever called, but for the tables below.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch._utils
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.errors import LoupeError

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "set"): set,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    **{("torch", name): getattr(torch, name) for name in DTYPES},
}
EMPTY = (
    "mmengine",
    "mmcv",
    "mmseg",
    "mmdet",
    "numpy",
    "collections",
    "datetime",
    "pathlib",
    "argparse",
    "_codecs",
)
"""Packages whose objects are left empty."""


class Empty:
    """Stands for an object of another package: takes everything, keeps nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def __hash__(self) -> int:
        return 0

    def append(self, item: Any) -> None: ...
    def extend(self, items: Any) -> None: ...


class Unpickler(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """Finds what `ALLOWED` holds and nothing else.

    The one in Python, not the one in C: that takes as many gigabytes as a file of some bytes names as a place in its memo.
    Tensors lie outside the pickle, so that little is read by it.
    """

    def find_class(self, module: str, name: str) -> Any:
        found = ALLOWED.get((module, name))
        if found is not None:
            return found
        if module.partition(".")[0] in EMPTY:
            return type("Empty", (Empty,), {})
        raise LoupeError(f"it wants {module}.{name} to run, which a checkpoint has no need of")


def _load(file: Any, **settings: Any) -> Any:
    return Unpickler(file, **settings).load()


SAFE = SimpleNamespace(Unpickler=Unpickler, load=_load, __name__="engine.mmseg.pickles")


def read_state_dict(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors by key, what the file says of itself: plain values of its `meta`) of a .pth or .safetensors file.

    The state dict may lie under "state_dict" or "model"; a prefix "module." is taken off.

    Raises:
        LoupeError: missing, damaged, no state dict, or a pickle that wants to run code.
    """
    if not path.is_file():
        raise LoupeError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path), {}
        except SafetensorError as error:
            raise LoupeError(f"{path.name} cannot be read: it is truncated or damaged ({error})") from error
    try:
        content = torch.load(path, map_location="cpu", pickle_module=SAFE, weights_only=False)
    except LoupeError as error:
        raise LoupeError(f"{path.name} is not opened: {error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise LoupeError(f"{path.name} cannot be read as a PyTorch checkpoint: {why}") from error
    meta = content.get("meta") if isinstance(content, Mapping) else None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not any(isinstance(x, Tensor) for x in content.values()):
        raise LoupeError(f"{path.name} holds no state dict: no tensors by name")
    weights = {
        str(key).removeprefix("module."): x.detach() for key, x in content.items() if isinstance(x, Tensor)
    }
    return weights, dict(meta) if isinstance(meta, Mapping) else {}
