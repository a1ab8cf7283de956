"""Who is told about a night."""

from __future__ import annotations

from evalwindow.mail.policy import recipients
from evalwindow.mail.publish import CHANNEL
from evalwindow.report.night import gather_night
from evalwindow.services import Services


def tell(services: Services, night_id: str) -> tuple[str, ...]:
    """Queue the night's mails, one for each address that the window's policy says; again queues none twice."""
    base_url = services.settings.base_url
    view = gather_night(services.store, services.config, night_id, base_url=base_url, samples=False)
    if view.night.dry_run:
        return ()
    channels = tuple(f"{CHANNEL}{address}" for address in sorted(recipients(view)))
    services.store.tell_night(night_id, channels)
    return channels
