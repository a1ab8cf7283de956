"""Claim a shard and evaluate it."""

from __future__ import annotations

import asyncio
import logging

from evalwindow.errors import EngineUnavailable
from evalwindow.evaluate import Evaluator
from evalwindow.flow.conclude import conclude
from evalwindow.flow.guards import Guard
from evalwindow.leases import Lease
from evalwindow.model import EngineInfo
from evalwindow.recorder import Recorder, outlasting
from evalwindow.services import Services
from evalwindow.store.rows import ClaimedShard
from evalwindow.work import Interrupted, ShardWork, Slots

log = logging.getLogger(__name__)


async def run_shard(services: Services, shard_id: str) -> None:
    """Claim a shard and evaluate it; whoever finishes a run's last shard concludes the run."""
    settings = services.settings
    claimed = await outlasting(lambda: services.store.claim(shard_id, services.worker, settings.lease_s))
    if claimed is None:  # done, cancelled, or somebody else's: the message was only a hint
        return
    lease = services.leases.hold(claimed.id, claimed.token, run_id=claimed.run_id, closes_at=claimed.closes_at)
    async with lease as held:
        await _hold(services, claimed, held)


async def _hold(services: Services, claimed: ClaimedShard, lease: Lease) -> None:
    """Work until done, until the lease ends, or until this process may wait no longer for what its engines have."""
    work = asyncio.create_task(_work(services, claimed, lease))
    ended = asyncio.create_task(lease.ended.wait())
    drained = asyncio.create_task(_drained(services))
    try:
        await asyncio.wait({work, ended, drained}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            log.info("shard %s: %s, stopped", claimed.id, f"lease {lease.why}" if lease.why else "prompts left behind")
    finally:  # also when this call is cancelled: nothing goes on without its lease
        for task in (work, ended, drained):
            task.cancel()
        await asyncio.gather(work, ended, drained, return_exceptions=True)
    if not work.cancelled():
        work.result()
    elif not lease.why:
        await _hand_back(services, claimed)


async def _drained(services: Services) -> None:
    """Until a process that is to end has waited long enough."""
    await services.stopping.wait()
    await asyncio.sleep(services.settings.drain_s)


async def _work(services: Services, claimed: ClaimedShard, lease: Lease) -> None:
    """Evaluate the shard, if the breakers of its engines let it."""
    guard = Guard(services, claimed)
    try:
        wait_until = await guard.enter()
        if wait_until is None:
            await _try(services, claimed, lease, guard)
        else:
            await guard.put_off(wait_until, f"waits for {' and '.join(guard.suspects)}")
    finally:
        await guard.leave()


async def _try(services: Services, claimed: ClaimedShard, lease: Lease, guard: Guard) -> None:
    """Evaluate it. At its window's end, or this process's, it is handed back: no attempt has failed then."""
    slots = Slots(services.lanes, services.stopping.is_set, lease.closed, team=claimed.team)
    try:
        last = await _evaluate(services, claimed, slots, guard)
    except Interrupted:
        await _hand_back(services, claimed)
    except EngineUnavailable as error:
        log.warning("shard %s: %s", claimed.id, error)
        if slots.shut:  # the engine went with the window
            await _hand_back(services, claimed)
        elif not await guard.failed(error):
            await _give_up(services, claimed, str(error))
    except Exception as error:  # one shard's defect must not take the consumer down; the row keeps the reason
        log.exception("shard %s failed", claimed.id)
        await _give_up(services, claimed, f"{type(error).__name__}: {error}")
    else:
        lease.finished = True  # the end of the run, which we tell ourselves, must not stop us
        if last:
            await conclude(services, claimed.run_id, suspects=claimed.suspects)


async def _hand_back(services: Services, claimed: ClaimedShard) -> None:
    log.info("shard %s: handed back", claimed.id)
    await outlasting(lambda: services.store.release(claimed.id, claimed.token))


async def _give_up(services: Services, claimed: ClaimedShard, reason: str) -> None:
    """Hand the shard back for another attempt, or fail it when it had its share of them."""
    store = services.store
    if claimed.attempts < services.settings.max_attempts:
        await outlasting(lambda: store.release(claimed.id, claimed.token, reason))
    elif await outlasting(lambda: store.fail_shard(claimed.id, claimed.token, reason)):
        await conclude(services, claimed.run_id)


async def _evaluate(services: Services, claimed: ClaimedShard, slots: Slots, guard: Guard) -> bool:
    """Every sample of the shard that has no result yet; on smoke also the tripwire's further calls.

    The shard is done then; True when nothing of its run remains.
    """
    store = services.store
    suite = await outlasting(lambda: store.suite(claimed.suite_digest))
    done = set() if claimed.fresh else await outlasting(lambda: store.done(claimed.run_id, claimed.sample_ids))
    recorder = Recorder(
        store,
        run_id=claimed.run_id,
        shard_id=claimed.id,
        token=claimed.token,
        ledger=services.leases.ledger,
        expected=len(claimed.sample_ids) * suite.spec.epochs - len(done),
        struck=claimed.struck,
    )
    async with recorder:
        evaluator = Evaluator(
            suite=suite,
            candidate=claimed.candidate,
            engine_of=guard.engine_of,
            cache=recorder if claimed.use_cache else None,
            slots=slots,
            backoff=services.backoff,
            docket=recorder,
        )
        info = await _note_engine(services, claimed, evaluator)
        work = ShardWork(suite=suite, evaluator=evaluator, recorder=recorder, info=info)
        await work.run(claimed.sample_ids, done=done)
        if work.asks_again:
            await recorder.write()
            await work.reask(await outlasting(lambda: store.results(claimed.run_id)))
        if slots.engines - {info.model_digest}:  # it was replaced meanwhile: the run's provenance names both
            await _note_engine(services, claimed, evaluator)
        return await recorder.finish()


async def _note_engine(services: Services, claimed: ClaimedShard, evaluator: Evaluator) -> EngineInfo:
    """Write down what answers now."""
    info = await evaluator.info()
    await outlasting(lambda: services.store.note_engine(claimed.run_id, info))
    return info
