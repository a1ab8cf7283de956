"""Wrong tokens and signatures, counted by address: guessing is slow, and nobody is locked out by somebody else.

Each address may fail BURST times at once and then once every REFILL_S seconds. Many people share an address behind a
proxy, so an address that used up its failures is not shut: a token that was right here lately goes on to be checked,
and any other is checked as soon as the address may fail again. What is refused unchecked costs no SQL.
"""

from __future__ import annotations

import hashlib
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST = 20  # failures at once
REFILL_S = 3.0  # seconds for one more
MOST_ADDRESSES = 10_000  # the one that failed longest ago is forgotten first
MOST_TOKENS = 10_000
NETWORK_BITS = 64  # of IPv6: what one customer gets


@dataclass
class _Bucket:
    left: float
    at: float  # the clock when `left` was right


class Failures:
    """Of one process; thread-safe. Its memory is bounded, whoever asks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._guard = clock, threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def wait_s(self, address: str | None, token: str = "") -> float:
        """Seconds until a credential of this address is checked again; 0: now. A token that was right passes."""
        with self._guard:
            if _digest(token) in self._good:
                return 0.0
            bucket = self._buckets.get(network(address))
            left = BURST if bucket is None else self._left(bucket)
            return 0.0 if left >= 1 else (1 - left) * REFILL_S

    def failed(self, address: str | None, token: str = "") -> None:
        """One more wrong token or signature."""
        name = network(address)
        with self._guard:
            self._good.pop(_digest(token), None)
            bucket = self._buckets.pop(name, None) or _Bucket(BURST, self._clock())
            self._buckets[name] = _Bucket(max(0.0, self._left(bucket) - 1), self._clock())
            if len(self._buckets) > MOST_ADDRESSES:
                self._buckets.popitem(last=False)

    def succeeded(self, token: str) -> None:
        """This token was right."""
        with self._guard:
            self._good[_digest(token)] = None
            self._good.move_to_end(_digest(token))
            if len(self._good) > MOST_TOKENS:
                self._good.popitem(last=False)

    def _left(self, bucket: _Bucket) -> float:
        return min(BURST, bucket.left + (self._clock() - bucket.at) / REFILL_S)


def network(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, NETWORK_BITS), strict=False))


def _digest(token: str) -> bytes:
    """Tokens themselves are not kept in memory."""
    return hashlib.sha256(token.encode(errors="replace")).digest()
