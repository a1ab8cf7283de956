"""Promotion: a run becomes the baseline of its suite and branch, in SQL, and its model's alias follows in the registry.

SQL is the truth. The alias is set after it, under a lock, to what the newest active baseline says at that moment: so
whoever comes last agrees with SQL. What fails in between is repaired by promoting the same run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from evalwindow import policy, registry
from evalwindow.config import ApiModel, Registered, WarmModel
from evalwindow.engines.adapters import digest_of_folder
from evalwindow.errors import BadInput, Conflict, EvalwindowError, ServiceDown
from evalwindow.flow import DEFAULT_BRANCH
from evalwindow.model import Answer, Purpose, RunState
from evalwindow.report.words import without_answer
from evalwindow.services import Services
from evalwindow.store.baselines import ANY
from evalwindow.store.pools import ENGINE_SEEN_S
from evalwindow.store.rows import BaselineRow, RunRow


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A run that may become the baseline."""

    run_id: str
    suite: str
    branch: str
    mode: policy.Promotion  # approval or automatic
    expected: str | None  # the run that it was judged against, and would replace
    text: str  # a sentence for whoever approves it


@dataclass(frozen=True, kw_only=True)
class Behind:
    """An alias that does not follow its baseline."""

    baseline: BaselineRow
    text: str


def promotions(services: Services, run_ids: Iterable[str]) -> tuple[Promotion, ...]:
    """Those of the runs that passed and whose suite wants them promoted, in the same order; raises NotFound.

    A run that was judged against something else than today's baseline is left out. Where several runs would replace
    the same baseline, a person chooses: they all ask for approval.
    """
    found = [promotion for run_id in dict.fromkeys(run_ids) for promotion in _promotion(services, run_id)]
    rivals = Counter((each.suite, each.branch) for each in found)
    return tuple(
        replace(each, mode=policy.Promotion.APPROVAL) if rivals[each.suite, each.branch] > 1 else each for each in found
    )


def promote(
    services: Services,
    run_id: str,
    *,
    who: str,
    why: str,
    expected: str | None = ANY,
    branch: str | None = None,
    automatic: bool = False,
) -> BaselineRow:
    """Make the run the baseline of its suite, and move the alias of its model where the config names a registry.

    The one way of the command line, the API and the DAG. `expected` is as in `Store.promote`; `branch` defaults to the
    run's own. `automatic`: no person looked, so only a run that passed may. Nothing has changed after Conflict,
    NotFound, BadInput, or a ServiceDown that says so; promoting the same run again repairs an alias that is behind.
    """
    run = services.store.run(run_id)
    if automatic and run.answer is not Answer.PASS:
        raise BadInput(f"run {run_id} {_state(run)}; only a run that passed is promoted without a person")
    registered = registered_of(services, run)
    if registered is not None:
        _check_measured(services, run)
        registry.check(registered)
    branch = branch or branch_of(run)
    row = services.store.promote(run.suite, branch, run_id, who, why, expected)
    if registered is not None:
        _follow(services, registered, row)
    return row


def behind(services: Services) -> Iterator[Behind]:
    """Aliases that are not on the version of their newest baseline, or can't be asked for it."""
    seen: set[tuple[str, str, str]] = set()
    for row, _, registered in _registered_baselines(services):
        if _alias(registered) not in seen and (text := _lag(row, registered)):
            yield Behind(baseline=row, text=text)
        seen.add(_alias(registered))


def _lag(row: BaselineRow, registered: Registered) -> str | None:
    try:
        version = registry.pointed(registered)
    except EvalwindowError as error:
        return str(error)
    if version == registered.version:
        return None
    return (
        f"alias {registered.alias!r} of {registered.name!r} is on version {version or 'none'}, but the baseline of "
        f"{row.suite} on {row.branch} is version {registered.version}"
    )


def registered_of(services: Services, run: RunRow) -> Registered | None:
    """The registry's entry for what the run evaluated; None where there is none.

    A run with an adapter of its own is of no registered version.
    """
    model = services.config.models.get(run.model)
    if not isinstance(model, WarmModel | ApiModel) or run.candidate.adapter is not None:
        return None
    return model.registry


