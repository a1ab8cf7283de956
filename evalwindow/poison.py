"""Prompts that end engines: suspected, asked alone, proven, and not asked any more (docs/quarantine.md).

A prompt that was inside when an engine died gets a strike; an answer takes its strikes back. One that ends the engine
while nobody else is in it is proven. What ends the engine while its adapter is loaded, or too many proven prompts of
one candidate, speaks against the candidate as a whole: nothing of it is asked any more in that suite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from evalwindow.errors import EngineRefused
from evalwindow.model import Completion

ALONE_AT = 2  # strikes; from then on it is asked alone
PROVEN_PROMPTS = 3  # of one run, until nothing of its candidate is asked any more in that suite


class Quarantined(EngineRefused):
    """This was not asked, because it has ended engines."""


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """Who may have ended an engine: a prompt with all that its answer depends on, or a whole candidate."""

    key: str  # of the result cache, of the first epoch; of a candidate: see cache.whole_key
    suite: str
    sample_id: str  # empty: the whole candidate, in this suite
    model: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is held against a suspect."""

    strikes: int = 0  # engines that died while it was inside, since its last answer
    quarantined: bool = False
    error: str = ""  # of the last death

    @property
    def alone(self) -> bool:
        return self.strikes >= ALONE_AT


INNOCENT = Standing()


@dataclass(frozen=True, kw_only=True)
class Known:
    """What one look-up found."""

    completions: Mapping[str, Completion] = field(default_factory=dict)  # by key
    standings: Mapping[str, Standing] = field(default_factory=dict)  # by key; who is not in it is innocent


class Docket(Protocol):
    """Where strikes are written down."""

    def standing(self, key: str) -> Standing: ...

    async def look(self, keys: Iterable[str]) -> None:
        """Learn what is held against these."""
        ...

    async def look_again(self, keys: Iterable[str]) -> None:
        """Likewise, if that can be had at once: the engine waits."""
        ...

    async def strike(self, suspect: Suspect, *, whole: Suspect, error: str, proven: bool) -> None:
        """An engine died with it inside; `proven`: and with nobody else."""
        ...

    async def absolve(self, keys: Iterable[str]) -> None:
        """It was answered."""
        ...


class Doubts:
    """What one process knows of suspects; the truth is in SQL, and each look-up brings it here."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}

    def of(self, key: str) -> Standing:
        return self._standings.get(key, INNOCENT)

    def learn(self, keys: Iterable[str], standings: Mapping[str, Standing]) -> None:
        """All of these keys were looked up."""
        for key in keys:
            if key in standings:
                self._standings[key] = standings[key]
            else:
                self._standings.pop(key, None)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One prompt on its way to an engine, and the candidate that it belongs to."""

    prompt: Suspect
    whole: Suspect
    docket: Docket | None  # None: nobody keeps strikes

    def alone(self) -> bool:
        """May nobody else be in the engine with it? Raises Quarantined where it may not be asked at all."""
        return any(self._standing(suspect).alone for suspect in (self.prompt, self.whole))

    async def look_again(self) -> None:
        """Another process may have proven it while it waited for its turn."""
        if self.docket is not None:
            await self.docket.look_again([self.prompt.key, self.whole.key])

    def _standing(self, suspect: Suspect) -> Standing:
        standing = INNOCENT if self.docket is None else self.docket.standing(suspect.key)
        if standing.quarantined:
            raise Quarantined(_reason(suspect))
        return standing

    async def died(self, *, loading: bool, alone: bool, error: str) -> None:
        """The engine died with it inside."""
        if self.docket is not None:
            suspect = self.whole if loading else self.prompt
            await self.docket.strike(suspect, whole=self.whole, error=error, proven=alone)

    async def answered(self) -> None:
        """Costs nothing for who is innocent."""
        if self.docket is not None:
            keys = [each.key for each in (self.prompt, self.whole) if self.docket.standing(each.key).strikes]
            if keys:
                await self.docket.absolve(keys)


def _reason(suspect: Suspect) -> str:
    """For the run's readers: what the engine's last words were is the operator's to see."""
    who = "this prompt" if suspect.sample_id else f"model {suspect.model!r} with this candidate and suite"
    return (
        f"not asked: {who} has ended engines; `evalwindow quarantine release {suspect.key[:12]}` lets it be asked again"
    )
