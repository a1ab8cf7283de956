"""Team tokens: `ew_<id>_<secret>`, of which only a hash is kept."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update

from evalwindow.errors import Conflict, NotFound
from evalwindow.store.database import Database
from evalwindow.store.ids import ALPHABET, LENGTH, new_id
from evalwindow.store.rows import Scope, TokenRow
from evalwindow.store.tables import team_token

PREFIX = "ew"
SECRET_BYTES = 32
USE_NOTED_S = 60.0  # the last use is written down at most so often
_FORM = re.compile(rf"{PREFIX}_([{ALPHABET}]{{{LENGTH}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")
_NOBODY = hashlib.sha256(b"no token has this hash").hexdigest()
_NO_ID = ALPHABET[0] * LENGTH


DEFAULT_SCOPES = (Scope.SUBMIT, Scope.PROMOTE)


class Tokens(Database):
    def add_token(
        self, team: str, *, scopes: Iterable[Scope] = DEFAULT_SCOPES, expires_at: dt.datetime | None = None
    ) -> str:
        """A new token of a team; this is the only time that its secret can be seen. No expiry: until it is revoked."""
        token_id, secret = new_id(), secrets.token_hex(SECRET_BYTES)
        row = {
            "id": token_id,
            "team": team,
            "hash": _hash(secret),
            "scopes": sorted(set(scopes)),
            "expires_at": expires_at,
        }
        with self._transaction() as connection:
            connection.execute(insert(team_token).values(row))
        return f"{PREFIX}_{token_id}_{secret}"

    def bearer(self, token: str) -> TokenRow | None:
        """The valid token that this is; None when it is malformed, unknown, wrong, expired or revoked, all alike.

        Notes that it was used, at most once a minute.
        """
        form = _FORM.fullmatch(token)
        token_id, secret = form.groups() if form else (_NO_ID, "")
        statement = select(team_token.c.hash, *_columns()).where(team_token.c.id == token_id, _valid())
        with self._transaction() as connection:
            known = connection.execute(statement).one_or_none()
            matches = hmac.compare_digest(_hash(secret), _NOBODY if known is None else known.hash)
            if known is None or not matches or form is None:
                return None
            if _is_due(known.last_used_at):
                used = update(team_token).where(team_token.c.id == token_id).values(last_used_at=func.now())
                connection.execute(used)
        return _row(known)

    def rotate_token(self, token_id: str, *, grace: dt.timedelta) -> str:
        """A new token of the same team and scopes; the old one works for `grace` more, or to its own end.

        Where the old one has an end, the new one lives as long as the old one was to live. Raises NotFound; Conflict
        when the old one has ended.
        """
        with self._transaction() as connection:
            statement = select(team_token, _valid().label("valid")).where(team_token.c.id == token_id)
            old = connection.execute(statement.with_for_update()).one_or_none()
            if old is None:
                raise NotFound(kind="token", name=token_id)
            if not old.valid:
                raise Conflict(f"token {token_id} has ended; make a new one by `evalwindow token add {old.team}`")
            new, secret, now = new_id(), secrets.token_hex(SECRET_BYTES), dt.datetime.now(dt.UTC)
            lives = None if old.expires_at is None else now + (old.expires_at - old.created_at)
            row = {"id": new, "team": old.team, "hash": _hash(secret), "scopes": old.scopes, "expires_at": lives}
            connection.execute(insert(team_token).values(row))
            ends = min(filter(None, (old.expires_at, now + grace)))
            change = update(team_token).where(team_token.c.id == token_id)
            connection.execute(change.values(expires_at=ends, replaced_by=new))
        return f"{PREFIX}_{new}_{secret}"

    def revoke_token(self, token_id: str) -> None:
        """End a token (by its id, the middle part) at once; raises NotFound."""
        revoked = func.coalesce(team_token.c.revoked_at, func.now())
        statement = update(team_token).where(team_token.c.id == token_id).values(revoked_at=revoked)
        with self._transaction() as connection:
            if not connection.execute(statement).rowcount:
                raise NotFound(kind="token", name=token_id)

    def tokens(self, team: str) -> list[TokenRow]:
        """A team's tokens, those that ended too, the oldest first."""
        statement = select(*_columns()).where(team_token.c.team == team).order_by(team_token.c.id)
        with self._transaction() as connection:
            rows = connection.execute(statement).all()
        return [_row(row) for row in rows]


def _columns() -> list[ColumnElement[Any]]:
    return [team_token.c[name] for name in TokenRow.__dataclass_fields__]


def _row(row: Row[Any]) -> TokenRow:
    values = {name: row._mapping[name] for name in TokenRow.__dataclass_fields__}
    return TokenRow(**{**values, "scopes": frozenset(map(Scope, values["scopes"]))})


def _valid() -> ColumnElement[bool]:
    """Neither revoked nor past its end."""
    in_time = or_(team_token.c.expires_at.is_(None), team_token.c.expires_at > func.now())
    return and_(team_token.c.revoked_at.is_(None), in_time)


def _is_due(last_used_at: dt.datetime | None) -> bool:
    return last_used_at is None or (dt.datetime.now(dt.UTC) - last_used_at).total_seconds() > USE_NOTED_S


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
