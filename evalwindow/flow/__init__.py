"""The use-cases: submit, handle an event, run a shard, conclude, publish. None needs a message to arrive once."""

from evalwindow.flow.audience import channels_of
from evalwindow.flow.conclude import DEFAULT_BRANCH, conclude, promoted
from evalwindow.flow.events import handle_event
from evalwindow.flow.publish import publish
from evalwindow.flow.shards import run_shard
from evalwindow.flow.submit import submit

__all__ = [
    "DEFAULT_BRANCH",
    "channels_of",
    "conclude",
    "handle_event",
    "promoted",
    "publish",
    "run_shard",
    "submit",
]
