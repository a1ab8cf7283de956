"""The dispatcher: `python -m workers.dispatcher`. What keeps every run moving, whoever dies. Several may run at once.

events      webhook deliveries that nobody has handled yet
dispatch    pending shards -> their queues, in fair order between teams
upkeep      leases that ran out, messages that got lost, runs that nobody concluded
budget      nights that have used what they may
deliveries  checks, comments and pages that are due
agenda      when each of these has something to do next

A chore works when PostgreSQL tells that there is something to do (docs/adr/0011-listen-notify.md), and at the moment
that the agenda knows of. The agenda is looked at every 15 seconds, too, in case that something was not told; while
PostgreSQL tells nothing, every EVALWINDOW_POLL_S.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from evalwindow import flow
from evalwindow.config import REPLAY_POOL, Lane
from evalwindow.errors import EvalwindowError, ServiceDown
from evalwindow.model import Tier
from evalwindow.quota import period_quotas
from evalwindow.services import Services, build
from evalwindow.settings import read_settings
from evalwindow.store.agenda import Agenda
from evalwindow.store.listener import Listener
from evalwindow.store.rows import Backlog, DeliveryRow, EventRow
from evalwindow.store.wakes import WORK, Topic
from workers.chores import Bell, Crew, Round, finish, keep

log = logging.getLogger("workers.dispatcher")

AT_ONCE = 8  # events, and deliveries, that wait for GitHub at the same time
LEASE_S = 60.0  # of an event or a delivery
LIMIT_S = 50.0  # to handle it: less than its lease, so that nobody else has it meanwhile
GRACE_S = 10.0  # at the end, for what is being handled
LOOK_S = 15.0  # between two looks at the agenda, while wake-ups are heard
BUDGET_S = 2.0  # between two looks at what nights have used, while one with a budget is open
AGAIN_S = 1.0  # after a moment that the agenda knew of, to see what the next one is
RETRY_S = 60.0  # after a defect in a delivery

#: Whose bell a topic rings. What will be due only later is for the agenda.
CHORES: Mapping[str, str] = {
    Topic.EVENTS: "events",
    Topic.SHARDS: "dispatch",
    Topic.DELIVERIES: "deliveries",
    Topic.NIGHTS: "agenda",
    Topic.LATER: "agenda",
}


class Dispatcher:
    """The dispatcher's chores over one process's services."""

    def __init__(self, services: Services) -> None:
        self._services, self._store = services, services.store
        self._max_attempts = services.settings.max_attempts
        self._stuck: Counter[str] = Counter()  # run id -> times that it could not be concluded
        self._bells = {name: Bell() for name in ("events", "deliveries", "dispatch", "upkeep", "budget", "agenda")}
        self._budgeted = False  # a night with a budget is open
        self._quotas = period_quotas(services.config)
        self._held: Mapping[str, dt.datetime] = {}  # team -> until when no regression shard of it is sent
        self._listener = Listener(self._store, WORK, self._heard, changed=self._bells["agenda"].ring)

    async def run(self) -> None:
        """Until services.stopping is set; what is being done then gets a grace."""
        events, deliveries = self._events(), self._deliveries()
        listening = asyncio.create_task(self._listener.run())
        chores = [
            self._keep("events", events.round),
            self._keep("deliveries", deliveries.round),
            self._keep("dispatch", self.dispatch),
            self._keep("upkeep", self.upkeep),
            self._keep("budget", self.budget),
            self._keep("agenda", self.look),
        ]
        await self._services.stopping.wait()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await finish(chores, GRACE_S)
        await asyncio.gather(events.finish(GRACE_S), deliveries.finish(GRACE_S))
        for bell in self._bells.values():
            bell.ring_in(None)

    def _keep(self, name: str, work: Round) -> asyncio.Task[None]:
        pause_s, stopping = self._services.settings.poll_s, self._services.stopping
        return asyncio.create_task(keep(name, work, bell=self._bells[name], pause_s=pause_s, stopping=stopping))

    def _heard(self, payload: str) -> None:
        """Topics of a later version are none of ours."""
        name = CHORES.get(payload)
        if name is not None:
            self._bells[name].ring()

    async def look(self) -> bool:
        """Set every chore's bell to the moment when it has something to do."""
        lease_s, held = self._services.settings.lease_s, self._held
        read = partial(self._store.agenda, dispatched_older_than_s=lease_s, held=held)
        agenda = await asyncio.to_thread(read)
        self._budgeted = agenda.budget is not None
        self._bells["events"].ring_in(agenda.events)
        self._bells["deliveries"].ring_in(agenda.deliveries)
        self._bells["dispatch"].ring_in(agenda.shards)
        if agenda.upkeep is not None and agenda.upkeep <= 0:
            self._bells["upkeep"].ring()
        self._bells["budget"].ring_in(agenda.budget)
        self._bells["agenda"].ring_in(self._next_look(agenda))
        return False

    def _next_look(self, agenda: Agenda) -> float:
        """When to look again: also after the first moment that an alarm was set to, to hear of the next one.

        And when a lease would run out: mostly it has been renewed by then, and there is nothing to put right.
        """
        if not self._listener.listening:
            return self._services.settings.poll_s
        shards = agenda.shards if agenda.shards and agenda.shards > 0 else None  # those that wait for room are told
        moments = [max(0.0, each) + AGAIN_S for each in (agenda.events, agenda.deliveries, shards) if each is not None]
        if agenda.upkeep is not None:
            moments.append(agenda.upkeep if agenda.upkeep > 0 else AGAIN_S)
        return min([LOOK_S, *moments])

    async def dispatch(self) -> bool:
        """Top every queue up; raises ServiceDown while the broker takes no message."""
        return await asyncio.to_thread(self._dispatch)

    async def upkeep(self) -> bool:
        """Put right what died; conclude what nobody concluded."""
        settings = self._services.settings
        reaped = await asyncio.to_thread(self._store.reap, settings.lease_s, settings.max_attempts)
        if reaped.retried or reaped.failed or reaped.republished:
            log.warning("reaped: %s", reaped)
        for run_id in await asyncio.to_thread(self._store.stuck_runs):
            await self._conclude(run_id)
        return False

    async def budget(self) -> bool:
        """Close nights that have used their budget.

        What is over it by then: what was not recorded yet, of each shard up to one batch and the prompts in the
        engine, and what starts until the workers hear of it, in this chore's pause and two seconds.
        """
        for night_id in await asyncio.to_thread(self._store.overspent):
            if await asyncio.to_thread(self._store.close_night, night_id, "budget"):
                await asyncio.to_thread(self._say_closed, night_id)
        self._bells["budget"].ring_in(BUDGET_S if self._budgeted else None)
        return False

    def _say_closed(self, night_id: str) -> None:
        night, spent = self._store.night(night_id), self._store.spent(night_id)
        log.warning(
            "night %s of %s is closed: it used %.1f GPU-seconds, its budget is %.1f",
            night.id,
            night.window,
            spent,
            night.budget_gpu_s,
        )

    async def _conclude(self, run_id: str) -> None:
        """A run that can't be concluded for a defect fails with its reason, once it had its share of attempts."""
        try:
            await flow.conclude(self._services, run_id)
        except Exception as error:
            log.exception("run %s can't be concluded", run_id)
            self._stuck[run_id] += 1
            if self._stuck[run_id] >= self._max_attempts:
                channels = flow.channels_of((await asyncio.to_thread(self._store.run, run_id)).source)
                await asyncio.to_thread(self._store.fail_run, run_id, repr(error), channels)

    def _dispatch(self) -> bool:
        if self._quotas:
            self._hold(self._store.spent_teams(self._quotas))
        for backlog in self._store.backlog():
            if backlog.pool != REPLAY_POOL:  # that one's are worked on by who submitted them
                self._top_up(backlog)
        return False

    def _hold(self, spent: Mapping[str, dt.datetime]) -> None:
        """What these teams have in the queues and at work goes on; the rest waits for their next period."""
        for team in spent.keys() - self._held.keys():
            log.warning("team %s has used its quota: its regression runs wait until %s", team, spent[team])
        for team in self._held.keys() - spent.keys():
            log.info("team %s: a new period; its regression runs go on", team)
        self._held = spent

    def _top_up(self, backlog: Backlog) -> None:
        """Send what there is room for; what can't be sent is pending again.

        As many shards are on their way as can be worked on, and of one team fewer, so that the next shard of another
        one finds a hand free.
        """
        lane: Lane = self._services.config.lanes.of(backlog.tier)
        engines = max(1, backlog.engines)
        room = lane.consumers * engines - backlog.dispatched - backlog.running
        cap = lane.team_shards * engines
        if backlog.least is None or backlog.least >= cap:
            return
        held = self._held if backlog.tier is Tier.REGRESSION else ()
        shard_ids = self._store.top_up(backlog.pool, backlog.tier, room, team_cap=cap, held=held)
        for sent, shard_id in enumerate(shard_ids):
            if not self._services.queue.send_shard(shard_id, backlog.pool, backlog.tier):
                self._store.undispatch(shard_ids[sent:])
                raise ServiceDown(f"the broker takes no shards of pool {backlog.pool!r}; they stay pending")

    def _events(self) -> Crew[EventRow]:
        return Crew(
            name=lambda event: f"event {event.id}",
            claim=lambda: self._store.claim_event(None, LEASE_S),
            handle=lambda event: flow.handle_event(self._services, event),
            defect=self._event_defect,
            size=AT_ONCE,
            limit_s=LIMIT_S,
            bell=self._bells["events"],
        )

    def _event_defect(self, event: EventRow, error: Exception) -> None:
        """Left to its lease for another attempt, until it had its share of them."""
        if event.attempts >= self._max_attempts:
            self._store.finish_event(event.id, "failed", repr(error))

    def _deliveries(self) -> Crew[DeliveryRow]:
        return Crew(
            name=lambda delivery: f"{delivery.channel} of {delivery.subject}",
            claim=lambda: self._store.claim_delivery(LEASE_S),
            handle=lambda delivery: flow.publish(self._services, delivery),
            defect=self._delivery_defect,
            size=AT_ONCE,
            limit_s=LIMIT_S,
            bell=self._bells["deliveries"],
        )

    def _delivery_defect(self, delivery: DeliveryRow, error: Exception) -> None:
        again_s = RETRY_S if delivery.attempts < self._max_attempts else None
        self._store.delivery_failed(delivery.subject, delivery.channel, repr(error), again_s)


async def serve() -> None:
    """Dispatch until SIGTERM or SIGINT."""
    settings = read_settings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    services = build(settings)
    try:
        services.store.check()
        _check_mail(services)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, services.stopping.set)
        log.info("dispatching")
        await Dispatcher(services).run()
    finally:
        await services.aclose()


def _check_mail(services: Services) -> None:
    """Say at once what would only be seen in the morning."""
    telling = sorted(name for name, window in services.config.windows.items() if window.mail)
    if telling and services.settings.smtp is None:
        log.warning("%s: mails will wait, for EVALWINDOW_SMTP_URL is not set", ", ".join(telling))
    if services.config.alerts.to and services.settings.smtp is None:
        log.warning("alerts.to: mails will wait, for EVALWINDOW_SMTP_URL is not set")


def main() -> None:
    try:
        asyncio.run(serve())
    except EvalwindowError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
