"""The states of what is worked on, and the answers of a gate."""

from __future__ import annotations

from enum import StrEnum


class Tier(StrEnum):
    """How much of an answer is wanted: a quick tripwire, or a measurement."""

    SMOKE = "smoke"
    REGRESSION = "regression"


class RunState(StrEnum):
    """queued -> running -> concluded; or superseded, cancelled, failed (each of them final)."""

    QUEUED = "queued"
    RUNNING = "running"
    CONCLUDED = "concluded"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return self not in (RunState.QUEUED, RunState.RUNNING)


class ShardState(StrEnum):
    """pending -> dispatched -> running -> done; failed after too many attempts; cancelled with its run."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Purpose(StrEnum):
    """Why a night runs something: to judge a candidate, or the baseline against itself (A/A)."""

    CANDIDATE = "candidate"
    AA = "aa"


class EntryState(StrEnum):
    """planned -> started, resumed or unchanged; or stopped before any GPU time: invalid, refused (final)."""

    PLANNED = "planned"
    STARTED = "started"  # with a run of its own
    RESUMED = "resumed"  # goes on with a run that an earlier night left unfinished
    UNCHANGED = "unchanged"  # nothing that the answer depends on has changed: an earlier run's verdict stands
    INVALID = "invalid"  # its dataset is
    REFUSED = "refused"  # it was not admitted

    @property
    def runs(self) -> bool:
        return self in (EntryState.STARTED, EntryState.RESUMED)


class Answer(StrEnum):
    """A gate's three answers. Exit codes of the CLI: 0, 1, 2. An error is never a pass."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_code(self) -> int:
        return {Answer.PASS: 0, Answer.FAIL: 1, Answer.INCONCLUSIVE: 2}[self]