def branch_of(run: RunRow) -> str:
    """Whose baseline the run may become."""
    return run.source.branch or DEFAULT_BRANCH


def _promotion(services: Services, run_id: str) -> Iterator[Promotion]:
    """None or one."""
    run = services.store.run(run_id)
    mode = services.store.suite(run.suite_digest).spec.policy.promotion
    if mode is policy.Promotion.NEVER or not _passed(services, run) or run.verdict is None:
        return
    active, judged = services.store.baseline(run.suite, branch_of(run)), run.verdict.baseline_run
    if (active.run_id if active else None) not in (judged, run_id):
        return
    place = f"in place of run {judged}" if judged else "as the first baseline"
    text = f"{run.suite} on {branch_of(run)}: run {run_id} of {run.model} {place}. {without_answer(run.verdict.title)}"
    yield Promotion(run_id=run_id, suite=run.suite, branch=branch_of(run), mode=mode, expected=judged, text=text)


def _passed(services: Services, run: RunRow) -> bool:
    """A baseline that passed against itself is no candidate."""
    entry = services.store.entries_of_runs([run.id]).get(run.id)
    candidate = entry is None or entry.purpose is Purpose.CANDIDATE
    return candidate and run.state is RunState.CONCLUDED and run.answer is Answer.PASS and run.void is None


def _state(run: RunRow) -> str:
    return f"is {run.answer}" if run.answer else f"is {run.state} and has no verdict"


def _check_measured(services: Services, run: RunRow) -> None:
    """Raises BadInput where the model has other weights by now: its registry entry is not what the run measured."""
    now = _weights(services, run.model)
    then = {(info.model_digest, info.details.get("adapter")) for info in run.provenance}
    if now and then and not now & then:
        raise BadInput(
            f"run {run.id} was answered by other weights than model {run.model!r} has now, so `registry` of that model "
            f"is not what was measured; run it again, or put the model in evalwindow.yaml back"
        )


def _weights(services: Services, name: str) -> set[tuple[str, str | None]]:
    """(digest of the model, digest of its adapter) of what answers now; nothing where no engine lives."""
    model = services.config.models[name]
    if isinstance(model, ApiModel):
        return {(model.model, None)}
    adapter = digest_of_folder(model.adapter) if isinstance(model, WarmModel) and model.adapter else None
    engines = services.store.engines(model.pool, seen_within_s=ENGINE_SEEN_S)
    return {(engine.info.model_digest, adapter) for engine in engines if engine.info is not None}


def _follow(services: Services, registered: Registered, row: BaselineRow) -> None:
    """Set the alias to what the newest baseline of all that share it says now: another one may have come meanwhile."""
    try:
        with services.store.alias_lock(*_alias(registered)):
            for newest, run, entry in _registered_baselines(services):
                if _alias(entry) == _alias(registered):
                    registry.point(entry, _tags(newest, run))
                    return
    except (BadInput, Conflict, ServiceDown) as error:
        raise ServiceDown(
            f"run {row.run_id} is the baseline of {row.suite} on {row.branch} now, but its alias is not set: {error}. "
            f"Promote it again: that sets the alias and changes nothing else"
        ) from error


def _registered_baselines(services: Services) -> Iterator[tuple[BaselineRow, RunRow, Registered]]:
    """Active baselines of registered models, the newest first."""
    for row in sorted(services.store.baselines(), key=lambda row: row.id, reverse=True):
        run = services.store.run(row.run_id)
        registered = registered_of(services, run)
        if registered is not None:
            yield row, run, registered


def _alias(registered: Registered) -> tuple[str, str, str]:
    return registered.tracking_uri, registered.name, registered.alias


def _tags(row: BaselineRow, run: RunRow) -> dict[str, str]:
    return {
        "evalwindow.run": run.id,
        "evalwindow.suite": run.suite,
        "evalwindow.branch": row.branch,
        "evalwindow.answer": run.answer.value if run.answer else "none",
        "evalwindow.promoted_by": row.promoted_by,
    }
