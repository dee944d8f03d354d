"""What an atlas keeps of every image, in one pair of files for each chunk of images, written once and then only read.

`images/00012.parquet`   a row an image: index, id, height, width, per-category pixels (true, predicted), confusion (k²,
                         row-major), presence, and per stage `norm` and `cosine` of the live prototypes
`vectors/00012.safetensors`   per image: `index`, `STAGE.prototypes` (i, k, c), `STAGE.price.*` (see engine.atlas.price)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.atlas.collect import Row
from engine.errors import LoupeError
from engine.writing import together


def names_of(chunk: int, ragged: int = 0) -> tuple[str, str]:
    """The two files of a chunk, relative to the atlas. The last chunk may be ragged, of so many images; a longer walk writes
    its own beside it, so that the finished atlas stays whole until the next is."""
    name = f"{chunk:05d}-ragged{ragged}" if ragged else f"{chunk:05d}"
    return f"images/{name}.parquet", f"vectors/{name}.safetensors"


def write_shard(folder: Path, chunk: int, rows: Sequence[Row], ragged: int = 0) -> dict[str, str]:
    """Writes both files; returns their digests. A reader never sees half a file."""
    table, vectors = names_of(chunk, ragged)
    return {
        table: write_bytes(folder / table, parquet_bytes(_columns(rows))),
        vectors: write_bytes(folder / vectors, packed(_vectors(rows))),
    }


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "index": [row.index for row in rows],
        "id": [row.id for row in rows],
        "height": [row.size[0] for row in rows],
        "width": [row.size[1] for row in rows],
        "true": [row.true.tolist() for row in rows],
        "predicted": [row.predicted.tolist() for row in rows],
        "confusion": [row.confusion.ravel().tolist() for row in rows],
    }
    if rows and rows[0].presence is not None:
        columns["presence"] = [None if row.presence is None else row.presence.tolist() for row in rows]
    for kind in ("norm", "cosine"):
        for stage in getattr(rows[0], kind) if rows else ():
            columns[f"{stage}.{kind}"] = [getattr(row, kind)[stage].tolist() for row in rows]
    return columns


def _vectors(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    arrays = {"index": np.array([row.index for row in rows], np.int64)}
    for name in rows[0].vectors if rows else ():
        array = np.stack([row.vectors[name] for row in rows])
        arrays[name] = halved(array) if name.endswith(".prototypes") else array
    return arrays


def read_tables(
    folder: Path, digests: dict[str, str], wanted: Callable[[str], bool]
) -> dict[str, np.ndarray]:
    """All images' columns of wanted names; lists as (i, …) arrays.

    Raises:
        LoupeError: a file is missing or is not the one that was written.
    """
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    names = sorted(name for name in digests if name.startswith("images/"))

    def read(name: str) -> Any:
        file = pq.ParquetFile(io.BytesIO(read_bytes(folder, name, digests)))
        return file.read(columns=[column for column in file.schema_arrow.names if wanted(column)])

    tables = [read(name) for name in names]
    # A chunk without a readable image has neither all the columns nor their types.
    table = pa.concat_tables([each for each in tables if each.num_rows])
    columns = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_list(column.type):
            columns[name] = np.asarray(column.flatten()).reshape(len(column), -1)
        else:
            columns[name] = np.array(column.to_pylist()) if name == "id" else np.asarray(column)
    return columns


class VectorShards:
    """The vectors of all chunks, one after the other; may be walked again and again.

    Raises LoupeError while walked, where a file is missing or is not the one that was written.
    """

    def __init__(self, folder: Path, digests: dict[str, str]) -> None:
        self.folder, self.digests = folder, digests

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for name in sorted(name for name in self.digests if name.startswith("vectors/")):
            data = read_bytes(self.folder, name, self.digests)
            try:
                arrays = load(data)
            except SafetensorError as error:
                raise LoupeError(damaged(name)) from error
            if len(arrays["index"]):
                yield arrays


def parquet_bytes(columns: dict[str, list[Any]]) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def packed(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file."""
    # safetensors writes the memory of a transposed array as it lies, under the shape that the transpose has.
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata)


def digest_of(arrays: dict[str, np.ndarray], about: str) -> str:
    """Of numbers and what is said about them."""
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).data)
    return digest.hexdigest()


def write_bytes(path: Path, data: bytes) -> str:
    """Writes a file at once or not at all; returns its digest.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    write_together({path: data})
    return file_digest(data)


def write_together(files: dict[Path, bytes]) -> None:
    """Writes several files so that a full disk changes none of them, then puts them in place one after the other."""
    with together(list(files)) as partials:
        for data, partial in zip(files.values(), partials, strict=True):
            partial.write_bytes(data)


def file_digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_bytes(folder: Path, name: str, digests: dict[str, str]) -> bytes:
    """A file of the atlas as it was written.

    Raises:
        LoupeError: missing or damaged.
    """
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise LoupeError(
            f"the atlas in {folder} lacks {name}: build it again, what is whole is kept"
        ) from error
    if file_digest(data) != digests.get(name):
        raise LoupeError(damaged(name))
    return data


def damaged(name: str) -> str:
    return f"{name} of the atlas is damaged: build it again, what is whole is kept"


def halved(array: np.ndarray) -> np.ndarray:
    """fp16 where its range holds every value, else as it is."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.isfinite(half).all() else array
