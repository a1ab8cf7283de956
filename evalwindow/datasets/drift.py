"""Has the mix of prompts changed since the version before?"""

from __future__ import annotations

import warnings

from evalwindow.datasets.report import Drift, Lengths

ALARM_P = 0.01
ALARM_STATISTIC = 0.1  # beside it, for with many samples every difference is significant


def drift(now: Lengths, before: Lengths, *, against: str) -> Drift | None:
    """Two-sample Kolmogorov-Smirnov over both histograms; None where one side has no lengths.

    Lengths are whole numbers, so there are ties, with which p is rather too large than too small.
    """
    from scipy import stats

    if not now.count or not before.count:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "switching to asymp", which is what should happen then
        result = stats.ks_2samp(_spread(now), _spread(before))
    return Drift(
        statistic=float(result.statistic), p_value=float(result.pvalue), against=against, median_before=before.median
    )


def has_drifted(seen: Drift) -> bool:
    return seen.p_value < ALARM_P and seen.statistic >= ALARM_STATISTIC


def _spread(lengths: Lengths) -> list[int]:
    return [length for length, count in lengths.histogram for _ in range(count)]
