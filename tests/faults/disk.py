"""A truly small disk, for a process that is to fill it."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000
PRIVATE = (1 << 14) | (1 << 18)  # with all that is below
READ_ONLY = 1


def mounted(folder: Path, megabytes: int, read_only: bool = False) -> bool:
    """A file system of its own in a folder, which this process alone sees and which goes with it; False where it may not."""
    folder.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_MOUNTS):
        if libc.unshare(NEW_MOUNTS | NEW_USER):
            return False
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    libc.mount(None, b"/", None, PRIVATE, None)
    flags = READ_ONLY if read_only else 0
    return not libc.mount(b"none", os.fsencode(folder), b"tmpfs", flags, f"size={megabytes}m".encode())


class SmallDisk:
    """A disk of some megabytes in a folder; where none may be mounted, a limit on the size of each file instead."""

    def __init__(self, folder: Path, megabytes: int = 8) -> None:
        self.folder = folder
        self.real = mounted(folder, megabytes)
        self.why = "the disk is full" if self.real else "File too large"
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, leave: int = 0) -> None:
        """All but so many bytes."""
        if not self.real:
            resource.setrlimit(resource.RLIMIT_FSIZE, (max(leave, 1), self._before[1]))
            return
        state = os.statvfs(self.folder)
        with (self.folder / "filler").open("ab") as file:
            file.write(bytes(max(0, state.f_bavail * state.f_frsize - leave)))

    def empty(self) -> None:
        """There is room again."""
        if self.real:
            (self.folder / "filler").unlink(missing_ok=True)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
