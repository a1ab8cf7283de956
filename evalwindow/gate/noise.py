"""What a baseline does by itself: how far a comparison falls though nothing changed. docs/gates.md, "Noise floor"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from statistics import NormalDist
from typing import Protocol

from evalwindow.gate.words import points
from evalwindow.model import NoiseFloor, NoiseRates

ENOUGH = 100  # samples of a slice; with fewer the rates of all samples stand for it
FEW = 50  # expected flips; from there on a normal bound is as good
PRIOR = 0.5  # of a flip each way, unseen: Jeffreys
NEGLIGIBLE = 1e-10


class Net(Protocol):
    """Flips down less flips up, of a comparison in which only noise acts."""

    def at_least(self, net: float) -> float:
        """Chance of so many or more."""

    def bound(self, confidence: float) -> float:
        """What is exceeded with a chance of 1 - confidence at most."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """By the exact distribution."""

    least: int
    above: tuple[float, ...]  # chance of `least` or more, `least` + 1 or more ...

    def at_least(self, net: float) -> float:
        index = math.ceil(net - 1e-9) - self.least
        return 1.0 if index < 0 else self.above[index] if index < len(self.above) else 0.0

    def bound(self, confidence: float) -> float:
        rare = (index for index, chance in enumerate(self.above) if chance <= 1 - confidence)
        return float(self.least + next(rare, len(self.above)) - 1)


@dataclass(frozen=True, kw_only=True)
class Normal:
    """By mean and deviation, with half a flip for continuity."""

    mean: float
    deviation: float

    def at_least(self, net: float) -> float:
        return 1 - NormalDist(self.mean, self.deviation).cdf(net - 0.5)

    def bound(self, confidence: float) -> float:
        return NormalDist(self.mean, self.deviation).inv_cdf(confidence) + 0.5


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What noise does to the mean difference of one comparison. Immutable; see `noise_of`."""

    rates: NoiseRates
    floor: NoiseFloor
    net: Net
    n: int  # independent samples of the comparison
    size: float  # of a flip, 0..1: mean squared change over mean change, 1 for binary scores

    def p_fall(self, fall: float) -> float:
        """Chance that the mean falls by `fall` (0..1) or more."""
        return self.net.at_least(fall * self.n / self.size)

    def reach(self, confidence: float) -> float:
        """How far the mean falls at most, 0..1, at one-sided confidence."""
        return max(0.0, self.net.bound(confidence) * self.size / self.n)

    def samples_within(self, margin: float, confidence: float) -> int | None:
        """Independent samples from which on noise stays within the margin; None: it falls by that in the mean."""
        rates = self.rates
        drift = (rates.lost - rates.gained) / rates.samples
        if drift >= margin:
            return None
        variance = rates.squares / rates.samples - drift * drift
        return math.ceil(variance * (NormalDist().inv_cdf(confidence) / (margin - drift)) ** 2)


def noise_of(floor: NoiseFloor | None, name: str, *, samples: int, independent: float) -> Noise | None:
    """The noise in a comparison of `samples` of the slice `name`, worth `independent` ones; None if not known.

    The rates are the slice's own if it was seen often enough, else those of all samples. What comes in clusters counts
    as less on both sides.
    """
    if floor is None:
        return None
    own = floor.slices.get(name)
    rates = own if own is not None and own.samples >= ENOUGH else floor.rates
    if not rates.samples:
        return None
    n, share, size = max(1, round(independent)), independent / samples, size_of(rates)
    net = net_flips(
        n=n,
        seen=share * rates.samples,
        down=share * rates.lost / size,
        up=share * rates.gained / size,
    )
    return Noise(rates=rates, floor=floor, net=net, n=n, size=size)


def reach(floor: NoiseFloor, name: str, *, samples: int, confidence: float) -> float | None:
    """How far noise alone lets the mean of a slice fall, 0..1, were its samples independent; None without samples."""
    noise = noise_of(floor, name, samples=samples, independent=float(samples)) if samples else None
    return noise.reach(confidence) if noise else None


def size_of(rates: NoiseRates) -> float:
    """So many points is one flip, that their number and size give both the mean and the variance that were seen."""
    changed = rates.lost + rates.gained
    return rates.squares / changed if changed else 1.0


@lru_cache(maxsize=1024)
def net_flips(*, n: int, seen: float, down: float, up: float) -> Net:
    """Of n new samples, when of `seen` samples so many flipped: both rates are only estimates (Dirichlet-multinomial).

    Counts that were seen may be fractions. With few seen the noise may be larger than it looked, so the tails are long.
    """
    falls, rises = down + PRIOR, up + PRIOR
    stays = max(seen - down - up, 0.0) + PRIOR
    total = falls + rises + stays
    if n * (falls + rises) / total > FEW:
        drift = (falls - rises) / total
        spread = (falls + rises) / total - drift * drift
        return Normal(mean=n * drift, deviation=math.sqrt(n * spread * (n + total) / (1 + total)))
    return _counted(n, falls, rises, stays)


def _counted(n: int, falls: float, rises: float, stays: float) -> Counted:
    """Every split of every number of flips, until what is left is negligible."""
    chances: dict[int, float] = {}
    left = 1.0
    for flips in range(n + 1):
        here = math.exp(_log_split(n, flips, falls + rises, stays))
        for fallen in range(flips + 1):
            share = here * math.exp(_log_split(flips, fallen, falls, rises))
            chances[2 * fallen - flips] = chances.get(2 * fallen - flips, 0.0) + share
        left -= here
        if left < NEGLIGIBLE:
            break
    least, most = min(chances), max(chances)
    each = [chances.get(net, 0.0) for net in range(least, most + 1)]
    above = tuple(accumulate(reversed(each)))[::-1]
    return Counted(least=least, above=above)


def _log_split(n: int, k: int, a: float, b: float) -> float:
    """Log of the beta-binomial chance of k of n."""
    return (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + _log_beta(k + a, n - k + b) - _log_beta(a, b)
    )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def seen_by(noise: Noise) -> str:
    """Where it is known from: "12 of 1500 samples fell and 9 rose in 3 A/A runs since 2026-11-18"."""
    rates, count = noise.rates, len(noise.floor.runs)
    runs = f"{count} A/A run{'' if count == 1 else 's'} since {noise.floor.since}"
    return f"{rates.down} of {rates.samples} samples fell and {rates.up} rose in {runs}"


def noise_line(noise: Noise, *, samples: int, confidence: float) -> str:
    """The line of a report, after the power line."""
    reach = points(noise.reach(confidence))
    return (
        f"Noise floor: {seen_by(noise)}, so by itself the mean of {samples} falls by up to {reach} points "
        f"({100 * confidence:g} %)."
    )
