"""Start what an entry is to run: admit it, go on with what an earlier night left, or find it running already."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.errors import BadInput, NotFound, TryLater
from evalwindow.model import EntryState, Purpose, RunState, Source
from evalwindow.nights.opening import candidate_of
from evalwindow.services import Services
from evalwindow.store.night_rows import EntryRow, NightRow
from evalwindow.store.rows import RunRow

BEGUN = (EntryState.STARTED, EntryState.RESUMED)


@dataclass(frozen=True, kw_only=True)
class Started:
    """An entry with its run; no run: there is nothing to wait for."""

    entry: EntryRow
    run: RunRow | None


def start_entry(services: Services, entry_id: str, *, owner: str) -> Started:
    """See that the entry runs, once, for this owner; calling it again adopts the run that is there.

    A run that was cancelled or failed gets a successor; a concluded one stays. What can't be admitted is refused with
    its reason in the entry.
    """
    store = services.store
    entry = store.entry(entry_id)
    night = store.night(entry.night_id)
    if entry.state not in (EntryState.PLANNED, *BEGUN) or night.dry_run:
        return Started(entry=entry, run=None)
    if entry.run_id is not None:
        current = store.run(entry.run_id)
        if current.state is RunState.CONCLUDED:
            return Started(entry=entry, run=current)
        if not current.state.final and store.carry(current.id, night.id, owner):
            return Started(entry=entry, run=store.run(current.id))
    if _over(night):
        note = entry.note or "the window was over before it could start"
        return Started(entry=store.set_entry(entry.id, entry.state, note=note), run=None)
    return _resumed(services, entry, night, owner=owner) or _admitted(services, entry, night, owner=owner)


def _over(night: NightRow) -> bool:
    return dt.datetime.now(dt.UTC) >= night.end


def _resumed(services: Services, entry: EntryRow, night: NightRow, *, owner: str) -> Started | None:
    """Go on with what the night before left unfinished, if it still asks the same."""
    store = services.store
    last = store.last_entry(entry, window=night.window, states=BEGUN)
    if entry.run_id is not None or last is None or last.run_id is None:
        return None
    run = store.run(last.run_id)
    if run.state.final:
        return None
    if not _same_question(services, entry, run):
        store.cancel_run(run.id, f"night {night.id} asks something else: suite, candidate or baseline changed")
        return None
    if not store.carry(run.id, night.id, owner):
        return None
    left, samples = store.left(run.id)
    note = f"goes on after {samples - left} of {samples} samples, begun in night {last.night_id}"
    return Started(entry=store.set_entry(entry.id, EntryState.RESUMED, run_id=run.id, note=note), run=store.run(run.id))


def _same_question(services: Services, entry: EntryRow, run: RunRow) -> bool:
    suites, _ = services.library.sound()
    suite = suites.get(entry.suite)
    candidate = candidate_of(services, entry.model, purpose=entry.purpose, baseline_run=entry.baseline_run)
    return (
        suite is not None
        and suite.digest == run.suite_digest
        and candidate == run.candidate
        and entry.baseline_run == run.baseline_run
    )


def _admitted(services: Services, entry: EntryRow, night: NightRow, *, owner: str) -> Started:
    store = services.store
    try:
        run = flow.submit(services, _submission(services, entry, night, owner=owner))
    except (BadInput, NotFound, TryLater) as reason:
        return Started(entry=store.set_entry(entry.id, EntryState.REFUSED, note=str(reason)), run=None)
    if run.owner != owner:  # an attempt before this one admitted it
        store.carry(run.id, night.id, owner)
    return Started(entry=store.set_entry(entry.id, EntryState.STARTED, run_id=run.id), run=store.run(run.id))


def _submission(services: Services, entry: EntryRow, night: NightRow, *, owner: str) -> Submission:
    return Submission(
        key=f"night:{night.id}:{entry.id}:{_generation(services, entry)}",
        team=night.team,
        suite=entry.suite,
        candidate=candidate_of(services, entry.model, purpose=entry.purpose, baseline_run=entry.baseline_run),
        source=Source(branch=night.branch, url=night.url),
        use_cache=entry.purpose is not Purpose.AA,  # an A/A that is answered by a cache compares nothing
        owner=owner,
        night_id=night.id,
        window_end=night.end,
        baseline_run=entry.baseline_run,
    )


def _generation(services: Services, entry: EntryRow) -> str:
    """Another key for each run that ended without a verdict: it is named after the one that it replaces."""
    return f"after {entry.run_id}" if entry.run_id else "first"
