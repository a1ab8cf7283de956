"""One-sided bounds of a mean paired difference. docs/gates.md says when which method is used, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from evalwindow.gate.distributions import (
    mcnemar,
    rate_at_least,
    rate_at_most,
    root,
    student_cdf,
    student_quantile,
)
from evalwindow.metrics import clustered_error, mean, standard_error

FEW = 50  # telling samples; from there on a normal bound keeps its 5 % to within 0.3 points (docs/gates.md)
LEAST_P = 1e-12
NOTHING = 1e-30  # of a fourth power: rounding


class Interval(Protocol):
    """What is known of the mean of differences that lie in -1..1."""

    @property
    def name(self) -> str: ...

    def lower(self, confidence: float) -> float:
        """One-sided bound from below, at least -1."""

    def upper(self, confidence: float) -> float:
        """One-sided bound from above, at most 1."""

    def p_below(self, value: float) -> float:
        """p of the test of "the mean is `value` or more" against "it is less"; agrees with `upper`."""


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Exact limits from counts: for few flips, where a standard error knows too little.

    A sample that fell by 0.3 is 0.3 of a flip down. The Clopper-Pearson limits of both rates are joined by their
    squared distances (MOVER: Newcombe 1998; Zou and Donner 2008), and a bound passes zero only where the exact McNemar
    test does. No flips at all in 10 samples leave a fall of 25.9 points possible.
    """

    down: float
    up: float
    n: float  # independent samples; fewer than the samples when they come in clusters
    name: str = "mcnemar"

    def lower(self, confidence: float) -> float:
        bound = (self.up - self.down) / self.n - self._reach(1 - confidence)
        certain = mcnemar(self.up, self.down) <= 1 - confidence
        return max(-1.0, bound if certain else min(bound, 0.0))

    def upper(self, confidence: float) -> float:
        return -Flips(down=self.up, up=self.down, n=self.n).lower(confidence)

    def p_below(self, value: float) -> float:
        """Found by trying levels; where even one half doesn't suffice, 1."""
        if self.upper(0.5) >= value:
            return 1.0
        return 10 ** root(lambda p: value - self.upper(1 - 10**p), math.log10(LEAST_P), math.log10(0.5), within=1e-5)

    def _reach(self, alpha: float) -> float:
        """From the estimate down to its lower limit."""
        down, up = self.down / self.n, self.up / self.n
        fewer_up = up - rate_at_least(self.up, self.n, alpha)
        more_down = rate_at_most(self.down, self.n, alpha) - down
        return math.sqrt(fewer_up**2 + more_down**2 + 2 * self._dependence * fewer_up * more_down)

    @cached_property
    def _dependence(self) -> float:
        """Of the two rates: of flips down and up each sample has one at most. 0..1."""
        down, up = self.down / self.n, self.up / self.n
        others = (1 - down) * (1 - up)
        return min(1.0, math.sqrt(down * up / others)) if others > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Student:
    """The mean by its standard error and Student's t."""

    mean: float
    error: float
    df: int  # samples or clusters, less one
    name: str

    def lower(self, confidence: float) -> float:
        return max(-1.0, self.mean - student_quantile(confidence, self.df) * self.error)

    def upper(self, confidence: float) -> float:
        return min(1.0, self.mean + student_quantile(confidence, self.df) * self.error)

    def p_below(self, value: float) -> float:
        return max(LEAST_P, student_cdf((self.mean - value) / self.error, self.df))


def interval(differences: Sequence[float], clusters: Sequence[str] | None = None) -> Interval:
    """The fitting interval for at least one difference, each -1..1; `clusters` names the cluster of each."""
    if telling(differences) < FEW:
        return _flips(differences, independent(differences, clusters))
    groups = _groups(clusters)
    return Student(
        mean=mean(differences),
        error=error_of(differences, clusters),
        df=(groups or len(differences)) - 1,
        name="clustered" if groups else "normal",
    )


def telling(differences: Sequence[float]) -> float:
    """How many samples the variance rests on: (sum e^2)^2 / sum e^4 of the deviations e.

    Of rare flips their number, of evenly scattered differences about a third of the samples. A few deep falls among
    many small changes are as few as they would be alone.
    """
    centre = mean(differences)
    squares = [(difference - centre) ** 2 for difference in differences]
    fourth = math.fsum(square * square for square in squares)
    return math.fsum(squares) ** 2 / fourth if fourth > NOTHING else 0.0


def error_of(differences: Sequence[float], clusters: Sequence[str] | None) -> float:
    """Standard error of the mean, 0 for a single sample.

    With G clusters the clustered one, times sqrt(G / (G - 1)) so that clusters of one sample give the plain error, and
    never below the plain one: flips that happen to cancel within clusters prove nothing.
    """
    plain, groups = standard_error(differences) or 0.0, _groups(clusters)
    if clusters is None or not groups:
        return plain
    clustered = clustered_error(differences, clusters) or 0.0
    return max(plain, clustered * math.sqrt(groups / (groups - 1)))


def independent(differences: Sequence[float], clusters: Sequence[str] | None) -> float:
    """Independent samples that would tell as much: n over the design effect (plain variance over clustered).

    Never fewer than if all samples of a cluster were alike: n^2 / sum of squared sizes (Kish 1965).
    """
    n, error = len(differences), error_of(differences, clusters)
    if clusters is None or not _groups(clusters) or error == 0:
        return float(n)
    alike = n**2 / sum(size**2 for size in Counter(clusters).values())
    return max(alike, n * (error_of(differences, None) / error) ** 2)


def _groups(clusters: Sequence[str] | None) -> int:
    """How many clusters; 0 if there is nothing between clusters to see, because there is one at most."""
    count = len(set(clusters or ()))
    return count if count > 1 else 0


def _flips(differences: Sequence[float], n: float) -> Flips:
    share = n / len(differences)
    down = math.fsum(-difference for difference in differences if difference < 0)
    up = math.fsum(difference for difference in differences if difference > 0)
    return Flips(down=share * down, up=share * up, n=n)
