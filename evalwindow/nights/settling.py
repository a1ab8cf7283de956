"""The end of a night: whether its verdicts count, and which runs passed."""

from __future__ import annotations

from dataclasses import dataclass

from evalwindow.model import Answer, Purpose, RunState
from evalwindow.services import Services
from evalwindow.store.night_rows import EntryRow, NightRow
from evalwindow.store.rows import RunRow


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A night's outcome, by run ids."""

    night: NightRow
    passed: tuple[str, ...]  # of this night's own runs
    failed: tuple[str, ...]
    inconclusive: tuple[str, ...]
    unfinished: tuple[str, ...]
    void: bool


def settle(services: Services, night_id: str) -> Settled:
    """Judge the night as a whole; again gives the same. A failed A/A voids every verdict of it."""
    store = services.store
    entries = store.entries(night_id)
    runs = {entry.id: store.run(entry.run_id) for entry in entries if entry.run_id and entry.state.runs}
    night = store.settle(night_id, void=_void(entries, runs))
    own = [runs[entry.id] for entry in entries if entry.purpose is Purpose.CANDIDATE and entry.id in runs]
    return Settled(
        night=night,
        passed=_with(own, Answer.PASS) if not night.void else (),
        failed=_with(own, Answer.FAIL) if not night.void else (),
        inconclusive=_with(own, Answer.INCONCLUSIVE) if not night.void else _concluded(own),
        unfinished=tuple(run.id for run in own if not run.state.final),
        void=night.void is not None,
    )


def _void(entries: list[EntryRow], runs: dict[str, RunRow]) -> str | None:
    """Why no verdict of the night counts: the first baseline that lost against itself."""
    for entry in entries:
        run = runs.get(entry.id)
        if entry.purpose is Purpose.AA and run is not None and (told := _lost_against_itself(run)):
            return (
                f"the A/A comparison failed: {entry.suite}'s baseline {entry.baseline_run}, run again as {run.id}, "
                f"lost against itself ({told}); engine, weights or hardware changed, so no verdict of this night counts"
            )
    return None


def _lost_against_itself(run: RunRow) -> str | None:
    """The paired comparison that failed, if one did: floors and unscored results are no sign of drift."""
    if run.state is not RunState.CONCLUDED or run.verdict is None:
        return None
    lost = (check for check in run.verdict.checks if check.kind == "paired" and check.blocking)
    return next((check.text for check in lost if check.answer is Answer.FAIL), None)


def _with(runs: list[RunRow], answer: Answer) -> tuple[str, ...]:
    return tuple(run.id for run in runs if run.state is RunState.CONCLUDED and run.answer is answer)


def _concluded(runs: list[RunRow]) -> tuple[str, ...]:
    return tuple(run.id for run in runs if run.state is RunState.CONCLUDED)
