"""How a run of a night is doing, in one word for whoever waits for it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from evalwindow.store import Store

OPEN, WINDOW_CLOSED = "open", "window_closed"


@dataclass(frozen=True, kw_only=True)
class Watched:
    """`status`: open, window_closed, or the final state of the run: concluded, cancelled, failed, superseded."""

    run_id: str
    status: str
    samples: int
    samples_left: int  # in shards that are not finished


def watch(store: Store, run_id: str) -> Watched:
    """window_closed: its window is over and nobody has any of its shards in hand. Raises NotFound."""
    run = store.run(run_id)
    left, samples = store.left(run_id)
    status = OPEN
    if run.state.final:
        status = run.state.value
    elif run.window_end is not None and dt.datetime.now(dt.UTC) >= run.window_end and not store.in_hand(run_id):
        status = WINDOW_CLOSED
    return Watched(run_id=run_id, status=status, samples=samples, samples_left=left)
