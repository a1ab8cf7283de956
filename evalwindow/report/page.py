"""A run as one self-contained HTML page: no script, no request, nothing that a model wrote is markup."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evalwindow.report import chart, words
from evalwindow.report.outputs import shown
from evalwindow.report.plot import WIDTH, axis_of
from evalwindow.report.view import Flip, RunView, SampleView

FILTERED_SLICES = 16  # the style sheet holds a rule for each


def page(view: RunView, *, index: tuple[str, str] | None = None, related: Sequence[tuple[str, str]] = ()) -> str:
    """The page of a run; `index` (label, URL) leads to where it is listed, `related` to what is worth a look beside."""
    return render(
        "run.html", view=view, axis=axis_of(view.checks), filters=_filters(view), index=index, related=related
    )


def render(template: str, **values: Any) -> str:
    """One of this package's templates with everything escaped."""
    return _environment().get_template(template).render(**values)


def content_security_policy(*, framed: bool = False) -> str:
    """Nothing but the page's own style sheet; for the header of the pages that are served.

    `framed`: pages of the same origin may show it in a frame.
    """
    return f"{_page_policy()}; frame-ancestors " + ("'self'" if framed else "'none'")


def _page_policy() -> str:
    """What a page says of itself, so that a saved file is as strict (a meta tag knows no frame-ancestors)."""
    return f"default-src 'none'; style-src '{_style_hash()}'; form-action 'self'; base-uri 'none'"


def _filters(view: RunView) -> list[tuple[str, str, int]]:
    """(id, label, samples) of each filter that would show something."""
    samples = view.samples
    counts = [
        ("all", "All", len(samples)),
        ("failing", "Failing", len(view.failing)),
        ("down", "Lost against baseline", sum(sample.flip is Flip.DOWN for sample in samples)),
        ("up", "Won against baseline", sum(sample.flip is Flip.UP for sample in samples)),
        ("must", "Must pass", sum(sample.must_pass for sample in samples)),
        ("unscored", "Unscored", sum(sample.outcome == "unscored" for sample in samples)),
    ]
    return [(key, label, count) for key, label, count in counts if count or key == "all"]


def _sample_classes(sample: SampleView, view: RunView) -> str:
    names = [piece.name for piece in view.slices[:FILTERED_SLICES]]
    flags = {
        "failing": sample.failing,
        "must": sample.must_pass,
        "down": sample.flip is Flip.DOWN,
        "up": sample.flip is Flip.UP,
    }
    slices = [f"slice-{names.index(name)}" for name in sample.slices if name in names]
    return " ".join(["sample", sample.outcome, *(name for name, wanted in flags.items() if wanted), *slices])


def _short_answer(sample: SampleView, view: RunView) -> str:
    """What the judged scorer read out of the first answer, or the answer itself, in a line."""
    for result in sample.results:
        score = result.scores.get(view.suite.primary)
        if score is not None and score.answer is not None:
            return score.answer
        return shown(result)
    return words.NOTHING


@functools.cache
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("evalwindow.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats = (
        words.percent,
        words.points,
        words.interval,
        words.seconds,
        words.rate,
        words.money,
        words.moment,
        words.score,
        words.visible,
        words.without_answer,
    )
    env.filters.update({function.__name__: function for function in formats})
    env.globals.update(
        style=_style(),
        policy=_page_policy(),
        plot_width=WIDTH,
        filtered_slices=FILTERED_SLICES,
        sample_classes=_sample_classes,
        short_answer=_short_answer,
        shown=shown,
        counted=words.counted,
        clock=words.clock,
        day=words.day,
        hours=words.hours,
        local=words.local,
        chart_width=chart.WIDTH,
        chart_height=chart.HEIGHT,
        chart_left=chart.LEFT,
    )
    return env


@functools.cache
def _style() -> Markup:
    loader = PackageLoader("evalwindow.report", "templates")
    environment = Environment(loader=loader, autoescape=False, trim_blocks=True)  # noqa: S701 - our own CSS, no input
    return Markup(environment.get_template("style.css").render(filtered_slices=FILTERED_SLICES))  # noqa: S704


def _style_hash() -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
