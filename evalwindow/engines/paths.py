"""Where an engine's files lie under evalwindow's home."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from evalwindow.errors import ConfigInvalid

#: sun_path holds 108 bytes with its final NUL; the names of the sockets that a link points to are a little longer
LONGEST_SOCKET_PATH = 108 - 1 - len(".999999")


@dataclass(frozen=True, kw_only=True)
class EnginePaths:
    """Files of one pool on this host."""

    home: Path
    pool: str

    @property
    def folder(self) -> Path:
        return self.home / "engines"

    @property
    def record(self) -> Path:
        """EngineRecord as JSON; there while the engine is ready."""
        return self.folder / f"{self.pool}.json"

    @property
    def lock(self) -> Path:
        """Held by the pool's GPU unit."""
        return self.folder / f"{self.pool}.lock"

    def gpu_lock(self, gpu: str) -> Path:
        """Held while an engine starts on a GPU that this home's pools share."""
        return self.folder / f"gpu-{gpu}.lock"

    @property
    def socket(self) -> Path:
        """A symbolic link to the socket of the engine that is in use."""
        return self._sockets / f"{self.pool}.sock"

    @property
    def governor(self) -> Path:
        """The socket where prompts ask for their turn."""
        return self._sockets / f"{self.pool}.lanes"

    def generation_socket(self, generation: int) -> Path:
        return self._sockets / f"{self.pool}.sock.{generation}"

    def process(self, generation: int) -> Path:
        """Which process group a generation of the engine is; there until the group has ended."""
        return self.folder / f"{self.pool}.{generation}.process"

    def processes(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.pool}.*.process"))

    @property
    def log(self) -> Path:
        return self.home / "log" / f"engine-{self.pool}.log"

    @property
    def vllm_cache(self) -> Path:
        return self.home / "cache" / "vllm"

    @property
    def adapters(self) -> Path:
        return self.home / "adapters"

    def make(self) -> None:
        """Create the folders; raises ConfigInvalid when the sockets' folder belongs to somebody else."""
        for folder in (self.folder, self.log.parent, self.vllm_cache, self.adapters):
            folder.mkdir(parents=True, exist_ok=True)
        self._sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        owned(self._sockets)

    @property
    def _sockets(self) -> Path:
        """The engines' folder, or a short one of our own where its path is too long for a Unix socket."""
        longest = self.folder / f"{self.pool}.sock"
        if len(os.fsencode(longest)) <= LONGEST_SOCKET_PATH:
            return self.folder
        key = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"evalwindow-{os.getuid()}-{key}"


def owned(folder: Path) -> None:
    """Refuse a folder that another user could have put there: who owns it decides what answers on the socket."""
    found = folder.stat(follow_symlinks=False)
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise ConfigInvalid(
            f"{folder} does not belong to user {os.getuid()}; remove it or set a shorter EVALWINDOW_HOME"
        )
