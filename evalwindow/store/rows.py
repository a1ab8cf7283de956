"""What the store takes and gives: frozen values, no live rows."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from evalwindow.model import (
    Answer,
    Candidate,
    EngineInfo,
    RunState,
    ShardState,
    Source,
    Summary,
    Tier,
    Verdict,
)


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to admit."""

    key: str  # idempotency: admitting the same key again gives the first run
    team: str
    suite: str  # name
    suite_digest: str  # of a suite that was put
    tier: Tier
    pool: str
    model: str
    candidate: Candidate
    source: Source = field(default_factory=Source)
    use_cache: bool = True
    ordinal: int | None = None  # orders the commits of a pull request; see Store.admit
    owner: str | None = None  # who waits for it outside
    night_id: str | None = None
    window_end: dt.datetime | None = None  # no prompt of it starts after this
    baseline_run: str | None = None  # judged against this run; None: against the promoted one


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run as it is now."""

    id: str
    key: str
    team: str
    suite: str
    suite_digest: str
    tier: Tier
    pool: str
    model: str
    state: RunState
    candidate: Candidate
    source: Source
    use_cache: bool
    ordinal: int | None
    provenance: tuple[EngineInfo, ...]  # every distinct engine that answered
    summary: Summary | None
    verdict: Verdict | None
    answer: Answer | None
    error: str | None  # why it failed, was cancelled or superseded
    created_at: dt.datetime
    started_at: dt.datetime | None  # first claim
    concluded_at: dt.datetime | None  # when it became final, whatever the state
    owner: str | None
    night_id: str | None = None  # the latest night that it belongs to
    window_end: dt.datetime | None = None
    baseline_run: str | None = None
    void: str | None = None  # why its verdict doesn't count
    joined_to: str | None = None  # the run that asked the same when it was admitted: its answers are waited for


@dataclass(frozen=True, kw_only=True)
class ShardRow:
    """One shard as it is now."""

    id: str
    run_id: str
    seq: int
    sample_ids: tuple[str, ...]
    tier: Tier
    team: str
    pool: str
    state: ShardState
    token: int
    attempts: int
    lease_until: dt.datetime | None
    dispatched_at: dt.datetime | None
    started_at: dt.datetime | None  # of the latest claim
    finished_at: dt.datetime | None
    worker: str | None  # of the latest claim
    error: str | None


@dataclass(frozen=True, kw_only=True)
class ClaimedShard:
    """A shard that its holder may work on while the token holds."""

    id: str
    run_id: str
    token: int
    sample_ids: tuple[str, ...]
    tier: Tier
    team: str
    pool: str
    attempts: int  # this one included
    candidate: Candidate  # of its run, as the next two
    suite_digest: str
    use_cache: bool
    suspects: frozenset[str] = frozenset()  # breakers of engines, APIs and this team that have something to close
    struck: bool = True  # some prompt has ended an engine of late
    closes_at: float = math.inf  # time.monotonic() of the process that claimed it: no prompt may start from then on

    @property
    def fresh(self) -> bool:
        """Nobody has worked on it before: there can be no result of it."""
        return self.token == 1


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """A webhook delivery."""

    id: str
    delivery: str
    kind: str
    payload: Mapping[str, Any]
    state: str  # received, processing, done, refused, failed
    attempts: int
    error: str | None
    received_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """A run that somebody promoted."""

    id: str
    suite: str
    branch: str
    run_id: str
    promoted_by: str
    reason: str
    at: dt.datetime
    retired_at: dt.datetime | None


@dataclass(frozen=True, kw_only=True)
class RepeatRow:
    """A run of what another run was: an A/A pair."""

    run_id: str
    against: str  # the run that it repeated, and was judged against
    suite_digest: str
    against_digest: str
    engines: tuple[EngineInfo, ...]
    against_engines: tuple[EngineInfo, ...]
    at: dt.datetime  # when it was concluded
    lost: bool  # its paired comparison failed


@dataclass(frozen=True, kw_only=True)
class DeliveryRow:
    """One thing to tell somebody about a run, a night, or a breaker."""

    id: str
    run_id: str | None  # either this
    night_id: str | None  # or this
    breaker_event_id: str | None  # or this is told of
    channel: str
    state: str  # waiting, sending, sent, failed
    attempts: int  # since there was something new to say; a claimed one counts this attempt
    next_at: dt.datetime
    external_id: str | None
    error: str | None
    created_at: dt.datetime
    sent_at: dt.datetime | None
    suspects: frozenset[str] = frozenset()  # of one that is claimed: notifiers' breakers with something to close

    @property
    def subject(self) -> str:
        """Id of the run, night or event."""
        return self.run_id or self.night_id or self.breaker_event_id or ""


class Scope(StrEnum):
    """What a token's bearer may do besides reading what is the team's."""

    READ = "read"  # nothing else
    SUBMIT = "submit"  # runs and adapters; cancel the team's runs
    PROMOTE = "promote"  # make the team's runs baselines, of suites that no other team owns
    ADMIN = "admin"  # make them baselines of any suite


@dataclass(frozen=True, kw_only=True)
class TokenRow:
    """A team's token, without its secret."""

    id: str
    team: str
    scopes: frozenset[Scope]
    created_at: dt.datetime
    expires_at: dt.datetime | None  # null: never
    last_used_at: dt.datetime | None  # to the minute
    revoked_at: dt.datetime | None
    replaced_by: str | None  # id of the token that it was rotated to


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Shards of one pool and tier that are not final."""

    pool: str
    tier: Tier
    pending: int
    dispatched: int
    running: int
    least: int | None = None  # dispatched and running of one team: the fewest of those that have pending ones
    engines: int = 0  # of the pool, seen of late


@dataclass(frozen=True, kw_only=True)
class Reaped:
    """What one round of the reaper put right."""

    retried: int = 0  # leases that ran out: pending again
    failed: int = 0  # claimed too often
    republished: int = 0  # messages that nobody answered: pending again
