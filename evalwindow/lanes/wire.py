"""What consumers and an engine's governor say to each other: JSON arrays, one a line, over a Unix socket.

consumer  ["ask", id, tier, team, chars, max_tokens]      a prompt wants in; with a seventh, true: alone
          ["leave", id, null | [prompt, cached, output]]  it does not wait any more, or has ended; tokens of its answer
          ["broke", id]                                   the engine broke off while it had the prompt; it has left
governor  ["turn", id, engine]                            it may start; which engine answers
          ["away", id, null]                              no engine has come in time; it does not wait any more
          ["paid", id, seconds]                           it had started: its share of the engine's time
          ["judged", id, died]                            whether the engine that broke off died, or hung, by itself

A connection that ends takes its prompts along: what waited is forgotten, what was inside gives its place back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

LONGEST_LINE = 4096


class Lines:
    """Bytes as they come -> messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[list[Any]]:
        """Raises ValueError for what is no message."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise ValueError("a line without an end")
        for line in lines:
            message = json.loads(line)
            if not isinstance(message, list) or len(message) < 2:
                raise ValueError(f"no message: {line[:100]!r}")
            yield message


def line(*message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
