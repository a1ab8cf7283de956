"""What is expected of one dataset: its lines, its slices, and its length beside the version before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalwindow.config import Limits
from evalwindow.datasets.asked import Asked
from evalwindow.datasets.checks import CATALOGUE
from evalwindow.datasets.drift import ALARM_P, ALARM_STATISTIC, has_drifted
from evalwindow.datasets.expectations import Expected, Table
from evalwindow.datasets.flags import Flags
from evalwindow.datasets.report import Drift
from evalwindow.datasets.slices import SliceCount
from evalwindow.model import Tier
from evalwindow.scorers.json_schema import JsonSchema
from evalwindow.suites import SuiteSpec
from evalwindow.templates import MAX_OUTPUT


def tables(
    spec: SuiteSpec,
    flags: Flags,
    slices: Sequence[SliceCount],
    drift: Drift | None,
    *,
    limits: Limits,
    models: Sequence[Asked],
) -> list[Table]:
    """Checks that can't apply to this suite are left out."""
    lines = Table(
        name="lines",
        columns=flags.columns,
        index=("line", "id"),
        expected=(*_of_lines(spec, limits), *_of_tokens(spec, models)),
    )
    rest = [_slice_table(slices)] if slices else []
    return [lines, *rest, *([_version_table(drift)] if drift else [])]


def limit_of(spec: SuiteSpec, limits: Limits) -> int:
    """Samples that a suite of its tier may have."""
    return limits.smoke_prompts if spec.tier is Tier.SMOKE else limits.regression_prompts


def room_of(spec: SuiteSpec, model: Asked) -> int | None:
    """Tokens that a prompt may have; None: the context or the tokenizer isn't known."""
    return None if model.context is None or model.counter is None else model.context - spec.sampling.max_tokens


def tokens_name(index: int) -> str:
    """Of the expectation that prompts fit the model of this index."""
    return f"tokens_{index}"


def _of_lines(spec: SuiteSpec, limits: Limits) -> Iterator[Expected]:
    yield _expected("samples", column=None, least=1, most=limit_of(spec, limits))
    for name in ("readable", "undamaged", "id", "prompt", "target"):
        yield _expected(name, column=f"{name}_ok")
    if any(scorer.needs_choices for scorer in spec.scorers):
        yield _expected("choices", column="choices_ok")
    if spec.prompt.output_schema is not None or any(isinstance(each, JsonSchema) for each in spec.scorers):
        yield _expected("schema", column="schema_ok")
    yield _expected("columns", column="columns_ok")
    yield _expected("length", column="characters", least=1, most=MAX_OUTPUT)
    yield _expected("template", column="template_ok")
    yield _expected("duplicates", column="duplicates_ok")
    if spec.prompt.few_shots:
        yield _expected("few_shots", column="few_shots_ok")


def _of_tokens(spec: SuiteSpec, models: Sequence[Asked]) -> Iterator[Expected]:
    check = CATALOGUE["tokens"]
    for index, model in enumerate(models):
        room = room_of(spec, model)
        if room is not None:
            yield Expected(
                name=tokens_name(index),
                severity=check.severity,
                title=f"{check.title} of {', '.join(model.models)}: {model.context:,} tokens less "
                f"{spec.sampling.max_tokens:,} for the answer leave {room:,}",
                why=check.why,
                column=tokens_name(index),
                most=room,
            )


def _slice_table(slices: Sequence[SliceCount]) -> Table:
    return Table(
        name="slices",
        columns={
            "slice": [each.name for each in slices],
            "samples": [each.samples for each in slices],
            "needed": [each.needed for each in slices],
            "slice_size_ok": [each.samples == 0 or each.samples >= each.needed for each in slices],
        },
        index=("slice", "samples", "needed"),
        expected=(_expected("slices", column="samples", least=1), _expected("slice_size", column="slice_size_ok")),
    )


def _version_table(drift: Drift) -> Table:
    check = CATALOGUE["drift"]
    return Table(
        name="versions",
        columns={
            "version_before": [drift.against],
            "statistic": [round(drift.statistic, 3)],
            "p_value": [drift.p_value],
            "drift_ok": [not has_drifted(drift)],
        },
        index=("version_before", "statistic", "p_value"),
        expected=(
            Expected(
                name="drift",
                severity=check.severity,
                title=f"{check.title} (not both p < {ALARM_P:g} and a distance of {ALARM_STATISTIC:g} or more)",
                why=check.why,
                column="drift_ok",
            ),
        ),
    )


def _expected(name: str, *, column: str | None, least: int | None = None, most: int | None = None) -> Expected:
    check = CATALOGUE[name]
    return Expected(
        name=name, severity=check.severity, title=check.title, why=check.why, column=column, least=least, most=most
    )
