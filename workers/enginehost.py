"""One run of a pool's engine: start, prove that it answers rightly, drain, end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalwindow.config import Config, Lanes, Pool
from evalwindow.engines.digests import local_model, model_digest
from evalwindow.engines.flock import FileLock
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import EngineRecord
from evalwindow.engines.vllm_probe import EngineProbe
from evalwindow.engines.vllm_server import Resolved, advice, command, environment
from evalwindow.errors import EngineUnavailable, EvalwindowError
from evalwindow.fit import check_fit
from evalwindow.model import EngineInfo
from evalwindow.tokens import PromptCounter
from workers.groups import Group, kill_group, spawn, wait_until_gone

log = logging.getLogger(__name__)

HEALTH_POLL_S = 0.2
LAST_LINES = 15
ANSWER_S = 10.0  # for a server to say that it is healthy
HEALTHY_LOOKS = 3  # in a row: one that is dying may still say so for a moment
DEATH_S = 5.0  # of a server whose core has died
LEAST_START_S = 600.0  # a start may take this long; or four times the pool's cold_start_s, if that is longer
EXIT_AFTER_DRAIN_S = 10.0  # for the server to leave when its requests are done
ROOM = 256 * 2**10  # bytes on the disk: of a start's log and of what is written down about it, with some to spare


class EngineFailed(EvalwindowError):
    """The engine did not get ready."""


@dataclass(frozen=True, kw_only=True)
class EnginePlan:
    """What to start."""

    name: str  # of the pool
    config: Config
    paths: EnginePaths
    secrets: frozenset[str]  # environment variables that the engine has no business with
    read_at: float  # when evalwindow.yaml said so, at the latest; seconds since 1970

    @classmethod
    def of(cls, name: str, *, config: Config, home: Path, read_at: float) -> EnginePlan:
        keys = {getattr(model, "api_key_env", None) for model in config.models.values()}
        paths = EnginePaths(home=home.resolve(), pool=name)
        secrets = frozenset(key for key in keys if key)
        return cls(name=name, config=config, paths=paths, secrets=secrets, read_at=read_at)

    @property
    def pool(self) -> Pool:
        return self.config.pools[self.name]

    @property
    def lanes(self) -> Lanes:
        return self.config.lanes


class EngineHost:
    """An API server and its children: one process group, on a socket of its own."""

    def __init__(self, plan: EnginePlan, *, generation: int, process: asyncio.subprocess.Process) -> None:
        self.plan, self.generation, self._process = plan, generation, process
        self.socket = plan.paths.generation_socket(generation)
        self._started = time.time()

    @classmethod
    async def launch(
        cls, plan: EnginePlan, *, generation: int, environ: Mapping[str, str] = os.environ
    ) -> tuple[EngineHost, EngineRecord]:
        """A running engine that has answered its canary.

        Raises EngineFailed, with nothing of it left running; DoesNotFit for a pool that its GPU has no room for.
        """
        await asyncio.to_thread(_check_room, plan)
        await asyncio.to_thread(check_disk, plan)
        digest = await asyncio.to_thread(_digest, plan)
        async with _one_start_at_a_time(plan):
            with starting(plan):
                process = await _spawn(plan, generation=generation, environ=environ)
            host = cls(plan, generation=generation, process=process)
            try:
                await host._healthy()
                return host, await host._proven(digest)
            except BaseException:
                await host.kill()
                raise

    @property
    def pid(self) -> int:
        """Of the API server; the id of the group too."""
        return self._process.pid

    async def exited(self) -> int:
        """Wait for the end of the API server; its exit status."""
        return await self._process.wait()

    async def drain(self) -> None:
        """Let it finish what is in flight, within the pool's shutdown_s; then nothing of it is left."""
        with suppress(ProcessLookupError):
            self._process.terminate()  # its own pid only: its children are ended by it, after the drain
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), self.plan.pool.shutdown_s + EXIT_AFTER_DRAIN_S)
        await self.kill()

    async def kill(self) -> None:
        """End the whole group at once. Idempotent."""
        kill_group(self.pid)
        await self._process.wait()
        await asyncio.to_thread(wait_until_gone, self.pid)
        for path in (self.socket, self.plan.paths.process(self.generation)):
            path.unlink(missing_ok=True)

    async def answers_health(self) -> bool:
        async with EngineProbe(self.socket, name=self.plan.name) as probe:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    return await probe.healthy()
        return False

    async def lives(self) -> bool:
        """Look closely, because somebody says that it broke off."""
        deadline, healthy = time.monotonic() + DEATH_S, 0
        while healthy < HEALTHY_LOOKS:
            await asyncio.sleep(HEALTH_POLL_S)
            healthy = healthy + 1 if await self.answers_health() else 0
            if self._process.returncode is not None or (not healthy and time.monotonic() > deadline):
                return False
        return True

    async def _healthy(self) -> None:
        patience = max(LEAST_START_S, 4 * self.plan.pool.cold_start_s)
        async with EngineProbe(self.socket, name=self.plan.name) as probe:
            while not await probe.healthy():
                if self._process.returncode is not None:
                    raise EngineFailed(self._last_words(f"ended with status {self._process.returncode} while starting"))
                if time.time() - self._started > patience:
                    raise EngineFailed(self._last_words(f"was not ready after {patience:.0f} s"))
                await asyncio.sleep(HEALTH_POLL_S)

    async def _proven(self, digest: str) -> EngineRecord:
        plan = self.plan
        try:
            resolved = Resolved.from_log(plan.paths.log.read_text(errors="replace"))
            async with EngineProbe(self.socket, name=plan.name) as probe:
                await probe.warm_up()
                await probe.check(plan.pool.canary)
                facts = await probe.facts()
                calibration = await probe.calibrate(pool=plan.pool, lanes=plan.lanes, context=facts.max_model_len)
        except EngineUnavailable as error:
            raise EngineFailed(self._unproven(error)) from error
        counter = PromptCounter.of(str(local_model(plan.pool) or plan.pool.model))
        info = EngineInfo(
            engine="vllm",
            version=facts.version,
            model_digest=digest,
            dtype=resolved.dtype,
            chat_template_digest=counter.template_digest if counter else "",
            max_model_len=facts.max_model_len,
            max_num_seqs=plan.pool.max_num_seqs,
            details=_details(plan.pool),
        )
        return EngineRecord(
            info=info, pid=self.pid, started_at=self._started, ready_at=time.time(), calibration=calibration
        )

    def _unproven(self, error: EngineUnavailable) -> str:
        """An engine that lives said why itself; of one that died the log tells."""
        if self._process.returncode is not None:
            return self._last_words(f"did not prove itself: {error}")
        return f"engine of pool {self.plan.name!r} did not prove itself: {error}; log: {self.plan.paths.log}"

    def _last_words(self, what: str) -> str:
        text = self.plan.paths.log.read_text(errors="replace")
        lines = "\n".join(f"    {line}" for line in text.splitlines()[-LAST_LINES:])
        known = advice(text)
        hint = f"\n{known}" if known else ""
        return f"engine of pool {self.plan.name!r} {what}. The end of {self.plan.paths.log}:\n{lines}{hint}"


