"""How much of adapters may be on its way into this process at once, all in all and of one team.

An adapter is in memory until it is stored, as text and as bytes: some four times what its request says. Counted is
that size, before anything of the body is read.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from evalwindow.errors import TryLater

TEAM, ALL = 1, 3  # of the largest adapters; of smaller ones as many more
RETRY_AFTER_S = 5.0


class Uploads:
    """Of one process; thread-safe."""

    def __init__(self, largest: int) -> None:
        """`largest`: bytes of the largest request."""
        self._largest, self._guard = largest, threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def place(self, team: str, size: int | None) -> Iterator[None]:
        """Room for a request of so many bytes, None: it doesn't say. Raises TryLater where there is none."""
        asked = self._largest if size is None else min(size, self._largest)  # a larger one is refused while it is read
        self._take(team, asked)
        try:
            yield
        finally:
            with self._guard:
                self._held[team] -= asked
                self._held += Counter()  # teams that hold nothing are forgotten

    def _take(self, team: str, asked: int) -> None:
        with self._guard:
            whose, held, most = f"team {team!r}", self._held[team], TEAM * self._largest
            if held + asked <= most:
                whose, held, most = "all teams", self._held.total(), ALL * self._largest
            if held + asked > most:
                raise TryLater(
                    f"{held} bytes of adapters of {whose} are on their way here and this one has {asked}, where {most} "
                    f"are the limit of one server: send fewer at once; try again in about {RETRY_AFTER_S:g} s",
                    retry_after_s=RETRY_AFTER_S,
                )
            self._held[team] += asked
