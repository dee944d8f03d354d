"""A Ray to walk on: found, started or refused in one sentence, and quiet: what matters is raised, the rest stays in its logs."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine import checkpoints
from engine.errors import LoupeError

INSTALL = "pip install 'ray[data]==2.60.0'"
PATIENCE = 5.0  # seconds for a cluster's head to answer
STORE_BYTES = 1 << 30  # of a local Ray's shared memory; what does not fit goes to disk [choice]


def imported_ray() -> Any:
    if "ray" not in sys.modules:  # read once, on import: what its processes say stays in its log files
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        with tolerant():
            import ray
            import ray.data
    except ImportError as error:
        raise LoupeError(f"Ray is not installed, which a walk on a cluster needs: {INSTALL}") from error
    return ray


def reach(address: str) -> None:
    """Refuses at once what Ray would try for a minute."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise LoupeError(f'"{address}" is no address of a Ray cluster: host:port of its head, or auto')
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LoupeError(f"the Ray cluster at {address} cannot be reached: {why}") from error


@contextlib.contextmanager
def connected(ray: Any, address: str | None) -> Iterator[None]:
    """A Ray to walk on; ended afterwards where it was started here."""
    if ray.is_initialized():
        mine = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", mine):
            raise LoupeError(f"this process already uses the Ray cluster at {mine}, not the one at {address}")
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        options |= {"address": "local", "include_dashboard": False, "object_store_memory": STORE_BYTES}
    else:
        code = Path(checkpoints.__file__).parent  # for machines without this folder
        options |= {"address": address, "runtime_env": {"py_modules": [str(code)]}}
    try:
        with tolerant(), without_stderr():
            ray.init(**options)
    except (OSError, RuntimeError, ValueError) as error:
        what = (
            "Ray cannot be started here"
            if address is None
            else f"the Ray cluster at {address} cannot be used"
        )
        raise LoupeError(f"{what}: {refusal(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Ray Data's log stays in Ray's files: what matters is raised."""
    log = logging.getLogger("ray.data")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Ray's warnings about its own settings, and about what its next versions will name differently, are for its authors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"ray\.")
        warnings.filterwarnings("ignore", message=".*is deprecated and will be removed in Ray")
        yield


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Ray's C++ core says on starting that its log level was set; only the descriptor can be kept from it."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def refusal(error: BaseException) -> str:
    """Why Ray did not start; what it says itself hides that a cluster asks for its token, as it does by default."""
    cause: BaseException | None = error
    while cause is not None:
        if "InvalidAuthToken" in str(cause):
            return "it asks for its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN where ~/.ray/auth_token lacks it"
        cause = cause.__cause__
    return first_line(error)


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".:") if lines else type(error).__name__
