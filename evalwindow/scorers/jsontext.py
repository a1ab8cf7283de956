"""JSON as models write it, and what counts as the same value."""

from __future__ import annotations

import json
import re
from typing import Any

_FENCED = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*\Z", re.DOTALL)
MAX_TEXT = 200_000  # characters


def read_json(text: str) -> Any:
    """The value of a text that is JSON, bare or in one code fence; raises ValueError that says what is wrong."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"longer than {MAX_TEXT} characters")
    fenced = _FENCED.match(text)
    try:
        return json.loads(fenced.group(1) if fenced else text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def same(left: Any, right: Any) -> bool:
    """JSON equality: 1 is 1.0 but not true, the order of keys doesn't matter."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
