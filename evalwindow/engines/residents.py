"""Which LoRA adapters are loaded into an engine: at most N, the least recently used idle one makes room.

Several processes share an engine. Who is using an adapter is told by shared locks on a file of its own, who loads or
unloads by an exclusive lock of the pool, what is loaded by the engine itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evalwindow.config import Lora
from evalwindow.engines.adapters import check_adapter, materialise
from evalwindow.engines.flock import FileLock
from evalwindow.engines.vllm_http import EngineFault, UnknownModel, VllmHttp
from evalwindow.errors import BadInput, EngineRefused, EngineUnavailable, NotFound, ServiceDown

#: artifact(digest) -> the adapter's files; runs in a thread. Raises NotFound.
Artifact = Callable[[str], Mapping[str, bytes]]


def served_name(digest: str) -> str:
    """What an adapter is called in the engine. A name that was used for other weights would serve those."""
    return f"lora-{digest[:32]}"


def lock_path(folder: Path, *, pool: str, name: str) -> Path:
    """The file that users of an adapter, by its served name, lock shared; its time is that of the last use."""
    return folder / f".{pool}.{name}.lock"


async def resident_adapters(http: VllmHttp) -> list[str]:
    """Served names of the adapters that an engine has loaded."""
    models = (await http.get("/v1/models"))["data"]
    return [str(model["id"]) for model in models if model["parent"] is not None]


@dataclass
class _Use:
    """This process's use of one adapter."""

    lock: FileLock
    users: int = 0
    loaded: bool = False
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Residents:
    """The adapters of one pool's engine, as one process sees them."""

    def __init__(
        self, http: VllmHttp, *, folder: Path, pool: str, lora: Lora, base: Path | None, artifact: Artifact
    ) -> None:
        self._http, self._folder, self._pool = http, folder.resolve(), pool
        self._lora, self._base, self._artifact = lora, base, artifact
        self._uses: dict[str, _Use] = {}

    @asynccontextmanager
    async def use(self, digest: str) -> AsyncIterator[str]:
        """Keep an adapter loaded inside the block; its name in the engine.

        Raises EngineRefused for an adapter that can't be served, EngineUnavailable when all places are in use.
        """
        name = served_name(digest)
        use = self._uses.setdefault(name, _Use(FileLock(self._lock_path(name))))
        use.users += 1
        try:
            async with use.loading:
                if not use.loaded:
                    await self._acquire(use, digest=digest)
            yield name
        finally:
            use.users -= 1
            if use.users == 0:
                self._touch(name)
                use.lock.unlock()
                del self._uses[name]

    def forget(self, digest: str) -> None:
        """The engine says that it doesn't know this adapter (it is a new one): load it again at the next use."""
        use = self._uses.get(served_name(digest))
        if use is not None:
            use.loaded = False

    async def _acquire(self, use: _Use, *, digest: str) -> None:
        await use.lock.lock(shared=True)  # from here on nobody unloads it
        self._touch(served_name(digest))
        path = await self._files(digest)
        pool = FileLock(self._lock_path("pool"))
        await pool.lock()
        try:
            await self._load(digest, path=path)
        finally:
            pool.unlock()
        use.loaded = True

    async def _files(self, digest: str) -> Path:
        """The adapter's folder on this host, fetched and checked at its first use."""
        path = self._folder / digest
        if path.is_dir():
            return path
        try:
            files = await asyncio.to_thread(self._artifact, digest)
            check_adapter(files, lora=self._lora, base=self._base)
            return await asyncio.to_thread(materialise, self._folder, digest=digest, files=files)
        except (BadInput, NotFound) as error:
            raise EngineRefused(f"adapter {digest[:16]}: {error}") from error
        except ServiceDown as error:
            raise EngineUnavailable(f"adapter {digest[:16]} can't be fetched: {error}") from error
        except OSError as error:  # the disk is full, say: nothing is wrong with the adapter
            raise EngineUnavailable(f"adapter {digest[:16]} can't be kept on this host: {error}") from error

    async def _load(self, digest: str, *, path: Path) -> None:
        name = served_name(digest)
        resident = await resident_adapters(self._http)
        if name in resident:
            return
        while len(resident) >= self._lora.max_adapters:
            resident.remove(await self._unload_one(resident))
        try:
            await self._http.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
        except EngineFault as error:
            if "add_lora" in str(error):  # the engine lives; it says no to these weights
                raise EngineRefused(f"adapter {digest[:16]}: {error}") from error
            raise

    async def _unload_one(self, resident: list[str]) -> str:
        for name in sorted(resident, key=self._last_used):
            lock = FileLock(self._lock_path(name))
            if not lock.try_lock():
                continue
            try:
                await self._http.post("/v1/unload_lora_adapter", {"lora_name": name})
            except UnknownModel:  # gone already
                pass
            finally:
                lock.unlock()
            return name
        raise EngineUnavailable(
            f"all {len(resident)} adapter places of pool {self._pool!r} are in use (lora.max_adapters)"
        )

    def _lock_path(self, name: str) -> Path:
        return lock_path(self._folder, pool=self._pool, name=name)

    def _last_used(self, name: str) -> float:
        path = self._lock_path(name)
        return path.stat().st_mtime if path.exists() else 0.0

    def _touch(self, name: str) -> None:
        path = self._lock_path(name)
        if path.exists():
            os.utime(path)
