"""Admit a run and put it into its queue."""

from __future__ import annotations

from evalwindow import admission
from evalwindow.admission import Admitted, Submission
from evalwindow.errors import BadInput, NotFound
from evalwindow.flow.audience import channels_of
from evalwindow.model import RunState, Tier
from evalwindow.services import Services
from evalwindow.store.rows import NewRun, RunRow
from evalwindow.suites import Suite


def submit(services: Services, submission: Submission) -> RunRow:
    """Admit a run and, for smoke, queue it at once; regression waits for the dispatcher. Idempotent by its key.

    Raises BadInput for what can never run, TryLater (a quota, a breaker) for what can't run now.
    """
    services.breakers.check_team(submission.team, key=submission.key, counted=submission.night_id is None)
    suites = services.library.asked_for(submission.suite)
    _check_quota(services, submission, suites.get(submission.suite))
    admitted = admission.decide(
        submission,
        config=services.config,
        suites=suites,
        artifact=services.store.artifact,
        counter_of=services.counter_of,
    )
    _check_baseline(services, submission)
    services.store.put_suite(admitted.suite)
    queued = [channel for channel in channels_of(submission.source) if channel == "check"]
    quota = services.config.quota_of(submission.team)
    run_id, created = services.store.admit(_new_run(admitted), admitted.shards, queued, quota=quota)
    if created and admitted.suite.tier is Tier.SMOKE:
        _send_now(services, run_id, admitted)
    return services.store.run(run_id)


def _check_quota(services: Services, wish: Submission, suite: Suite | None) -> None:
    """Refuse what `admit` would refuse before hundreds of prompts are rendered for it: a refusal has to be cheap.

    Not a pull request's: its new commit finds the room of the run that it supersedes.
    """
    if suite is None or wish.source.pull_request is not None:
        return
    services.store.check_quota(
        key=wish.key,
        team=wish.team,
        quota=services.config.quota_of(wish.team),
        tier=suite.tier,
        samples=len(suite.samples),
    )


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
    """Past the dispatcher, while there is room; what has to wait, or can't be sent, is left to it."""
    lane = services.config.lanes.of(admitted.suite.tier)
    shard_ids = services.store.dispatch_run(run_id, room=lane.consumers, team_cap=lane.team_shards)
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
