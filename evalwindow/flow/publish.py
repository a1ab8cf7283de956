"""Tell one channel."""

from __future__ import annotations

import asyncio
import logging

from evalwindow.channels import retry_at, tell
from evalwindow.errors import EvalwindowError
from evalwindow.services import Services
from evalwindow.store.rows import DeliveryRow

log = logging.getLogger(__name__)


async def publish(services: Services, delivery: DeliveryRow) -> None:
    """Tell one channel about a run or a night; a failure is tried again later with growing pauses."""
    store = services.store
    try:
        external_id = await tell(services, delivery)
    except (EvalwindowError, OSError) as error:  # OSError: the page's disk is full or not there
        again_at = retry_at(delivery.attempts, error)
        await asyncio.to_thread(store.delivery_failed, delivery.subject, delivery.channel, str(error), again_at)
        if again_at is None or str(error) != delivery.error:  # a reason is said once, and when it was the last attempt
            told = (delivery.subject, delivery.channel, delivery.attempts, error)
            log.warning("%s not told to %s (attempt %d): %s", *told)
    else:
        await asyncio.to_thread(store.sent, delivery.subject, delivery.channel, external_id)
