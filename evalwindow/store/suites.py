"""Suites by digest, so that a run is always judged by the suite it was admitted with."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from evalwindow.errors import NotFound
from evalwindow.store.database import Database
from evalwindow.store.tables import suite_version
from evalwindow.suites import Suite, from_json, to_json

KEPT = 32  # suites in memory


class Suites(Database):
    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._suites: OrderedDict[str, Suite] = OrderedDict()

    def put_suite(self, suite: Suite) -> str:
        """Keep a suite; its digest. Putting it again changes nothing."""
        known = select(suite_version.c.digest).where(suite_version.c.digest == suite.digest)
        with self._transaction() as connection:
            if connection.execute(known).first() is None:
                row = {"digest": suite.digest, "name": suite.name, "document": to_json(suite)}
                connection.execute(insert(suite_version).values(row).on_conflict_do_nothing())
        return suite.digest

    def suite(self, digest: str) -> Suite:
        """The suite of this digest; raises NotFound."""
        if digest in self._suites:
            return self._suites[digest]
        with self._transaction() as connection:
            document = connection.scalar(select(suite_version.c.document).where(suite_version.c.digest == digest))
        if document is None:
            raise NotFound(kind="suite", name=digest)
        self._suites[digest] = suite = from_json(document)
        while len(self._suites) > KEPT:
            self._suites.popitem(last=False)
        return suite
