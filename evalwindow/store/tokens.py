"""Team tokens: `ew_<id>_<secret>`, of which only a hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from sqlalchemy import func, insert, select, update

from evalwindow.errors import NotFound
from evalwindow.store.database import Database
from evalwindow.store.ids import new_id
from evalwindow.store.rows import TokenRow
from evalwindow.store.tables import team_token

PREFIX = "ew"
_NOBODY = hashlib.sha256(b"no token has this hash").hexdigest()


class Tokens(Database):
    def add_token(self, team: str) -> str:
        """A new token of a team; this is the only time that its secret can be seen."""
        token_id, secret = new_id(), secrets.token_hex(32)
        row = {"id": token_id, "team": team, "hash": _hash(secret)}
        with self._transaction() as connection:
            connection.execute(insert(team_token).values(row))
        return f"{PREFIX}_{token_id}_{secret}"

    def team_of_token(self, token: str) -> str | None:
        """Whose token it is; None when it is malformed, unknown, wrong or revoked, all in the same time."""
        prefix, _, rest = token.partition("_")
        token_id, _, secret = rest.partition("_")
        statement = select(team_token.c.team, team_token.c.hash)
        statement = statement.where(team_token.c.id == token_id, team_token.c.revoked_at.is_(None))
        with self._transaction() as connection:
            known = connection.execute(statement).one_or_none()
        matches = hmac.compare_digest(_hash(secret), _NOBODY if known is None else known.hash)
        return known.team if known is not None and matches and prefix == PREFIX else None

    def revoke_token(self, token_id: str) -> None:
        """End a token (by its id, the middle part) at once; raises NotFound."""
        revoked = func.coalesce(team_token.c.revoked_at, func.now())
        statement = update(team_token).where(team_token.c.id == token_id).values(revoked_at=revoked)
        with self._transaction() as connection:
            if not connection.execute(statement).rowcount:
                raise NotFound(kind="token", name=token_id)

    def tokens(self, team: str) -> list[TokenRow]:
        """A team's tokens, revoked ones too, the oldest first."""
        names = TokenRow.__dataclass_fields__
        statement = select(*(team_token.c[name] for name in names)).where(team_token.c.team == team)
        with self._transaction() as connection:
            rows = connection.execute(statement.order_by(team_token.c.id)).all()
        return [TokenRow(**dict(row._mapping)) for row in rows]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
