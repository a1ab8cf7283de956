"""A/A runs of the baselines that no window looks after."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator

from evalwindow.config import ReplayModel
from evalwindow.model import Purpose, Tier
from evalwindow.services import Services
from evalwindow.store.night_rows import NewEntry, NewNight
from evalwindow.store.rows import BaselineRow, RunRow

WINDOW = "upkeep:"  # begins the names of these nights' windows; a configured one has no colon


def open_aa(
    services: Services, *, key: str, starts_at: dt.datetime, ends_at: dt.datetime, url: str | None = None
) -> tuple[str, ...]:
    """Open a night for each team and branch whose active baselines no window runs against themselves; their ids.

    They are nights like others, of a window of their own that no config can name: start their entries, watch the runs,
    settle them; what is unfinished goes on in the next one. The same key again gives the same nights.
    """
    chosen: dict[tuple[str, str], list[NewEntry]] = defaultdict(list)
    for row, run in lonely(services):
        entry = NewEntry(suite=row.suite, model=run.model, purpose=Purpose.AA, baseline_run=run.id)
        chosen[run.team, row.branch].append(entry)
    return tuple(
        _open(services, entries, team=team, branch=branch, key=key, starts_at=starts_at, ends_at=ends_at, url=url)
        for (team, branch), entries in sorted(chosen.items())
    )


def lonely(services: Services) -> Iterator[tuple[BaselineRow, RunRow]]:
    """Active baselines that no window runs against themselves, with their runs.

    Those that can't be run again now are left out: recordings, smoke, and those whose suite, model or team is gone.
    """
    windows = [window for window in services.config.windows.values() if window.aa]
    covered = {(suite, window.branch) for window in windows for suite in window.suites}
    for row in services.store.baselines():
        run = services.store.run(row.run_id)
        if (row.suite, row.branch) not in covered and _can_run(services, run):
            yield row, run


def _can_run(services: Services, run: RunRow) -> bool:
    suites, _ = services.library.sound()
    model = services.config.models.get(run.model)
    known = model is not None and not isinstance(model, ReplayModel) and run.team in services.config.teams
    return known and run.suite in suites and run.tier is Tier.REGRESSION


def _open(
    services: Services,
    entries: list[NewEntry],
    *,
    team: str,
    branch: str,
    key: str,
    starts_at: dt.datetime,
    ends_at: dt.datetime,
    url: str | None,
) -> str:
    night = services.store.open_night(
        NewNight(
            key=f"{key}:{team}:{branch}",
            window=f"{WINDOW}{team}:{branch}",  # what is resumed is looked for within one
            team=team,
            branch=branch,
            starts_at=starts_at,
            ends_at=ends_at,
            url=url,
        )
    )
    if not services.store.entries(night.id):
        services.store.plan(night.id, entries)
    return night.id