@contextmanager
def starting(plan: EnginePlan) -> Iterator[None]:
    """What a start needs of this host; raises EngineFailed where the host says no."""
    try:
        yield
    except OSError as error:
        raise EngineFailed(f"engine of pool {plan.name!r} can't be started: {error}") from error


def check_disk(plan: EnginePlan) -> None:
    """Raise EngineFailed where the disk has no room for a start: found out before a model is loaded or given up."""
    with starting(plan):
        for folder in (plan.paths.log.parent, plan.paths.folder):
            trial = folder / f".{plan.name}.room"
            try:
                with trial.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, ROOM)
            finally:
                trial.unlink(missing_ok=True)


def _check_room(plan: EnginePlan) -> None:
    """Before minutes go into loading what can't fit."""
    unknown = check_fit(plan.config, plan.name)
    if unknown:
        log.warning("%s", unknown)


def _details(pool: Pool) -> dict[str, Any]:
    """What else an answer depends on."""
    invariant = {"batch_invariant": True} if pool.batch_invariant else {}
    return {"arguments": list(pool.arguments)} | invariant


@asynccontextmanager
async def _one_start_at_a_time(plan: EnginePlan) -> AsyncIterator[None]:
    """On a GPU that is shared: vLLM measures the whole device when it starts, a neighbour's start would be its own."""
    if plan.pool.gpu is None:
        yield
        return
    lock = FileLock(plan.paths.gpu_lock(plan.pool.gpu))
    with starting(plan):
        free = lock.try_lock()
    if not free:
        log.info("engine of pool %s waits: another one is starting on GPU %s", plan.name, plan.pool.gpu)
        await lock.lock()
    try:
        yield
    finally:
        lock.unlock()


def _digest(plan: EnginePlan) -> str:
    return model_digest(plan.pool, name=plan.name, memory=plan.paths.folder / "digests.json")


async def _spawn(plan: EnginePlan, *, generation: int, environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    socket = plan.paths.generation_socket(generation)
    gpu = plan.config.gpus.get(plan.pool.gpu or "")
    line = command(name=plan.name, pool=plan.pool, socket=socket, gpu=gpu)
    env = environment(pool=plan.pool, paths=plan.paths, environ=environ, secrets=plan.secrets)
    socket.unlink(missing_ok=True)
    with _fresh_log(plan.paths.log).open("wb") as output:
        process = await spawn(line, environment=env, output=output)
    try:
        Group.of(process.pid, program=line[0]).write(plan.paths.process(generation))
    except OSError:  # nobody could end it after us
        kill_group(process.pid)
        await process.wait()
        raise
    log.info("engine of pool %s: pid %s, log %s", plan.name, process.pid, plan.paths.log)
    return process


def _fresh_log(path: Path) -> Path:
    """Keep one log of the run before."""
    if path.exists():
        path.replace(path.with_suffix(".previous.log"))
    return path
