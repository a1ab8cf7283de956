"""The broker: a Celery message names a shard, and is only a hint. See docs/adr/0001-sql-is-the-truth.md."""

from __future__ import annotations

import logging
from urllib.parse import parse_qs, urlsplit

from celery import Celery
from kombu.exceptions import OperationalError

from evalwindow.errors import ConfigInvalid, ServiceDown
from evalwindow.model import Tier

log = logging.getLogger(__name__)

RUN_SHARD = "evalwindow.run_shard"  # the one task's name
SCHEMES = ("redis", "rediss", "memory")
TRUST = ("required", "CERT_REQUIRED", "optional", "CERT_OPTIONAL", "none", "CERT_NONE")  # kombu's words
CONSUMER_TIMEOUT_S = 10.0
SENDER_TIMEOUT_S = 2.0  # somebody waits for the answer

TRANSPORT = {
    "visibility_timeout": 3600,
    "socket_connect_timeout": SENDER_TIMEOUT_S,
    "socket_keepalive": True,
    "health_check_interval": 5,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
}

#: One more try, at once: a pooled connection may have died with the broker's last restart.
RETRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def queue_name(pool: str, tier: Tier) -> str:
    return f"{tier.value}.{pool}"


def make_celery(redis_url: str, *, socket_timeout_s: float = CONSUMER_TIMEOUT_S) -> Celery:
    """A Celery app with the settings that lost nothing: late acks, no results, no revokes, ids in JSON only."""
    if not redis_url:
        raise ConfigInvalid("EVALWINDOW_REDIS_URL is not set; `evalwindow up` starts a Redis and sets it")
    _check(redis_url)
    app = Celery("evalwindow", broker=redis_url)
    app.conf.update(
        accept_content=["json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_transport_options={**TRANSPORT, "socket_timeout": socket_timeout_s},
        task_acks_late=True,
        task_ignore_result=True,
        task_publish_retry_policy=RETRY,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        worker_prefetch_multiplier=1,
    )
    return app


class Queue:
    """Sends hints; one queue for each tier and pool."""

    def __init__(self, redis_url: str) -> None:
        self._app = make_celery(redis_url, socket_timeout_s=SENDER_TIMEOUT_S)
        self._host = host_of(redis_url)

    def send_shard(self, shard_id: str, pool: str, tier: Tier) -> bool:
        """Send a shard's id to the consumers of its pool and tier. False, with a warning, while the broker is away.

        It never raises for that: what is admitted stays admitted, its row says that it waits, and the dispatcher
        sends it when the broker is back.
        """
        try:
            self._app.send_task(RUN_SHARD, args=[shard_id], queue=queue_name(pool, tier))
        except OperationalError as error:
            log.warning("shard %s waits for the dispatcher: %s", shard_id, self._down(error))
            return False
        return True

    def check(self) -> None:
        """Raises ServiceDown when the broker can't be reached."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, interval_max=0, timeout=SENDER_TIMEOUT_S)
        except (OperationalError, OSError) as error:
            raise self._down(error) from error

    def close(self) -> None:
        self._app.close()

    def _down(self, error: Exception) -> ServiceDown:
        advice = "start it, or set EVALWINDOW_REDIS_URL to the right one"
        return ServiceDown(service="Redis", host=self._host, reason=str(error), advice=advice)


def host_of(url: str) -> str:
    """Where a broker URL points to, without its password."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def _check(url: str) -> None:
    """Raises ConfigInvalid. A `/` in a password makes a piece of it the port, so no message shows any of the URL."""
    try:
        parts = urlsplit(url)
        readable = parts.scheme in SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        readable = False
    if not readable:
        raise ConfigInvalid(
            "EVALWINDOW_REDIS_URL: not a URL; expected redis://user:password@host:6379/0, rediss:// for TLS, "
            "with @ : / ? # % of a password as %40 ..."
        ) from None
    if parts.scheme == "rediss" and parse_qs(parts.query).get("ssl_cert_reqs", [""])[-1] not in TRUST:
        raise ConfigInvalid(
            "EVALWINDOW_REDIS_URL: rediss:// says whom to trust: ?ssl_cert_reqs=required, with &ssl_ca_certs=FILE for "
            "an authority of your own"
        )
