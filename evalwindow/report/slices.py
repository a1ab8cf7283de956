"""Slices of a run beside the baseline's, counted from the samples themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from evalwindow.metrics import mean


class Sampled(Protocol):
    """What a slice needs of a sample view."""

    @property
    def slices(self) -> tuple[str, ...]: ...
    @property
    def value(self) -> float | None: ...
    @property
    def baseline_value(self) -> float | None: ...
    @property
    def failing(self) -> bool: ...
    @property
    def flip(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class SliceView:
    """One tag's samples; means are over those that were scored, 0..1."""

    name: str
    samples: int
    failing: int
    flips_down: int
    flips_up: int
    value: float | None
    baseline_value: float | None

    @property
    def delta(self) -> float | None:
        return None if self.value is None or self.baseline_value is None else self.value - self.baseline_value


def slices_of(samples: Sequence[Sampled]) -> tuple[SliceView, ...]:
    """Every tag in the order of its largest loss; samples without a tag are left out."""
    names = sorted({name for sample in samples for name in sample.slices})
    views = [_slice(name, [sample for sample in samples if name in sample.slices]) for name in names]
    return tuple(sorted(views, key=lambda view: 0.0 if view.delta is None else view.delta))


def _slice(name: str, samples: Sequence[Sampled]) -> SliceView:
    return SliceView(
        name=name,
        samples=len(samples),
        failing=sum(sample.failing for sample in samples),
        flips_down=sum(sample.flip == "down" for sample in samples),
        flips_up=sum(sample.flip == "up" for sample in samples),
        value=_mean(sample.value for sample in samples),
        baseline_value=_mean(sample.baseline_value for sample in samples),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    scored = [value for value in values if value is not None]
    return mean(scored) if scored else None
