"""Circuit breakers: what has failed too often lately is left alone, then tried by one before all. Pure."""

from evalwindow.breakers.ids import GITHUB, SMTP, breaker_of, kind_of, of_errors, of_pool, of_provider, of_submissions
from evalwindow.breakers.machine import (
    LEAVE,
    Leave,
    Phase,
    Standing,
    Step,
    What,
    ask,
    failed,
    reset,
    succeeded,
    untried,
)
from evalwindow.breakers.rates import MINUTE, counted

__all__ = [
    "GITHUB",
    "LEAVE",
    "MINUTE",
    "SMTP",
    "Leave",
    "Phase",
    "Standing",
    "Step",
    "What",
    "ask",
    "breaker_of",
    "counted",
    "failed",
    "kind_of",
    "of_errors",
    "of_pool",
    "of_provider",
    "of_submissions",
    "reset",
    "succeeded",
    "untried",
]
