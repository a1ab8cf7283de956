"""What a gate says of a run, with all that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalwindow.model.states import Answer


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question that the gate asked, with its answer and its numbers."""

    kind: str  # paired, floor, unscored, must-pass, assertion, baseline, quarantine
    slice: str
    answer: Answer
    blocking: bool
    text: str  # one sentence for a person
    n: int = 0
    candidate: float | None = None
    baseline: float | None = None
    delta: float | None = None  # mean of candidate - baseline, paired
    low: float | None = None  # one-sided 95 % bounds of delta
    high: float | None = None
    margin: float | None = None
    p_value: float | None = None  # of the test against "no drop beyond the margin"
    p_worse: float | None = None  # of the test against "no drop at all": exact McNemar for binary scores
    p_noise: float | None = None  # chance that the baseline, run again, falls as far; None: nobody tried
    p_adjusted: float | None = None  # the larger of p_value and p_noise after Holm or Benjamini-Hochberg
    test: str = ""  # normal, clustered, mcnemar (exact), sprt, count
    flips_down: int = 0  # right in the baseline, wrong here
    flips_up: int = 0
    needed: int | None = None  # samples that would decide an inconclusive check


@dataclass(frozen=True, kw_only=True)
class NoiseRates:
    """How many samples of one slice changed their score when the same thing ran again. All counts over all runs."""

    samples: int  # pairs that were scored in both runs
    down: int  # scored less the second time
    up: int
    lost: float  # sum of what the falling ones lost, each 0..1; of binary scores the same as down
    gained: float
    squares: float  # sum of the squared differences; of binary scores down + up


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """What a baseline scores when it is run again: A/A runs, pooled."""

    rates: NoiseRates  # of all samples
    slices: Mapping[str, NoiseRates] = field(default_factory=dict)
    runs: tuple[str, ...]  # ids of the A/A runs, the newest first
    since: str  # day on which the oldest of them was concluded, ISO
    left_out: int = 0  # A/A runs that lost against their baseline while most did not


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A gate's answer with everything that it rests on."""

    answer: Answer
    title: str  # a line
    checks: tuple[Check, ...]
    power: str = ""  # the smallest drop that this comparison can see
    baseline_run: str | None = None
    noise: NoiseFloor | None = None  # what the baseline does by itself; None: not known
