"""The few distribution functions that the gate needs, in plain Python: scipy would cost every process its import."""

from __future__ import annotations

import math
from collections.abc import Callable

TINY = 1e-300  # keeps Lentz' method away from a division by zero
PRECISION = 1e-15
MOST_STEPS = 100_000
FARTHEST = 1e6  # of a t: with one degree of freedom at 1 - 3e-7


def root(rising: Callable[[float], float], low: float, high: float, *, within: float) -> float:
    """Where a rising function crosses zero between two points, found by Ridders' method (1979); it may jump there.

    Where it is positive or negative throughout, the end at which it comes nearest to zero.
    """
    at_low, at_high = rising(low), rising(high)
    if at_low >= 0 or at_high <= 0:
        return low if at_low >= 0 else high
    while high - low > within:
        middle = (low + high) / 2
        at_middle = rising(middle)
        bent = middle - (middle - low) * at_middle / math.sqrt(at_middle**2 - at_low * at_high)
        for point, value in ((middle, at_middle), (bent, rising(bent))):
            if low < point < high:
                if value >= 0:
                    high, at_high = point, value
                else:
                    low, at_low = point, value
        if at_high == 0:
            break
    return high


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b); a, b > 0 (DLMF 8.17.22, evaluated by Lentz' method)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # where the other side's fraction converges faster
        return 1.0 - beta_cdf(1 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return min(1.0, math.exp(log_front) / a * _beta_fraction(x, a, b))


def _beta_fraction(x: float, a: float, b: float) -> float:
    fraction, c, d = 1.0, 1.0, 0.0
    for step in range(1, MOST_STEPS):
        term = _beta_term(step, x, a, b)
        d = 1 / _not_zero(1 + term * d)
        c = _not_zero(1 + term / c)
        fraction *= c * d
        if abs(c * d - 1) < PRECISION:
            return 1 / fraction
    raise ArithmeticError(f"I_x(a, b) did not converge at x={x}, a={a}, b={b}")


def _beta_term(step: int, x: float, a: float, b: float) -> float:
    half, odd = divmod(step, 2)
    if odd:
        return -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
    return half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY


def binomial_at_least(count: float, n: float, p: float) -> float:
    """P(X >= count) for X ~ Binomial(n, p); counts between whole numbers interpolate by the beta function."""
    if count <= 0:
        return 1.0
    return 0.0 if count > n else beta_cdf(p, count, n - count + 1)


def rate_at_least(count: float, n: float, alpha: float) -> float:
    """One-sided lower Clopper-Pearson limit of a rate at confidence 1 - alpha."""
    if count <= 0:
        return 0.0
    return root(lambda p: binomial_at_least(count, n, p) - alpha, 0.0, 1.0, within=1e-12)


def rate_at_most(count: float, n: float, alpha: float) -> float:
    """One-sided upper Clopper-Pearson limit; 0 failures of 10 at 95 % give 25.9 %."""
    return 1.0 - rate_at_least(n - count, n, alpha)


def mcnemar(down: float, up: float) -> float:
    """Exact one-sided McNemar p: as many flips down, were up and down equally likely (arXiv 2602.10144)."""
    return binomial_at_least(down, down + up, 0.5)


def student_cdf(t: float, df: float) -> float:
    """P(T <= t) for Student's t with `df` degrees of freedom."""
    square = t * t
    if square < 1:  # in the middle from the centre outwards, where the tail would lose its last digits
        return 0.5 + math.copysign(beta_cdf(square / (df + square), 0.5, df / 2) / 2, t)
    tail = beta_cdf(df / (df + square), df / 2, 0.5) / 2
    return tail if t < 0 else 1 - tail


def student_quantile(p: float, df: float) -> float:
    """The t below which a share `p` in [0.5, 1) lies."""
    return root(lambda t: student_cdf(t, df) - p, 0.0, FARTHEST, within=1e-9)
