"""A/A runs of the baselines that no window looks after."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

from evalwindow.config import UPKEEP, ReplayModel, Window
from evalwindow.model import Purpose, Tier
from evalwindow.services import Services
from evalwindow.store.rows import BaselineRow, NewEntry, NewNight, RunRow


def open_aa(
    services: Services, *, key: str, starts_at: dt.datetime, ends_at: dt.datetime, url: str | None = None
) -> tuple[str, ...]:
    """Open a night for each team and branch whose active baselines no window runs against themselves; their ids.

    They are nights like others, of the window "upkeep", which the config lacks: start their entries, watch the runs,
    settle them. Calling it again with the same key gives the same nights. Baselines that can't be run again now are
    left out: recordings, smoke, and those whose suite or model is gone.
    """
    chosen: dict[tuple[str, str], list[NewEntry]] = defaultdict(list)
    for row in services.store.baselines():
        run = services.store.run(row.run_id)
        if not _covered(row, services.config.windows.values()) and _can_run(services, run):
            entry = NewEntry(suite=row.suite, model=run.model, purpose=Purpose.AA, baseline_run=run.id)
            chosen[run.team, row.branch].append(entry)
    return tuple(
        _open(services, entries, team=team, branch=branch, key=key, starts_at=starts_at, ends_at=ends_at, url=url)
        for (team, branch), entries in sorted(chosen.items())
    )


def _covered(row: BaselineRow, windows: Iterable[Window]) -> bool:
    return any(window.aa and window.branch == row.branch and row.suite in window.suites for window in windows)


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
            window=UPKEEP,
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
