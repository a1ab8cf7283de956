"""Which waiting prompt may go into the engine now. Pure: events and times come in, turns come out.

1. Smoke first: its slots are kept free, so it never waits for a sequence; it may have more that nobody wants. When none
   has come for a while they are lent to regression: the next one then waits until some of those end.
2. While smoke is there, regression starts nothing above the number that was measured to leave a step's time about as
   it is; what runs goes on. That ends with smoke, or when smoke has held regression back for its share of the time.
3. Between teams: the one that was served the fewest tokens (fair.py). A prompt that the KV cache has no room for is
   passed by others, but only by as many tokens as it has itself. One team's smoke is as many at a time as leave a step
   about as long as it is: the rest waits behind it, not beside another team's.
4. One that is to be alone (it may be what ends engines) waits until the engine is empty, and nobody starts meanwhile.
   Before each, in a new engine and between two of them, as many others start as there are places, or as wait.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from evalwindow.lanes.allowance import Allowance
from evalwindow.lanes.expect import Expectations
from evalwindow.lanes.fair import FairQueue
from evalwindow.lanes.figures import Figures
from evalwindow.lanes.hold import Ticket, Used
from evalwindow.lanes.lending import Lending
from evalwindow.lanes.limits import LaneLimits
from evalwindow.lanes.meter import Meter
from evalwindow.model import Tier

Key = tuple[int, int]  # (connection, prompt)


@dataclass
class _Prompt:
    ticket: Ticket
    tokens: float = 0.0  # expected, from when it started
    charged: float = 0.0  # of those, to its team's turns
    passed: float = 0.0  # tokens that went before it because it did not fit


class Governor:
    """Of one engine. Times are seconds on any one clock."""

    def __init__(self, limits: LaneLimits, *, now: float) -> None:
        self.figures = Figures()
        self._waiting: dict[Tier, FairQueue[Key]] = {tier: FairQueue() for tier in Tier}
        self._asked: dict[Key, _Prompt] = {}
        self._inside: dict[Key, _Prompt] = {}
        self._alone: dict[Key, None] = {}  # of those that asked; first come, first served
        self._owed = 0  # starts of others, before the next one may be alone
        self._count: Counter[Tier] = Counter()
        self._team_tokens: defaultdict[tuple[Tier, str], float] = defaultdict(float)
        self._team_smoke: Counter[str] = Counter()  # prompts of smoke inside
        self._tokens = 0.0
        self._expectations = Expectations()
        self._meter: Meter[Key] = Meter()
        self._open = False
        self._idle_since = now
        self._limits = limits
        self._allowance = Allowance(limits.held_back, now=now)
        self._lending = Lending(limits.lend_after_s)

    def open(self, limits: LaneLimits, *, now: float) -> None:
        """An engine is there: let prompts in, within these limits."""
        self._limits = limits
        self._allowance.share = limits.held_back
        self._lending.after_s = limits.lend_after_s
        self._owed = self._others()  # whoever waits for this engine goes before one that may end it
        self._meter.prefill_weight = limits.prefill_weight
        self._meter.go_on(now)
        self._open = True

    def shut(self, *, now: float) -> None:
        """The engine is away: nobody starts, and what is inside costs nothing."""
        self._meter.stop(now)
        self._open = False

    def resume(self, *, now: float) -> None:
        """It was not away after all."""
        self._meter.go_on(now)
        self._open = True

    def forgive(self, seconds: float, *, now: float) -> None:
        """So long the engine has done nothing for those that are inside: nobody pays for it."""
        self._meter.touch(now)
        self._meter.forgive(seconds)

    def ask(self, key: Key, ticket: Ticket) -> None:
        self._asked[key] = _Prompt(ticket)
        if ticket.alone:
            self._alone[key] = None
        else:
            self._waiting[ticket.tier].push(key, team=ticket.team)

    def leave(self, key: Key, *, now: float, used: Used | None = None) -> float | None:
        """A prompt ends, or does not wait any more (None). Its share of the engine's time, in seconds.

        Without `used` there was no answer: the time is nobody's, and lost.
        """
        if key in self._asked:
            self._forget(key, self._asked.pop(key).ticket)
            return None
        if key not in self._inside:  # it gave up as it was sent away
            return None
        prompt = self._inside.pop(key)
        ticket = prompt.ticket
        self._count[ticket.tier] -= 1
        self._team_smoke[ticket.team] -= ticket.tier is Tier.SMOKE
        self._occupy(ticket, -prompt.tokens)
        share = self._meter.leave(key, now=now, tokens=None if used is None else (used.computed, used.output))
        self.figures.left(ticket.tier, used, share)
        if used is not None:
            self._expectations.learn(ticket, prompt_tokens=used.prompt, output_tokens=used.output)
            self._waiting[ticket.tier].correct(team=ticket.team, cost=used.prompt + used.output - prompt.charged)
        if ticket.alone:
            self._owed = self._others()
        if not self._inside:
            self._idle_since = now
        return share

    def turns(self, now: float) -> list[Key]:
        """Those that start now."""
        if not self._open or self._occupied:
            return []
        if self._alone and not self._owed:
            return self._start_alone(now)
        smoke, regression = self._caps(now)
        started = self._start(Tier.SMOKE, smoke, now) + self._start(Tier.REGRESSION, regression, now)
        self._owed = max(0, self._owed - len(started))
        return started or self._start_alone(now)

    def look_again_s(self) -> float | None:
        """Without any event turns may come after so many seconds; None: they don't."""
        if not self._open or not self._waiting[Tier.REGRESSION]:
            return None
        moments = (self._allowance.left_s(), self._lending.left_s())
        return min((moment for moment in moments if moment is not None), default=None)

    def keys_of(self, connection: int) -> list[Key]:
        """What a connection has here."""
        return [key for key in (*self._asked, *self._inside) if key[0] == connection]

    def asked(self) -> list[Key]:
        """What waits."""
        return list(self._asked)

    @property
    def inside(self) -> int:
        return len(self._inside)

    @property
    def waiting(self) -> int:
        return len(self._asked)

    def idle_s(self, now: float) -> float:
        """Since the last prompt was in the engine; 0 while one is there or waits."""
        return 0.0 if self._inside or self._asked else now - self._idle_since

    def report(self, now: float) -> dict[str, Any]:
        """Figures since the start of this governor, in JSON's types."""
        self._meter.touch(now)
        waiting = Counter(prompt.ticket.tier for prompt in self._asked.values())
        lanes = {str(tier): {"in_flight": self._count[tier], "waiting": waiting[tier]} for tier in Tier}
        return self.figures.document(lanes, busy_s=self._meter.busy_s, held_back_s=self._allowance.held_s)

    @property
    def _occupied(self) -> bool:
        """By one that is to be alone."""
        return len(self._inside) == 1 and next(iter(self._inside.values())).ticket.alone

    def _caps(self, now: float) -> tuple[int, int]:
        """Prompts of smoke and of regression in flight, at most."""
        limits, hungry = self._limits, bool(self._waiting[Tier.REGRESSION])
        smoke = bool(self._count[Tier.SMOKE] or self._waiting[Tier.SMOKE])
        lent = self._lending.are_lent(smoke, now)
        if self._allowance.may_hold(smoke and hungry, now):
            return limits.sequences, min(limits.beside_smoke, limits.regression)
        if lent:
            return limits.sequences, limits.sequences
        return limits.sequences - (limits.regression if hungry else 0), limits.regression

    def _others(self) -> int:
        """Who is to start before the next one may be alone."""
        return min(self._limits.sequences, self.waiting - len(self._alone))

    def _start_alone(self, now: float) -> list[Key]:
        """The next one that is to be alone, once the engine is empty."""
        if not self._alone or self._inside:
            return []
        key = next(iter(self._alone))
        self._enter(key, now)
        return [key]

    def _start(self, tier: Tier, cap: int, now: float) -> list[Key]:
        started = []
        while self._count[tier] < cap and len(self._inside) < self._limits.sequences:
            key = self._next(tier)
            if key is None:
                break
            self._enter(key, now)
            started.append(key)
        return started

    def _next(self, tier: Tier) -> Key | None:
        """The first of the teams' heads that fits."""
        passed_by: list[_Prompt] = []
        for key in self._waiting[tier].heads():
            prompt = self._asked[key]
            need = self._expectations.of(prompt.ticket).total
            if not self._team_has_room(prompt.ticket, need):
                continue  # its own team is in its way
            if not self._inside or self._tokens + need <= self._limits.tokens_of(tier):
                for other in passed_by:
                    other.passed += need
                return key
            if prompt.passed >= need:
                return None  # its turn has come: nobody passes any more, and room grows
            passed_by.append(prompt)
        return None

    def _team_has_room(self, ticket: Ticket, need: float) -> bool:
        most = self._limits.smoke_of_team
        if ticket.tier is Tier.SMOKE and most is not None and self._team_smoke[ticket.team] >= most:
            return False
        held = self._team_tokens[ticket.tier, ticket.team]
        return held == 0 or held + need <= self._limits.tokens_of_team(ticket.tier)

    def _enter(self, key: Key, now: float) -> None:
        prompt = self._asked.pop(key)
        ticket, expected = prompt.ticket, self._expectations.of(prompt.ticket)
        prompt.tokens = expected.total
        if ticket.alone:
            del self._alone[key]
        else:
            prompt.charged = prompt.tokens
            self._waiting[ticket.tier].serve(key, team=ticket.team, cost=prompt.tokens)
        self._inside[key] = prompt
        self._count[ticket.tier] += 1
        self._team_smoke[ticket.team] += ticket.tier is Tier.SMOKE
        self._occupy(ticket, prompt.tokens)
        self._meter.enter(key, prompt_tokens=expected.prompt, most=ticket.max_tokens, now=now)

    def _forget(self, key: Key, ticket: Ticket) -> None:
        """It does not wait any more."""
        if ticket.alone:
            del self._alone[key]
        else:
            self._waiting[ticket.tier].remove(key, team=ticket.team)

    def _occupy(self, ticket: Ticket, tokens: float) -> None:
        self._tokens += tokens
        self._team_tokens[ticket.tier, ticket.team] += tokens
        if not self._inside:
            self._tokens = 0.0
            self._team_tokens.clear()
            self._team_smoke.clear()
