"""What reads other people's bytes. A target takes bytes and says whether they were accepted; what is no LoupeError is a defect.

Each target asserts more than survival where there is more to hold: what is accepted has the shape that is promised, a link that
was read can be written and read again, a route answers with a status that means something.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from engine.errors import LoupeError

Try = Callable[[bytes], bool]
ROUTE_STATUS = {200, 307, 400, 403, 404, 405, 409, 410}


@dataclass(frozen=True)
class Target:
    """seeds: inputs that are mutated; try_: True where the bytes are accepted, False where they are refused in a sentence."""

    name: str
    what: str
    seeds: Callable[[], list[bytes]]
    try_: Try


def refused(error: LoupeError, named: str = "") -> bool:
    """Holds that the refusal is one sentence for people: it says something, of what, on one line, and not at any length."""
    text = str(error)
    assert named in text, text
    assert text.strip() and "\n" not in text.strip() and len(text) < 2000, text
    assert "Traceback" not in text, text
    return False


def _folder() -> Path:
    return Path(_room().name)


@cache
def _room() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="loupe-fuzz-")


# ---------------------------------------------------------------------------------------------- images

FORMATS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "F", "I;16"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P"),
    "PPM": ("1", "L", "RGB"),
    "JPEG2000": ("L", "RGB", "RGBA"),
}
SIZES = ((32, 32), (33, 47), (64, 40))  # width × height


def picture(format_: str, mode: str, size: tuple[int, int]) -> bytes:
    """A file of noise, so that nothing of it is redundant."""
    rng = np.random.default_rng(size[0])
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, size[::-1], dtype=np.uint16))
    elif mode in ("I", "F"):
        image = Image.fromarray(
            rng.integers(0, 65536, size[::-1]).astype(np.int32 if mode == "I" else np.float32)
        )
    else:
        image = (
            Image.fromarray(rng.integers(0, 256, (*size[::-1], 4), dtype=np.uint8))
            .convert("RGB")
            .convert(mode)
        )
    buffer = io.BytesIO()
    image.save(buffer, format_)
    return buffer.getvalue()


@cache
def pictures() -> list[bytes]:
    """Every format and mode of the table at every size."""
    return [picture(f, mode, size) for f, modes in FORMATS.items() for mode in modes for size in SIZES]


def try_image(data: bytes) -> bool:
    from engine.images import load_image

    try:
        image = load_image(data, 48, name="it.img")
    except LoupeError as error:
        return refused(error, "it.img")
    assert image.pixels.dtype == np.uint8 and image.pixels.ndim == 3 and max(image.size) <= 48
    return True


# ---------------------------------------------------------------------------------------------- checkpoints


@cache
def checkpoint() -> bytes:
    from tests.stand_ins import save

    folder = _folder() / "model"
    folder.mkdir(exist_ok=True)
    save(folder, "tiny")
    return (folder / "tiny.safetensors").read_bytes()


def headers() -> list[bytes]:
    """Headers of a checkpoint, whose weights follow unchanged: the seeds are what a header says, with small lies."""
    data = checkpoint()
    size = struct.unpack("<Q", data[:8])[0]
    true = json.loads(data[8 : 8 + size])
    found = [true]
    spec = json.loads(true["__metadata__"]["spec"])
    for change in (
        {"channels": 10**12}, {"channels": -1}, {"channels": 1.5}, {"heads": 3}, {"groups": 7}, {"classes": []},
        {"classes": "abc"}, {"backbone": "vit_giant_patch14_224"}, {"backbone": "hf-hub:somebody/something"},
        {"backbone": "../../etc"}, {"mean": [0]}, {"method": "eval"}, {"sources": "everything"}, {"output_stride": 0},
        {"memory_share": 2}, {"dropout": float("nan")},
    ):  # fmt: skip
        metadata = {**true["__metadata__"], "spec": json.dumps({**spec, **change})}
        found.append({**true, "__metadata__": metadata})
    return [json.dumps(each).encode() for each in found]


def try_checkpoint(header: bytes) -> bool:
    from engine import checkpoints

    data = checkpoint()
    path = _folder() / "changed.safetensors"
    size = struct.unpack("<Q", data[:8])[0]
    path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + size :])
    try:
        found = checkpoints.load(path)
    except LoupeError as error:
        return refused(error)
    assert len(found.segmenter.spec.classes) >= 2
    return True


@cache
def pickles() -> list[bytes]:
    import torch

    found = []
    for content in (
        {"state_dict": {"a.weight": torch.ones(2, 3)}, "meta": {"CLASSES": ["x", "y"]}},
        {"model": {}},
        [1],
        "text",
    ):
        for zipped in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
            found.append(buffer.getvalue())
    return [
        *found,
        b"\x80\x02K\x00r\xff\xff\xff\x3f.",
    ]  # once took 16 GB: a number, kept at place 2³⁰ of the memo


def try_pickle(data: bytes) -> bool:
    from engine.mmseg.pickles import read_state_dict

    path = _folder() / "changed.pth"
    path.write_bytes(data)
    try:
        weights, _ = read_state_dict(path)
    except LoupeError as error:
        return refused(error)
    assert weights
    return True


# ---------------------------------------------------------------------------------------------- descriptions and lists


def descriptions() -> list[bytes]:
    from engine.data.descriptions import DATASETS

    own = b'title = "P"\nclasses = ["cat", "dog"]\nhome = "p"\n[labels]\nfirst = 1\nignore = [0]\n'
    own += b'[splits.val]\nimages = "i/*.jpg"\nlabels = "l/{stem}.png"\n'
    mapped = own.replace(b"first = 1", b'map = { "7" = 0, "8" = 1 }').replace(
        b'home = "p"', b"colours = [[1, 2, 3], [4, 5, 6]]"
    )
    return [own, mapped, *(path.read_bytes() for path in sorted(DATASETS.glob("*.toml")))]


def try_description(data: bytes) -> bool:
    from engine.data.descriptions import describe
    from engine.data.folders import open_folder

    path = _folder() / "changed.toml"
    path.write_bytes(data)
    try:
        about = describe(path)
    except LoupeError as error:
        return refused(error)
    assert about.table.shape == (65536,) and 2 <= len(about.classes) <= 255
    outside = _folder().resolve()
    for split in about.splits:
        try:
            found = open_folder(about, split, _folder() / "data")
        except LoupeError as error:
            refused(error)
        else:
            assert all(pair.image.resolve().is_relative_to(outside) for pair in found.pairs)
    return True


def try_recipe(data: bytes) -> bool:
    from engine.training.recipes import load_recipe

    path = _folder() / "changed-recipe.toml"
    path.write_bytes(data)
    try:
        load_recipe(path)
    except LoupeError as error:
        return refused(error)
    return True


def recipes() -> list[bytes]:
    from engine.training.recipes import recipe_names

    folder = Path(__file__).resolve().parents[2] / "assets" / "recipes"
    return [(folder / f"{name}.toml").read_bytes() for name in recipe_names()[:6]]


# ---------------------------------------------------------------------------------------------- edits


@cache
def edit_lists() -> list[bytes]:
    from engine import edits as e
    from engine.edits import to_json

    lists = [
        [e.Ablate("tree"), e.Temperature(0.5, stage="stride4")],
        [e.MemoryShare(0.3), e.SilenceHead(1, stage="stride8")],
        [e.Update("zero", stage="stride16"), e.Swap("tree", "road")],
    ]
    nameless = b'{"loupe_edits": 1, "edits": [{"kind": "temperature", "value": 0.5, "stage": ""}]}'  # once taken for all stages
    return [*(json.dumps(to_json(each)).encode() for each in lists), nameless]


def try_edits(data: bytes) -> bool:
    from app import surgery_links

    try:
        found = surgery_links.from_bytes(data, "edits.json")
    except LoupeError as error:
        return refused(error, "edits.json")
    again, problems = surgery_links.read(surgery_links.write(found))
    assert problems or again == found  # a list may be longer than a link's
    return True


@cache
def vectors() -> list[bytes]:
    buffer = io.BytesIO()
    np.save(buffer, np.linspace(0, 1, 12, dtype=np.float32))
    objects = io.BytesIO()
    np.save(objects, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    npy = buffer.getvalue()
    once = [  # what has got through before
        b"[1e300, 2]",  # no longer finite in single precision
        npy.replace(b"(12,)", b"(999999999999,)"),  # terabytes, by its header
        npy.replace(b"(12,)", b"(99999999999999999999999,)"),
        npy.replace(b"(12,)", b"(((12,"),
        npy.replace(b"<f4", b"<c8"),
    ]
    return [npy, objects.getvalue(), b"[1, 2.5, -3e4]", b"1, 2, 3\n4, 5, 6\n", *once]


def try_vector(data: bytes) -> bool:
    from app import surgery_links

    kept = False
    for kind in ("npy", "json", "csv"):
        try:
            found = surgery_links.vector_of(data, f"v.{kind}")
        except LoupeError as error:
            refused(error)
        else:
            kept = True
            assert found and np.isfinite(found).all()
    return kept


# ---------------------------------------------------------------------------------------------- links and addresses


def links() -> list[bytes]:
    return [
        b"model=cpt&image=data-scenes-val-1000020&pins=12,30;40,50&active=2&stage=stride8&reading=alike&head=1&scale=log&opacity=0.5",
        b"models=cpt,qup,hfgd&shows=auto,affinity,f3&pins=1,2&marks=error&pair=1,2",
        b"model=cpt&edits=ablate,tree;share,0.3;hide,16x16-0.a3.zz&stage=stride4",
        b"model=cpt&site=f2&categories=tree,road&projection=umap&neighbours=15&pages=3&cutouts=4",
        b"data=scenes-val&limit=50&pixels=4000&scores=auc&case=3&split=ade20k-val&at=2",
    ]


def try_link(data: bytes) -> bool:
    from urllib.parse import parse_qsl

    from app import selection as s

    pages = (s.INSPECT, s.PROTOTYPES, s.VARIANCE, s.GUIDANCE, s.COMPARE, s.SURGERY, s.AUDIT, s.LIBRARY)
    params = dict(parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True))
    clean = True
    for page in pages:
        default = s.Selection(model="cpt", image="0" * 16)
        found, problems = s.from_params(params, default, page)
        for sentence in problems:
            refused(LoupeError(sentence))
        again, none = s.from_params(s.to_params(found, page), default, page)
        assert not none and s.to_params(again, page) == s.to_params(found, page)
        clean = clean and not problems
    return clean


@cache
def _client():
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from app.routes import Store, routes
    from tests.browser.viewer_harness import synthetic

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (64, 96)).astype(np.uint8)
    image = rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)
    store = Store()
    key = store.put(synthetic.trace(image, labels, 5, "pixels", channels=16, seed=0), labels)
    return TestClient(Starlette(routes=routes(store)), follow_redirects=False), key


def addresses() -> list[bytes]:
    return [
        b"/tensors/KEY/stride4", b"/tensors/KEY/stride4/alike?row=3&col=20&head=1&viewer=a", b"/tensors/KEY/maps",
        b"/tensors/KEY/influence?row=1&col=2&site=f3&viewer=b&stop=1", b"/tensors/KEY/stride8/extras", b"/viewer/1/main.js",
        b"/viewer/1/../routes.py", b"/plots/abc", b"/tensors/KEY/image.png", b"/tensors/KEY/guidance", b"/tensors/KEY/logits",
    ]  # fmt: skip


def try_address(data: bytes) -> bool:
    client, key = _client()
    text = data.decode("latin-1").replace("KEY", key)
    path = "/" + quote(text.lstrip("/"), safe="/?&=%,;.")
    answer = client.get(f"http://testserver{path}")
    assert answer.status_code in ROUTE_STATUS, (path, answer.status_code)
    if answer.status_code >= 400:
        assert "Traceback" not in answer.text and len(answer.text) < 500
    return answer.status_code == 200


TARGETS = [
    Target("image", "an uploaded picture, every format and mode", pictures, try_image),
    Target("checkpoint", "the header of a safetensors model", headers, try_checkpoint),
    Target("pickle", "a foreign checkpoint, .pth", pickles, try_pickle),
    Target("description", "a dataset's TOML file", descriptions, try_description),
    Target("recipe", "a recipe's TOML file", recipes, try_recipe),
    Target("edits", "an uploaded list of edits", edit_lists, try_edits),
    Target("vector", "an uploaded vector, .npy, .json, .csv", vectors, try_vector),
    Target("link", "the parameters of a page's address", links, try_link),
    Target("route", "path and parameters of the viewer's routes", addresses, try_address),
]
