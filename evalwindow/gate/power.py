"""How many samples a comparison needs, and how small a drop it can see."""

from __future__ import annotations

import math
from statistics import NormalDist

POWER = 0.8
MOST_SAMPLES = 1_000_000  # beyond it "more samples" is no advice
HARDEST_VARIANCE = 0.25  # of a binary score at 50 %: what an unpaired comparison has to assume


def z_sum(confidence: float, power: float = POWER) -> float:
    normal = NormalDist()
    return normal.inv_cdf(confidence) + normal.inv_cdf(power)


def samples_needed(*, variance: float, drop: float, confidence: float, power: float = POWER) -> int:
    """Paired samples that see a true drop: (z_a + z_b)^2 * variance / drop^2 (Miller, arXiv 2411.00640).

    `variance` is that of one difference; for binary scores at most the share of discordant pairs. `confidence` is
    one-sided: 0.975 for Miller's two-sided 5 %.
    """
    return math.ceil(z_sum(confidence, power) ** 2 * variance / drop**2)


def smallest_drop(*, n: float, discordant: float, confidence: float, power: float = POWER) -> float:
    """Drop D that n pairs see, 0..1: solves n = (z_a + z_b)^2 (discordant - D^2) / D^2."""
    z = z_sum(confidence, power)
    return z * math.sqrt(discordant / (n + z * z))


def smallest_drop_unpaired(*, n: float, confidence: float, power: float = POWER) -> float:
    """The same for two independent runs of n samples at a pass rate of one half."""
    return z_sum(confidence, power) * math.sqrt(2 * HARDEST_VARIANCE / n)


def unseen_drop(*, n: float, confidence: float) -> float:
    """Share of samples that may have flipped though none of n did: 25.9 % after 10 at 95 %."""
    return -math.expm1(math.log(1 - confidence) / n)


def samples_to_see(*, share: float, confidence: float) -> int:
    """Samples of which one at least flips, where that share of all flips."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-share))


def samples_to_decide(
    *, delta: float, variance: float, margin: float, n: int, independent: float, confidence: float
) -> int | None:
    """Samples, all told, that would decide with 80 % power if the true difference were `delta`; None: too near to call.

    Never fewer than show that a flip as rare as the margin would have been seen at all.
    """
    distance, variance = abs(delta + margin), max(variance, 1 / n)
    if distance * math.sqrt(MOST_SAMPLES) < z_sum(confidence) * math.sqrt(variance):
        return None
    by_variance = samples_needed(variance=variance, drop=distance, confidence=confidence)
    seen = samples_to_see(share=margin, confidence=confidence) * n / independent
    return max(n + 1, math.ceil(seen), by_variance)


def power_line(*, n: int, independent: float, discordant: float, confidence: float, margin: float) -> str:
    """The line of a report: what this comparison could have seen."""
    worth = f", worth {independent:.0f} independent ones," if round(independent) < n else ""
    pairs = f"{n} paired samples{worth}"
    level = f"{100 * confidence:g} % confidence"
    if discordant == 0:
        drop = 100 * unseen_drop(n=independent, confidence=confidence)
        return f"{pairs} of which none changed: drops beyond {drop:.1f} points are ruled out at {level}."
    paired = smallest_drop(n=independent, discordant=discordant, confidence=confidence)
    unpaired = smallest_drop_unpaired(n=independent, confidence=confidence)
    by_variance = samples_needed(variance=discordant, drop=margin, confidence=confidence)
    needed = max(by_variance, samples_to_see(share=margin, confidence=confidence)) * n / independent
    return (
        f"{pairs} of which {100 * discordant:.1f} % changed: the smallest drop seen with 80 % power at {level} is "
        f"{100 * paired:.1f} points ({100 * unpaired:.1f} without pairing). An equal candidate passes a margin of "
        f"{100 * margin:g} with that power from about {math.ceil(needed)} samples on."
    )
