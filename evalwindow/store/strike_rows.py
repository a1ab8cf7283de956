"""What the store gives of prompts that end engines."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StrikeRow:
    """A prompt, or a whole candidate, that is not asked any more."""

    key: str
    suite: str
    sample_id: str  # empty: the whole candidate, in this suite
    model: str
    team: str  # of the latest run, as the next one
    run_id: str
    strikes: int
    error: str  # of the last death
    quarantined_at: dt.datetime
