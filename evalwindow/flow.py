"""The use-cases: submit, handle an event, run a shard, conclude, publish. None needs a message to arrive once."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging

from evalwindow import admission
from evalwindow.admission import Admitted, Submission
from evalwindow.channels import retry_at, tell
from evalwindow.comparable import comparable_results
from evalwindow.errors import BadInput, EngineUnavailable, EvalwindowError, EventIgnored, NotFound, ServiceDown
from evalwindow.evaluate import Evaluator
from evalwindow.gate import judge
from evalwindow.github import events
from evalwindow.leases import Lease
from evalwindow.metrics import summarise
from evalwindow.model import EngineInfo, RunState, Source, Tier
from evalwindow.noise import noise_for
from evalwindow.recorder import Recorder, outlasting
from evalwindow.services import Services
from evalwindow.store.rows import ClaimedShard, DeliveryRow, EventRow, NewRun, RunRow
from evalwindow.work import Interrupted, ShardWork, Slots

log = logging.getLogger(__name__)

DEFAULT_BRANCH = "main"
EVENT_ATTEMPTS = 30


def submit(services: Services, submission: Submission) -> RunRow:
    """Admit a run and, for smoke, queue it at once; regression waits for the dispatcher. Idempotent by its key."""
    admitted = admission.decide(
        submission,
        config=services.config,
        suites=services.library.asked_for(submission.suite),
        artifact=services.store.artifact,
        counter_of=services.counter_of,
    )
    _check_baseline(services, submission)
    services.store.put_suite(admitted.suite)
    queued = [channel for channel in channels_of(submission.source) if channel == "check"]
    run_id, created = services.store.admit(_new_run(admitted), admitted.shards, queued)
    if created and admitted.suite.tier is Tier.SMOKE:
        _send_now(services, run_id, admitted)
    return services.store.run(run_id)


def _check_baseline(services: Services, wish: Submission) -> None:
    """A run that is named as the baseline has to be one that can be compared with."""
    if wish.baseline_run is None:
        return
    try:
        run = services.store.run(wish.baseline_run)
    except NotFound as unknown:
        raise BadInput(f"baseline_run: {unknown} Name a concluded run of suite {wish.suite!r}") from unknown
    state = "void" if run.void else run.state.value
    if run.suite != wish.suite or state != RunState.CONCLUDED:
        raise BadInput(
            f"baseline_run: run {run.id} is of suite {run.suite!r} and {state}; "
            f"name a concluded run of suite {wish.suite!r}"
        )


def _send_now(services: Services, run_id: str, admitted: Admitted) -> None:
    """Past the dispatcher; what can't be sent is left to it."""
    shard_ids = services.store.dispatch_run(run_id)
    unsent = [
        shard_id
        for shard_id in shard_ids
        if not services.queue.send_shard(shard_id, admitted.pool, admitted.suite.tier)
    ]
    if unsent:
        services.store.undispatch(unsent)


def _new_run(admitted: Admitted) -> NewRun:
    wish, suite = admitted.submission, admitted.suite
    return NewRun(
        key=wish.key,
        team=wish.team,
        suite=suite.name,
        suite_digest=suite.digest,
        tier=suite.tier,
        pool=admitted.pool,
        model=wish.candidate.model,
        candidate=wish.candidate,
        source=wish.source,
        use_cache=wish.use_cache,
        ordinal=wish.ordinal,
        owner=wish.owner,
        night_id=wish.night_id,
        window_end=wish.window_end,
        baseline_run=wish.baseline_run,
    )


async def handle_event(services: Services, event: EventRow) -> None:
    """Turn a webhook's event into runs; what is wrong with it is told to the pull request.

    While GitHub or a service of ours is away the event stays claimed, and is handled again when its lease ran out.
    """
    try:
        for wish in await events.submissions(services.github, services.config, services.store, event.payload):
            await asyncio.to_thread(submit, services, wish)
    except EventIgnored as reason:
        await _finish_event(services, event, "done", str(reason))
    except BadInput as error:
        await _refuse(services, event, error)
    except ServiceDown as error:
        await _put_off(services, event, error)
    except EvalwindowError as error:
        log.error("event %s: %s", event.id, error)
        await _finish_event(services, event, "failed", str(error))
    except Exception as error:  # a defect: after an upgrade it may work, but it isn't tried for ever
        log.exception("event %s", event.id)
        await _put_off(services, event, error)
    else:
        await _finish_event(services, event, "done", None)


async def _refuse(services: Services, event: EventRow, error: BadInput) -> None:
    """Tell the pull request; a payload that names none can only be written down."""
    try:
        await events.refuse(services.github, event.payload, str(error))
    except ServiceDown as away:
        await _put_off(services, event, away)
        return
    except EvalwindowError as untold:
        log.error("event %s: %s; it could not be told: %s", event.id, error, untold)
    await _finish_event(services, event, "refused", str(error))


