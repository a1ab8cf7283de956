"""Tell one channel."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging

from evalwindow.breakers import GITHUB, Phase
from evalwindow.channels import again_in_s, notifier_of, tell
from evalwindow.errors import EvalwindowError, GitHubRefused, GitHubUnavailable, MailRefused, MailUnavailable
from evalwindow.services import Services
from evalwindow.store.rows import DeliveryRow

log = logging.getLogger(__name__)

LIMIT_S = 45.0  # for all requests of one attempt; a mail has a limit of its own, and is never left half sent
PROBE_S = 60.0  # then a probe counts as dead

AWAY = (GitHubUnavailable, MailUnavailable, TimeoutError)
THERE = (GitHubRefused, MailRefused)  # it answered, if not as we like


async def publish(services: Services, delivery: DeliveryRow) -> None:
    """Tell one channel about a run, a night or a breaker; a failure is tried again later with growing pauses.

    While GitHub or the mail server is away, what is for it is put off, and no attempt is lost.
    """
    attempt = _Attempt(services, delivery)
    until = await attempt.wait_until()
    if until is not None:
        await attempt.put_off(until, None)
        return
    try:
        async with asyncio.timeout(attempt.limit_s):
            external_id = await tell(services, delivery)
    except (EvalwindowError, OSError) as error:  # OSError: the page's disk is full or not there
        await attempt.failed(error)
    else:
        await asyncio.to_thread(services.store.sent, delivery.subject, delivery.channel, external_id)
        await attempt.answered()
    finally:
        await attempt.leave()


class _Attempt:
    """One delivery's attempt, and what the breaker of its notifier hears of it: nothing, while all is well."""

    def __init__(self, services: Services, delivery: DeliveryRow) -> None:
        self._services, self._delivery = services, delivery
        self._notifier = notifier_of(services, delivery.channel)
        self._suspect = self._notifier in delivery.suspects
        self._probe = False

    @property
    def limit_s(self) -> float | None:
        return LIMIT_S if self._notifier == GITHUB else None

    async def wait_until(self) -> dt.datetime | None:
        """None: it may be told now."""
        if self._notifier is None or not self._suspect:
            return None
        turn = await asyncio.to_thread(self._services.breakers.ask, [self._notifier], probe_s=PROBE_S)
        self._probe = bool(turn.probes)
        return turn.wait_until

    async def answered(self) -> None:
        if self._notifier is not None and self._suspect:
            probe, self._probe = self._probe, False
            await asyncio.to_thread(self._services.breakers.succeeded, self._notifier, probe=probe)

    async def failed(self, error: Exception) -> None:
        """Whose fault it was decides whether the attempt counts."""
        if self._notifier is not None and isinstance(error, AWAY):
            probe, self._probe = self._probe, False
            asked_s = getattr(error, "retry_after", None) or 0.0
            standing = await asyncio.to_thread(
                self._services.breakers.failed, self._notifier, _said(error), probe=probe, at_least_s=asked_s
            )
            if standing.phase is not Phase.CLOSED and standing.retry_at is not None:
                await self.put_off(standing.retry_at, _said(error))
                return
        if isinstance(error, THERE):
            await self.answered()
        await self._count(error)

    async def put_off(self, until: dt.datetime, error: str | None) -> None:
        """It waits for its notifier; should that be back meanwhile, it goes out at once."""
        delivery, store = self._delivery, self._services.store
        log.info("%s of %s: put off until %s", delivery.channel, delivery.subject, until.isoformat(timespec="seconds"))
        await asyncio.to_thread(store.delivery_put_off, delivery.subject, delivery.channel, error, until)
        if self._notifier is not None:
            await asyncio.to_thread(self._services.breakers.wake_closed, [self._notifier], was=until)

    async def leave(self) -> None:
        """A probe that found nothing out is the next one's."""
        if self._notifier is not None and self._probe:
            self._probe = False
            await asyncio.to_thread(self._services.breakers.untried, [self._notifier])

    async def _count(self, error: Exception) -> None:
        delivery, store = self._delivery, self._services.store
        again_s = again_in_s(delivery.attempts, error)
        await asyncio.to_thread(store.delivery_failed, delivery.subject, delivery.channel, _said(error), again_s)
        if again_s is None or _said(error) != delivery.error:  # a reason is said once, and when it was the last attempt
            told = (delivery.subject, delivery.channel, delivery.attempts, _said(error))
            log.warning("%s not told to %s (attempt %d): %s", *told)


def _said(error: Exception) -> str:
    return str(error) or f"it took longer than {LIMIT_S:g} s"
