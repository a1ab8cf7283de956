"""The mail as HTML: no script, no request, nothing that a model wrote is markup, small enough to be shown whole."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from css_inline import CSSInliner
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evalwindow.mail.content import Content
from evalwindow.report import words

MOST_BYTES = 100_000  # Gmail cuts at 102 KB, and hides the rest behind a link


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How much of a long mail is shown."""

    overview: int  # entries in the table
    sections: int  # entries in full
    rows: int  # slices of each
    lost: int  # flips of each


FORMS = (
    Shown(overview=60, sections=12, rows=12, lost=5),
    Shown(overview=60, sections=8, rows=8, lost=3),
    Shown(overview=40, sections=6, rows=6, lost=1),
    Shown(overview=40, sections=3, rows=4, lost=1),
    Shown(overview=20, sections=1, rows=4, lost=1),
)


def html(content: Content, pictures: Mapping[int, str]) -> str:
    """The fullest form under MOST_BYTES. `pictures`: number of a section -> Content-ID of its plot."""
    texts = (_render(content, pictures, shown) for shown in FORMS)
    last = ""
    for last in texts:
        if len(last.encode()) <= MOST_BYTES:
            break
    return last


def _render(content: Content, pictures: Mapping[int, str], shown: Shown) -> str:
    sections = content.sections[: shown.sections]
    return styled(
        "mail.html",
        mail=content,
        shown=shown,
        rows=content.rows[: shown.overview],
        sections=sections,
        pictures=[pictures.get(index, "") for index in range(len(sections))],
    )


def styled(template: str, **values: Any) -> str:
    """One of this package's templates with everything escaped, and its styles at the elements."""
    return _inliner().inline(_environment().get_template(template).render(**values))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evalwindow.mail", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, _, _ = environment.loader.get_source(environment, "mail.css")  # type: ignore[union-attr]
    environment.globals.update(style=Markup(style), counted=words.counted)  # noqa: S704 - our own file
    return environment


@functools.cache
def _inliner() -> CSSInliner:
    """Mail programs read styles at the element; rules for dark and for small screens stay where they are."""
    return CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
