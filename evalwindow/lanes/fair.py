"""Who of several hungry teams is next: start-time fair queueing.

P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing" (SIGCOMM 1996): each team has a virtual time that grows by the
cost of what it was served; the one that is furthest behind is next. A team that comes back from idling starts at the
present virtual time: it neither saves turns up nor pays for others'. Costs are tokens here, so that one team's long
prompts are worth many short ones of another.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass
class _Team(Generic[Key]):
    served: float  # virtual time
    waiting: dict[Key, None] = field(default_factory=dict)  # first come, first served


class FairQueue(Generic[Key]):
    """Waiting keys by team."""

    def __init__(self) -> None:
        self._now = 0.0
        self._teams: dict[str, _Team[Key]] = {}

    def __len__(self) -> int:
        return sum(len(team.waiting) for team in self._teams.values())

    def push(self, key: Key, *, team: str) -> None:
        known = self._teams.setdefault(team, _Team(self._now))
        if not known.waiting:
            known.served = max(known.served, self._now)
        known.waiting[key] = None

    def remove(self, key: Key, *, team: str) -> None:
        """It does not wait any more; nobody pays."""
        self._teams[team].waiting.pop(key, None)
        self._forget(team)

    def heads(self) -> Iterator[Key]:
        """Each team's first, the team that is furthest behind first. Don't change the queue meanwhile."""
        hungry = sorted((known.served, name) for name, known in self._teams.items() if known.waiting)
        for _, name in hungry:
            yield next(iter(self._teams[name].waiting))

    def serve(self, key: Key, *, team: str, cost: float) -> None:
        """Let a head go, at its team's cost."""
        known = self._teams[team]
        del known.waiting[key]
        self._now = max(self._now, known.served)
        known.served += cost

    def correct(self, *, team: str, cost: float) -> None:
        """What was served turned out to cost so much more (or less, below 0)."""
        if team in self._teams:
            self._teams[team].served += cost
            self._forget(team)

    def _forget(self, name: str) -> None:
        known = self._teams[name]
        if not known.waiting and known.served <= self._now:
            del self._teams[name]