async def _put_off(services: Services, event: EventRow, error: Exception) -> None:
    log.warning("event %s (attempt %d): %s", event.id, event.attempts, error)
    if event.attempts >= EVENT_ATTEMPTS:
        await _finish_event(services, event, "failed", f"{type(error).__name__}: {error}")


async def _finish_event(services: Services, event: EventRow, state: str, why: str | None) -> None:
    await asyncio.to_thread(services.store.finish_event, event.id, state, why)


async def run_shard(services: Services, shard_id: str) -> None:
    """Claim a shard and evaluate it; whoever finishes a run's last shard concludes the run."""
    settings = services.settings
    claimed = await outlasting(lambda: services.store.claim(shard_id, services.worker, settings.lease_s))
    if claimed is None:  # done, cancelled, or somebody else's: the message was only a hint
        return
    async with services.leases.hold(claimed.id, claimed.token, closes_at=claimed.closes_at) as lease:
        await _hold(services, claimed, lease)


async def _hold(services: Services, claimed: ClaimedShard, lease: Lease) -> None:
    """Work until done, or until the lease ends."""
    work = asyncio.create_task(_work(services, claimed, lease))
    ended = asyncio.create_task(lease.ended.wait())
    try:
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            log.info("shard %s: lease %s, stopped", claimed.id, lease.why)
    finally:  # also when this call is cancelled: nothing goes on without its lease
        work.cancel()
        ended.cancel()
        await asyncio.gather(work, ended, return_exceptions=True)
    if not work.cancelled():
        work.result()


async def _work(services: Services, claimed: ClaimedShard, lease: Lease) -> None:
    """Evaluate the shard. At its window's end, or this process's, it is handed back: no attempt has failed then."""
    slots = Slots(services.lanes, services.stopping.is_set, lease.closed, team=claimed.team)
    try:
        last = await _evaluate(services, claimed, slots)
    except Interrupted:
        await _hand_back(services, claimed)
    except EngineUnavailable as error:
        log.warning("shard %s: %s", claimed.id, error)
        if slots.shut:  # the engine went with the window
            await _hand_back(services, claimed)
        else:
            await _give_up(services, claimed, str(error))
    except Exception as error:  # one shard's defect must not take the consumer down; the row keeps the reason
        log.exception("shard %s failed", claimed.id)
        await _give_up(services, claimed, f"{type(error).__name__}: {error}")
    else:
        if last:
            await conclude(services, claimed.run_id)


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


async def _evaluate(services: Services, claimed: ClaimedShard, slots: Slots) -> bool:
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
    )
    async with recorder:
        evaluator = Evaluator(
            suite=suite,
            candidate=claimed.candidate,
            engine_of=services.engine_of,
            cache=recorder if claimed.use_cache else None,
            slots=slots,
            backoff=services.backoff,
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


async def conclude(services: Services, run_id: str) -> None:
    """Summarise and judge a run whose shards are all final; the first to conclude wins, the others change nothing."""
    await outlasting(lambda: _conclude(services, run_id))


def _conclude(services: Services, run_id: str) -> None:
    store = services.store
    run = store.run(run_id)
    if run.state.final:
        return
    suite, results = store.suite(run.suite_digest), store.results(run_id)
    summary = summarise(suite, results, wall_s=_seconds_since(run.started_at or run.created_at))
    reference = run.baseline_run or promoted(services, run.suite, run.source.branch or DEFAULT_BRANCH)
    baseline = comparable_results(store, suite, reference) if reference else None
    noise = noise_for(store, run, suite, reference)
    verdict = judge(suite, results, baseline, baseline_run=reference, noise=noise)
    store.conclude(run_id, summary, verdict, channels_of(run.source))


def promoted(services: Services, suite: str, branch: str) -> str | None:
    """Id of the run that is the baseline of the suite and branch now."""
    row = services.store.baseline(suite, branch)
    return row.run_id if row else None


def channels_of(source: Source) -> tuple[str, ...]:
    """Who is told: always the page; a check where there is a commit, a comment where there is a pull request."""
    channels = ["page"]
    if source.repo and source.head_sha:
        channels.append("check")
    if source.repo and source.pull_request:
        channels.append("comment")
    return tuple(channels)


async def publish(services: Services, delivery: DeliveryRow) -> None:
    """Tell one channel about a run or a night; a failure is tried again later with growing pauses."""
    store = services.store
    try:
        external_id = await tell(services, delivery)
    except (EvalwindowError, OSError) as error:  # OSError: the page's disk is full or not there
        again_at = retry_at(delivery.attempts, error)
        await asyncio.to_thread(store.delivery_failed, delivery.subject, delivery.channel, str(error), again_at)
        if again_at is None or str(error) != delivery.error:  # a reason is said once, and when it was the last attempt
            told = (delivery.subject, delivery.channel, delivery.attempts, error)
            log.warning("%s not told to %s (attempt %d): %s", *told)
    else:
        await asyncio.to_thread(store.sent, delivery.subject, delivery.channel, external_id)


def _seconds_since(moment: dt.datetime) -> float:
    return (dt.datetime.now(dt.UTC) - moment).total_seconds()
