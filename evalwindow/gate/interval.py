"""One-sided bounds of a mean paired difference. docs/gates.md says when which method is used, and why."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from evalwindow.gate.distributions import (
    bisect,
    mcnemar,
    rate_at_least,
    rate_at_most,
    student_cdf,
    student_quantile,
)
from evalwindow.metrics import clustered_error, mean, standard_error

FEW_BINARY = 50  # flips; the normal bound of fewer misses its level by more than half a point
FEW_GRADED = 25  # differences that aren't the commonest one
FEW_CLUSTERS = 10  # clusters in which anything changed
SMALL = 100  # samples below which skewness is bootstrapped
RESAMPLES = 1999  # with the observed one 2000: 5 % is a whole number of them
SEED = 20_241_101
LEAST_P = 1e-12


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
        return 10 ** bisect(lambda power: self.upper(1 - 10**power) < value, math.log10(LEAST_P), math.log10(0.5), 27)

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


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """The mean by the bootstrapped distribution of its t (Efron and Tibshirani 1993, 12.5): follows skewness."""

    mean: float
    error: float
    ratios: tuple[float, ...]  # (mean* - mean) / error* of each resample, rising
    name: str = "bootstrap"

    def lower(self, confidence: float) -> float:
        rank = self._rank(confidence)
        return -1.0 if rank > len(self.ratios) else max(-1.0, self.mean - self.error * self.ratios[rank - 1])

    def upper(self, confidence: float) -> float:
        rank = len(self.ratios) + 1 - self._rank(confidence)
        return 1.0 if rank < 1 else min(1.0, self.mean - self.error * self.ratios[rank - 1])

    def p_below(self, value: float) -> float:
        observed = (self.mean - value) / self.error
        return (1 + sum(ratio <= observed for ratio in self.ratios)) / (len(self.ratios) + 1)

    def _rank(self, confidence: float) -> int:
        return math.ceil(round(confidence * (len(self.ratios) + 1), 6))


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """One cluster tells nothing of how clusters differ."""

    name: str = "clustered"

    def lower(self, confidence: float) -> float:
        return -1.0

    def upper(self, confidence: float) -> float:
        return 1.0

    def p_below(self, value: float) -> float:
        return 1.0


def interval(differences: Sequence[float], clusters: Sequence[str] | None = None) -> Interval:
    """The fitting interval for at least one difference, each -1..1; `clusters` names the cluster of each."""
    independent = len(differences) if clusters is None else independent_at_least(clusters)
    if clusters is not None and independent == 1:
        return Unknown()
    if _few(differences) or (clusters is not None and _changed_clusters(differences, clusters) < FEW_CLUSTERS):
        return _flips(differences, independent)
    if clusters is not None:
        return Student(
            mean=mean(differences), error=error_of(differences, clusters), df=len(set(clusters)) - 1, name="clustered"
        )
    if len(differences) < SMALL:
        return bootstrap(differences)
    return Student(mean=mean(differences), error=error_of(differences, None), df=len(differences) - 1, name="normal")


def error_of(differences: Sequence[float], clusters: Sequence[str] | None) -> float:
    """Standard error of the mean, 0 for a single sample.

    With G clusters the clustered one, times sqrt(G / (G - 1)) so that clusters of one sample give the plain error, and
    never below the plain one: flips that happen to cancel within clusters prove nothing.
    """
    plain = standard_error(differences) or 0.0
    if clusters is None:
        return plain
    groups = len(set(clusters))
    clustered = clustered_error(differences, clusters)
    return plain if clustered is None else max(plain, clustered * math.sqrt(groups / (groups - 1)))


def independent_at_least(clusters: Sequence[str]) -> float:
    """Independent samples if those of one cluster were all alike: n^2 / sum of squared sizes (Kish 1965)."""
    return len(clusters) ** 2 / sum(size**2 for size in Counter(clusters).values())


def bootstrap(differences: Sequence[float]) -> Bootstrap:
    """Seeded, the same for every order of the differences, and mirrored when all of them change their sign."""
    rising, mirrored = sorted(differences), sorted(-difference for difference in differences)
    sign = 1.0 if rising >= mirrored else -1.0
    ratios = _ratios(max(rising, mirrored))
    return Bootstrap(
        mean=mean(differences),
        error=error_of(differences, None),
        ratios=tuple(sorted(sign * ratio for ratio in ratios)),
    )


def _ratios(differences: Sequence[float]) -> list[float]:
    draw = random.Random(SEED)  # noqa: S311 - resampling, no secret
    centre, n = mean(differences), len(differences)
    ratios = []
    for _ in range(RESAMPLES):
        resample = draw.choices(differences, k=n)
        ratios.append((mean(resample) - centre) / max(error_of(resample, None), LEAST_P))
    return ratios


def _flips(differences: Sequence[float], independent: float) -> Flips:
    share = independent / len(differences)
    down = math.fsum(-difference for difference in differences if difference < 0)
    up = math.fsum(difference for difference in differences if difference > 0)
    return Flips(down=share * down, up=share * up, n=independent)


def _few(differences: Sequence[float]) -> bool:
    """Too few differences that aren't the commonest one: mostly unchanged, or mostly flipped the same way."""
    counts = Counter(round(difference, 9) for difference in differences)
    varied = len(differences) - max(counts.values())
    return varied < (FEW_BINARY if set(counts) <= {-1, 0, 1} else FEW_GRADED)


def _changed_clusters(differences: Sequence[float], clusters: Sequence[str]) -> int:
    return len({cluster for difference, cluster in zip(differences, clusters, strict=True) if difference})
