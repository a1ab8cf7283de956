"""The user that a server runs as where this process is root: PostgreSQL refuses to be root."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import TypedDict

SERVANT = "nobody"


class As(TypedDict):
    """Keywords of subprocess.Popen that say whose process it is."""

    user: str | None
    group: int | None
    extra_groups: list[int] | None


def as_servant() -> As:
    """As root: the servant; else whoever we are."""
    if os.geteuid() != 0:
        return As(user=None, group=None, extra_groups=None)
    return As(user=SERVANT, group=pwd.getpwnam(SERVANT).pw_gid, extra_groups=[])


def owners() -> set[int]:
    """User ids that a server's folder may belong to."""
    return {os.geteuid(), pwd.getpwnam(SERVANT).pw_uid} if os.geteuid() == 0 else {os.geteuid()}


def give(*folders: Path, program: Path) -> None:
    """As root: hand the folders to the servant and let it walk to them and to its program."""
    if os.geteuid() != 0:
        return
    servant = pwd.getpwnam(SERVANT)
    for folder in folders:
        os.chown(folder, servant.pw_uid, servant.pw_gid)
    for path in (*folders, program):
        for parent in path.resolve().parents:
            if not parent.stat().st_mode & stat.S_IXOTH:
                parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
