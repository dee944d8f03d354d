"""Files that are there whole or not at all, whatever ends the process or fills the disk.

A file is written beside its place under a name that no reader looks for, flushed to the disk, and then takes its place. What a
killed process leaves of that is removed at the next start (`sweep`), which says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from engine.errors import LoupeError

FORGOTTEN = 3600.0  # seconds after which a file that was never finished is nobody's, whoever has its writer's number now
FULL = (errno.ENOSPC, errno.EDQUOT)
_PARTIAL = re.compile(r"\..+\.(\d+)\.[0-9a-f]+\.partial")


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The file to write to; when the block ends well it takes the place of `path`, otherwise `path` stays as it was.

    Raises:
        OSError: it cannot be written; also where a library says so by an exception of its own.
    """
    with together([path]) as (partial,):
        yield partial


@contextlib.contextmanager
def together(paths: list[Path]) -> Iterator[list[Path]]:
    """As `whole`, for several: a full disk changes none of them; they take their places one after the other."""
    partials = [
        path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial") for path in paths
    ]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield partials
        for partial in partials:
            _flush(partial, os.O_RDWR)  # by a handle that may write: not every system flushes by another
        for partial, path in zip(partials, paths, strict=True):
            os.replace(partial, path)
        for folder in {path.parent for path in paths}:
            with contextlib.suppress(OSError):  # not every system flushes folders
                _flush(folder, os.O_RDONLY)
    except BaseException as error:
        for partial in partials:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        if isinstance(error, Exception) and (cause := disk_error(error)) not in (None, error):
            raise cause from error
        raise


def write_whole(path: Path, data: bytes) -> None:
    """One file, at once or not at all.

    Raises:
        LoupeError: it cannot be written; one that was there stays.
    """
    try:
        with whole(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise refusal(path, error) from error


def disk_error(error: BaseException) -> OSError | None:
    """What the system said, behind an exception of torch's or safetensors'; None where it said nothing."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError):
            return found
        found = found.__cause__ or found.__context__
    # safetensors writes from Rust, and tells the number alone.
    if (number := re.search(r"\(os error (\d+)\)", str(error))) is not None:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    return None


def why(error: OSError) -> str:
    """A few words for a sentence."""
    return "the disk is full" if error.errno in FULL else error.strerror or str(error)


def refusal(path: Path, error: OSError) -> LoupeError:
    """The sentence on a file that could not be written by `whole`."""
    kept = "; the one that was there is kept" if path.is_file() else ""
    return LoupeError(f"{path} cannot be written: {why(error)}{kept}")


def sweep(folder: Path, name: str = "*") -> int:
    """Removes what processes that are no more left half written of files of that name (a pattern); how many there were.

    For the start of a process: what carries its own number is an earlier one's, which had the same.
    """
    count = 0
    with contextlib.suppress(OSError):
        for partial in folder.glob(f".{name}.*.partial"):
            with contextlib.suppress(OSError):  # another process may have removed it
                if _abandoned(partial):
                    partial.unlink()
                    count += 1
    return count


def swept(count: int, folder: Path) -> str:
    """The sentence on what `sweep` found."""
    return f"removed {count} half-written file{'s' * (count != 1)} of a process that was killed from {folder}"


def _abandoned(partial: Path) -> bool:
    if (named := _PARTIAL.fullmatch(partial.name)) is None:
        return False
    if time.time() - partial.stat().st_mtime > FORGOTTEN:
        return True
    writer = int(named[1])
    if writer == os.getpid():
        return True
    if os.name != "posix":  # where asking for a process would end it
        return False
    try:
        os.kill(writer, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # somebody else's, and alive
        return False
    return False


def _flush(path: Path, how: int) -> None:
    """What was written is on the disk when this returns: a name that outlives a power cut must not name an empty file."""
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
