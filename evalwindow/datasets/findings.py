"""Outcomes of expectations -> sentences for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalwindow.config import Limits
from evalwindow.datasets.asked import Asked
from evalwindow.datasets.checks import CATALOGUE
from evalwindow.datasets.expectations import Outcome
from evalwindow.datasets.flags import Flags
from evalwindow.datasets.report import ROWS_SHOWN, BadRow, Drift, Finding, Lengths
from evalwindow.datasets.slices import SliceCount
from evalwindow.datasets.tables import limit_of, room_of, tokens_name
from evalwindow.errors import UnknownName
from evalwindow.suites import SuiteSpec


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of one dataset beside the outcomes."""

    spec: SuiteSpec
    limits: Limits
    models: Sequence[Asked]
    flags: Flags
    slices: Sequence[SliceCount]
    known_slices: frozenset[str]
    drift: Drift | None
    samples: int


def findings(outcomes: Mapping[str, Outcome], seen: Seen) -> Iterator[Finding]:
    """A finding for each expectation that was not met; of slices one for each slice."""
    for name, outcome in outcomes.items():
        if outcome.met:
            continue
        if name == "samples":
            yield _finding("samples", _samples(seen))
        elif name == "slices":
            yield from (_absent(str(row["slice"]), seen) for row in outcome.rows)
        elif name == "slice_size":
            yield from (_small(str(row["slice"]), seen) for row in outcome.rows)
        elif name == "drift":
            yield _drifted(seen)
        elif name.startswith("tokens_"):
            yield _too_long(name, outcome, seen)
        else:
            yield _of_rows(name, CATALOGUE[name].complaint.format(rows=_lines(outcome.count)), outcome, seen.flags)


def _finding(check: str, text: str, *, slice_: str | None = None) -> Finding:
    return Finding(check=check, severity=CATALOGUE[check].severity, text=text, slice=slice_)


def _of_rows(check: str, text: str, outcome: Outcome, flags: Flags, what: str = "") -> Finding:
    ids = dict(zip(flags.columns["line"], flags.columns["id"], strict=True))
    lines = [int(row["line"]) for row in outcome.rows[:ROWS_SHOWN]]
    rows = [BadRow(line=line, id=ids[line], what=flags.reasons.get((check, line), what)) for line in lines]
    return Finding(check=check, severity=CATALOGUE[check].severity, text=text, count=outcome.count, rows=tuple(rows))


def _samples(seen: Seen) -> str:
    if seen.samples == 0:
        return "The dataset is empty; it needs a line for each sample"
    limit = limit_of(seen.spec, seen.limits)
    return f"{seen.samples:,} samples; a {seen.spec.tier} suite may have {limit:,}: set dataset.limit or leave some out"


def _too_long(name: str, outcome: Outcome, seen: Seen) -> Finding:
    index = next(index for index in range(len(seen.models)) if tokens_name(index) == name)
    model = seen.models[index]
    text = CATALOGUE["tokens"].complaint.format(
        rows=_lines(outcome.count),
        model=_listed(model.models),
        context=model.context,
        max_tokens=seen.spec.sampling.max_tokens,
        room=room_of(seen.spec, model),
    )
    tokens = dict(zip(seen.flags.columns["line"], seen.flags.columns[name], strict=True))
    found = _of_rows("tokens", text, outcome, seen.flags)
    rows = tuple(BadRow(line=row.line, id=row.id, what=f"{tokens[row.line]:,} tokens") for row in found.rows)
    return Finding(check=found.check, severity=found.severity, text=text, count=found.count, rows=rows)


def _absent(name: str, seen: Seen) -> Finding:
    keys = [key for key in ("blocking", "advisory", "floors") if name in getattr(seen.spec.policy, key)]
    why = f"policy.{' and policy.'.join(keys)} names it" if keys else "the gate asks for it"
    hint = str(UnknownName("slice", name, seen.known_slices)).rpartition("; ")[2]
    return _finding("slices", f"No sample has the slice {name!r}, but {why}; {hint}", slice_=name)


def _small(name: str, seen: Seen) -> Finding:
    found = next(each for each in seen.slices if each.name == name)
    has, drop = _counted(found.samples, "sample"), f"{100 * (found.margin or 0):g} points"
    text = (
        f"Slice {name!r} has {has}; to rule out a drop of {drop} takes {found.needed}, so it can only be inconclusive"
    )
    return _finding("slice_size", text, slice_=name)


def _drifted(seen: Seen) -> Finding:
    drift, now = seen.drift, seen.flags.characters
    assert drift is not None
    text = (
        f"Prompts are {_direction(drift, now)} than in the version before ({drift.against[:12]}): the median went from "
        f"{drift.median_before:,} to {now.median:,} characters (distance {drift.statistic:.2f}, p {drift.p_value:.1g})"
    )
    return _finding("drift", text)


def _direction(drift: Drift, now: Lengths) -> str:
    if now.median == drift.median_before:
        return "otherwise spread in length"
    return "longer" if now.median > drift.median_before else "shorter"


def _lines(count: int) -> str:
    return _counted(count, "line")


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
