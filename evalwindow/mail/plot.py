"""The last nights of one suite and model as a picture: score beside its baseline, latency, GPU-seconds.

Drawn on no background in colours of middle brightness, so that it reads on white and in a dark mail program alike.
"""

from __future__ import annotations

import datetime as dt
import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalwindow.model import Answer
from evalwindow.report import words
from evalwindow.store.night_rows import TrendPoint

if TYPE_CHECKING:  # it takes most of a second to import
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 600, 220  # CSS pixels at which a mail shows it
SCALE = 2  # pixels of the file a CSS pixel
DPI = 100 * SCALE
TICKS = 5  # dates on the axis

INK, GRID, LINE = "#767c89", "#80868f44", "#5f7fd0"
#: colour and shape of a night's mark: the shape says it to who sees no colours
MARKS: dict[Answer | None, tuple[str, str]] = {
    Answer.PASS: ("#2f9e6b", "o"),
    Answer.FAIL: ("#e0554b", "X"),
    Answer.INCONCLUSIVE: ("#c58a1c", "D"),
    None: (INK, "s"),  # it doesn't count
}

_drawing = threading.Lock()  # matplotlib's text layout is shared by all threads


@dataclass(frozen=True, kw_only=True)
class Trend:
    """What is drawn: at least one night, oldest first."""

    points: tuple[TrendPoint, ...]
    baseline: float | None  # that the latest was judged against, 0..1
    margin: float | None
    zone: dt.tzinfo

    @property
    def alt(self) -> str:
        """The picture in a sentence."""
        *_, last = self.points
        parts = [f"Score now {words.percent(last.score)}"]
        if len(self.points) > 1:
            earlier = [point.score for point in self.points[:-1] if point.score is not None]
            parts.append(f"in the {words.counted(len(earlier), 'night')} before {_range(earlier)}")
        if self.baseline is not None:
            parts.append(f"baseline {words.percent(self.baseline)}")
        return f"{', '.join(parts)}. Median latency now {words.seconds(last.latency_s)}, {last.gpu_s:.1f} GPU-seconds."


def _range(scores: Sequence[float]) -> str:
    if not scores:
        return words.NOTHING
    low, high = words.percent(min(scores)), words.percent(max(scores))
    return low if low == high else f"{low} to {high}"


def draw(trend: Trend) -> bytes:
    """A PNG of WIDTH x HEIGHT CSS pixels, twice as many of its own."""
    with _drawing:
        return _draw(trend)


def _draw(trend: Trend) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH * SCALE / DPI, HEIGHT * SCALE / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    wide, latency, gpu = (figure.add_axes(box) for box in _boxes())
    _draw_score(wide, trend)
    _draw_small(latency, trend, "latency", lambda point: point.latency_s, words.seconds)
    _draw_small(gpu, trend, "GPU-seconds", lambda point: point.gpu_s, lambda value: f"{value:.1f}")
    file = io.BytesIO()
    canvas.print_png(file, metadata={"Software": None, "Description": trend.alt})  # type: ignore[no-untyped-call]
    return file.getvalue()


def _boxes() -> tuple[tuple[float, float, float, float], ...]:
    """Score, latency, GPU-seconds: left, bottom, width, height as shares of the picture."""
    return (0.06, 0.12, 0.6, 0.74), (0.78, 0.58, 0.21, 0.28), (0.78, 0.12, 0.21, 0.28)


def _draw_score(axes: Axes, trend: Trend) -> None:
    shown = [(x, point, point.score * 100) for x, point in enumerate(trend.points) if point.score is not None]
    axes.plot([x for x, _, _ in shown], [y for _, _, y in shown], color=LINE, linewidth=1.2, zorder=2)
    for x, point, y in shown:
        colour, shape = MARKS[None if point.void else point.answer]
        axes.plot(x, y, shape, color=colour, markersize=5, markeredgewidth=0, zorder=3, clip_on=False)
    levels, title = [y for _, _, y in shown], "score, %"
    if trend.baseline is not None:
        level, margin = trend.baseline * 100, (trend.margin or 0.0) * 100
        axes.axhline(level, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.axhspan(level - margin, level, color=INK, alpha=0.13, linewidth=0, zorder=0)  # what is tolerated
        levels += [level, level - margin]
        title += f"   – –  baseline {level:.1f}"
    _style(axes, trend, title, levels, dates=TICKS)
    if shown:
        x, _, y = shown[-1]
        axes.annotate(f"{y:.1f}", (x, y), (6, -3), textcoords="offset points", color=INK, fontsize=8, weight="bold")


def _draw_small(
    axes: Axes,
    trend: Trend,
    title: str,
    value_of: Callable[[TrendPoint], float | None],
    say: Callable[[float], str],
) -> None:
    shown = [(x, value) for x, point in enumerate(trend.points) if (value := value_of(point)) is not None]
    last = f": {say(shown[-1][1])}" if shown else ": –"
    axes.plot([x for x, _ in shown], [y for _, y in shown], color=LINE, linewidth=1.0)
    axes.plot([x for x, _ in shown[-1:]], [y for _, y in shown[-1:]], "o", color=LINE, markersize=3, clip_on=False)
    _style(axes, trend, title + last, [0.0, *(y for _, y in shown)], dates=0)


def _style(axes: Axes, trend: Trend, title: str, levels: Sequence[float], *, dates: int) -> None:
    axes.set_title(title, loc="left", color=INK, fontsize=8, pad=5)
    axes.patch.set_alpha(0)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.5)
    axes.tick_params(colors=INK, labelsize=7.5, length=0, pad=3)
    axes.locator_params(axis="y", nbins=4 if dates else 2)
    low, high = min(levels, default=0.0), max(levels, default=1.0)
    room = max((high - low) * 0.18, 0.5 if dates else 0.01)  # noise is not blown up to a mountain range
    axes.set_ylim(low - (room if low else 0.0), high + room)
    count = len(trend.points)
    axes.set_xlim(-0.4, count - 0.4)
    places = _places(count, dates)
    axes.set_xticks(places, [f"{trend.points[x].at.astimezone(trend.zone):%m-%d}" for x in places])


def _places(count: int, most: int) -> list[int]:
    """At most so many, evenly spaced, the last one among them."""
    return sorted(range(count - 1, -1, -count // most)) if most else []
