"""Strikes of prompts that were inside when an engine died, and which of them are not asked any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, text

from evalwindow.errors import BadInput, NotFound
from evalwindow.poison import PROVEN_PROMPTS, Standing, Suspect
from evalwindow.store.database import Database
from evalwindow.store.limit_tables import strike
from evalwindow.store.strike_rows import StrikeRow
from evalwindow.store.types import clean_text

SHORTEST_KEY = 8  # characters that name a key

#: What was quarantined stays so.
_STRIKE = text("""
    INSERT INTO strike (key, suite, sample_id, model, team, run_id, strikes, error, quarantined_at)
    VALUES (
        :key, :suite, :sample_id, :model, coalesce((SELECT team FROM run WHERE id = :run_id), ''), :run_id, 1, :error,
        CASE WHEN CAST(:proven AS boolean) THEN now() END
    )
    ON CONFLICT (key) DO UPDATE SET
        strikes = strike.strikes + 1, error = excluded.error, at = now(), team = excluded.team,
        run_id = excluded.run_id, quarantined_at = coalesce(strike.quarantined_at, excluded.quarantined_at)
    RETURNING strikes, error, quarantined_at
""")


class Strikes(Database):
    def strike(
        self, suspect: Suspect, *, whole: Suspect, run_id: str, error: str, proven: bool
    ) -> Mapping[str, Standing]:
        """An engine died with this in it; `proven`: and with nothing else, so it is not asked any more.

        With PROVEN_PROMPTS of one run nothing of its candidate is, in this suite. Gives the standings that changed, by
        key.
        """
        with self._transaction() as connection:
            changed = {suspect.key: _strike(connection, suspect, run_id=run_id, error=error, proven=proven)}
            if proven and suspect.sample_id and _proven(connection, run_id) >= PROVEN_PROMPTS:
                reason = f"{PROVEN_PROMPTS} of its prompts did, the last: {error}"
                changed[whole.key] = _strike(connection, whole, run_id=run_id, error=reason, proven=True)
        return changed

    def absolve(self, keys: Iterable[str]) -> None:
        """These were answered: nothing is held against them. What is quarantined stays so."""
        innocent = delete(strike).where(strike.c.key.in_(list(keys)), strike.c.quarantined_at.is_(None))
        with self._transaction() as connection:
            connection.execute(innocent)

    def quarantined(self, *, team: str | None = None) -> list[StrikeRow]:
        """What is not asked any more, the newest first; one team's, if it is named."""
        columns = [strike.c[name] for name in StrikeRow.__dataclass_fields__]
        rows = select(*columns).where(strike.c.quarantined_at.isnot(None)).order_by(strike.c.quarantined_at.desc())
        if team is not None:
            rows = rows.where(strike.c.team == team)
        with self._transaction() as connection:
            return [StrikeRow(**row._mapping) for row in connection.execute(rows)]

    def end_quarantine(self, key: str) -> StrikeRow:
        """Let a prompt or candidate be asked again, by its key or the beginning of it.

        Raises NotFound, and BadInput for a beginning that is too short or that several have.
        """
        if len(key) < SHORTEST_KEY:
            raise BadInput(f"key {key!r}: give its first {SHORTEST_KEY} characters at least")
        named = [row for row in self.quarantined() if row.key.startswith(key)]
        if not named:
            raise NotFound(kind="quarantined prompt", name=key)
        if len(named) > 1:
            raise BadInput(f"key {key!r}: {len(named)} keys begin so; give more of it")
        with self._transaction() as connection:
            connection.execute(delete(strike).where(strike.c.key == named[0].key))
        return named[0]


def standing_of(row: Row[Any]) -> Standing:
    return Standing(strikes=row.strikes, quarantined=row.quarantined_at is not None, error=row.error)


def _strike(connection: Connection, suspect: Suspect, *, run_id: str, error: str, proven: bool) -> Standing:
    values = {
        "key": suspect.key,
        "suite": suspect.suite,
        "sample_id": clean_text(suspect.sample_id),
        "model": suspect.model,
        "run_id": run_id,
        "error": clean_text(error),
        "proven": proven,
    }
    return standing_of(connection.execute(_STRIKE, values).one())


def _proven(connection: Connection, run_id: str) -> int:
    found = select(func.count()).where(
        strike.c.run_id == run_id, strike.c.sample_id != "", strike.c.quarantined_at.isnot(None)
    )
    return int(connection.scalar(found) or 0)
