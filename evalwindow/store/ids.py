"""Sortable ids: 26 characters, microseconds of creation first, then random bits."""

from __future__ import annotations

import secrets
import threading
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
LENGTH = 26  # 5 bits a character: 130 bits hold 56 of time and 72 of chance
RANDOM_BITS = 72


class _Clock:
    """Microseconds since 1970 that never repeat or go back inside a process."""

    def __init__(self) -> None:
        self._last, self._lock = 0, threading.Lock()

    def tick(self) -> int:
        with self._lock:
            self._last = max(time.time_ns() // 1000, self._last + 1)
            return self._last


_clock = _Clock()


def new_id() -> str:
    """An id that sorts after every earlier one of this process, and by creation time across processes."""
    number = _clock.tick() << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))
