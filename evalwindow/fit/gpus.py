"""What all pools of one GPU take together, and the check before an engine starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalwindow.config import Config
from evalwindow.errors import UnknownName
from evalwindow.fit.errors import CantTell, DoesNotFit
from evalwindow.fit.estimate import CONTEXT, GIB
from evalwindow.fit.pools import TYPICAL_TOKENS, PoolFit, Verdict, budget_of, pool_fit
from evalwindow.fit.words import pool_lines, sum_lines


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one pool takes of a GPU."""

    pool: str
    bytes: int | None  # by vLLM's account; None: nobody can tell
    beside: int
    least: int | None  # with which it would start; None: nobody can tell
    fixed: bool = False  # its KV cache has a size of its own: no share changes what it takes


@dataclass(frozen=True, kw_only=True)
class GpuFit:
    """One GPU with all its pools; of a pool on several GPUs, each of them."""

    name: str
    bytes: int
    claims: tuple[Claim, ...]

    @property
    def claimed(self) -> int:
        return sum((claim.bytes or 0) + claim.beside for claim in self.claims)

    @property
    def left(self) -> int:
        return self.bytes - self.claimed

    @property
    def fits(self) -> bool:
        return self.left >= 0

    @property
    def shares(self) -> Mapping[str, float]:
        """memory_gib for each pool that takes one, with which all would start; empty where none does that."""
        least = {claim.pool: claim.least for claim in self.claims if not claim.fixed}
        needs = [(claim.bytes if claim.fixed else claim.least) for claim in self.claims]
        known = [need for need in needs if need is not None]
        free = self.bytes - sum(known) - sum(claim.beside for claim in self.claims)
        if len(known) < len(needs) or free < 0 or not least:
            return {}
        tenth = GIB // 10
        return {pool: ((need or 0) + free // len(least)) // tenth / 10 for pool, need in least.items()}


def fit_of(config: Config, name: str, *, typical_tokens: int = TYPICAL_TOKENS) -> PoolFit:
    """Raises UnknownName, or CantTell with the reason."""
    if name not in config.pools:
        raise UnknownName("pool", name, config.pools)
    pool = config.pools[name]
    gpu = None if pool.gpu is None else config.gpus.get(pool.gpu)
    return pool_fit(name, pool, gpu=gpu, typical_tokens=typical_tokens)


def gpu_fit(config: Config, name: str, found: Mapping[str, PoolFit]) -> GpuFit:
    """All pools of a GPU; `found` has those whose needs could be computed."""
    pools = [pool for pool, settings in config.pools.items() if settings.gpu == name]
    claims = tuple(_claim(config, pool, found.get(pool)) for pool in pools)
    return GpuFit(name=name, bytes=int(config.gpus[name].memory_gib * GIB), claims=claims)


def check_fit(config: Config, pool: str) -> str | None:
    """Raise DoesNotFit, with the arithmetic, for a pool that does not fit its GPU beside the others on it.

    None: it fits, or no GPU is named for it. A sentence: nobody can tell, and why. Reads a few files' headers.
    """
    gpu = config.pools[pool].gpu
    if gpu is None or gpu not in config.gpus:
        return None
    found, unknown = _on(config, gpu)
    if pool in found and found[pool].verdict is Verdict.TOO_LARGE:
        raise DoesNotFit("\n".join(pool_lines(found[pool])))
    together = gpu_fit(config, gpu, found)
    if not together.fits:
        raise DoesNotFit("\n".join(sum_lines(together)))
    return f"whether pool {pool!r} fits {gpu} is not known: {unknown[pool]}" if pool in unknown else None


def room_beside(config: Config, pool: str) -> bool:
    """Whether a pool's new engine can start while its old one still answers; if not, the old one has to end first.

    True where no GPU is named for the pool: nobody knows better.
    """
    gpu = config.pools[pool].gpu
    if gpu is None or gpu not in config.gpus:
        return True
    together = gpu_fit(config, gpu, _on(config, gpu)[0])
    again = next(claim for claim in together.claims if claim.pool == pool)
    return together.left >= (again.bytes or 0) + again.beside


def _on(config: Config, gpu: str) -> tuple[dict[str, PoolFit], dict[str, str]]:
    """All pools of a GPU: what they need, or why nobody can tell."""
    found: dict[str, PoolFit] = {}
    unknown: dict[str, str] = {}
    for name in (name for name, pool in config.pools.items() if pool.gpu == gpu):
        try:
            found[name] = fit_of(config, name)
        except CantTell as reason:
            unknown[name] = str(reason)
    return found, unknown


def _claim(config: Config, pool: str, found: PoolFit | None) -> Claim:
    if found is not None:
        return Claim(
            pool=pool,
            bytes=found.bytes,
            beside=found.estimate.beside,
            least=found.least_bytes,
            fixed=found.engine.flags.kv_cache_bytes is not None,
        )
    settings = config.pools[pool]
    budget = budget_of(settings, config.gpus[str(settings.gpu)])
    return Claim(pool=pool, bytes=budget, beside=int(CONTEXT), least=None)
