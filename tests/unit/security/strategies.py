"""Input that nobody expects: arbitrary JSON, and good documents with one thing changed."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

ODD = [
    *(
        None,
        True,
        False,
        0,
        -1,
        2**31,
        2**63,
        10**400,
        1e308,
        -0.0,
        float("inf"),
        float("nan"),
        "",
        " ",
        "\x00",
        "\ud800",
    ),
    *("..", "../../etc/passwd", "/etc/passwd", "%2e%2e/x", "{{ 7 * 7 }}", "{% for x in y %}", "a" * 5_000, "\u202e"),
    *("http://169.254.169.254/latest", "file:///etc/passwd", [], {}, [[]], {"": None}, "1e999", "=?utf-8?q?=0A?="),
]

# A copy of each: `changed` writes into what it drew, and the next example draws from the same list.
odd_values = st.sampled_from(ODD).map(copy.deepcopy)
scalars = odd_values | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """The document with up to three of its values replaced, removed, or joined by another."""
    result = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        place, key = draw(st.sampled_from(list(_places(result)) or [(None, None)]))
        if place is None:
            return draw(json_values)
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "remove" and isinstance(place, dict):
            del place[key]
        elif action == "add" and isinstance(place, dict):
            place[draw(st.text(max_size=8))] = draw(json_values)
        else:
            place[key] = draw(json_values)
    return result


def _places(value: Any) -> Any:
    """(container, key) of every value inside."""
    if isinstance(value, (dict, list)):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(inner)
