"""Disks that are full: a small filesystem of its own where this user may mount one, else a limit on written files."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

SIZE = "64k"
BALLAST = ".ballast"

#: $0 is the folder; then what runs with a small, full filesystem there. Nobody outside of it sees that filesystem.
_INSIDE = f'mount -t tmpfs -o size={SIZE} none "$0" && {{ cat /dev/zero >"$0/{BALLAST}" 2>/dev/null; exec "$@"; }}'


def full_disk_at(folder: Path) -> list[str]:
    """The beginning of a command line: the command after it sees a filesystem without room at `folder`."""
    return [*_unshare(), "sh", "-c", _INSIDE, str(folder)]


def make_room(pid: int, folder: Path) -> None:
    """On the full disk that this process sees."""
    seen_by(pid, folder / BALLAST).unlink()


def seen_by(pid: int, path: Path) -> Path:
    """A path as this process sees it."""
    return Path(f"/proc/{pid}/root{path}")


def limit_files(pid: int, size: int) -> None:
    """No file of this process may grow over so many bytes; -1: it may."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, -1))


@cache
def may_mount() -> bool:
    """Whether this user may have a filesystem of its own, in a namespace of its own."""
    line = [*_unshare(), "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


def _unshare() -> list[str]:
    """Root stays who it is: in a user namespace PostgreSQL's folder, which is another user's, would be closed to it."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


@dataclass(frozen=True)
class Disk:
    """A small filesystem that all processes of this machine see."""

    path: Path

    def fill(self) -> None:
        with (self.path / BALLAST).open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                return

    def make_room(self) -> None:
        (self.path / BALLAST).unlink()


@dataclass(frozen=True)
class Limit:
    """A disk that has no room for one process, and for whom it starts from then on."""

    pid: Callable[[], int]

    def fill(self) -> None:
        limit_files(self.pid(), 0)

    def make_room(self) -> None:
        limit_files(self.pid(), -1)


@contextmanager
def disk_at(path: Path, *, size: str, pid: Callable[[], int]) -> Iterator[Disk | Limit]:
    """With room: a small filesystem at `path` where this user may mount one, else a limit on that process's files."""
    if os.geteuid() != 0 or not may_mount():
        yield Limit(pid)
        return
    with mounted(path, size=size) as disk:
        yield disk


@contextmanager
def mounted(path: Path, *, size: str) -> Iterator[Disk]:
    """A filesystem of that size at `path`, with room; skips the test where only an administrator may mount one."""
    path.mkdir(parents=True)
    line = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "none", str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a right to mount a filesystem: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
