"""Open a night and write down what it is to run."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, replace

from evalwindow.config import Config, WarmModel, Window
from evalwindow.engines.adapters import digest_of_folder
from evalwindow.errors import BadInput, UnknownName
from evalwindow.flow import promoted
from evalwindow.model import Candidate, EngineInfo, EntryState, Purpose, RunState, Tier
from evalwindow.services import Services
from evalwindow.store.engine_rows import EngineRow
from evalwindow.store.night_rows import NewEntry, NewNight, NightRow
from evalwindow.store.pools import ENGINE_SEEN_S
from evalwindow.store.rows import RunRow
from evalwindow.suites import Suite


def open_night(
    services: Services,
    window: str,
    *,
    key: str,
    starts_at: dt.datetime,
    ends_at: dt.datetime,
    suites: Collection[str] = (),
    models: Collection[str] = (),
    baseline: str | None = None,
    dry_run: bool = False,
    url: str | None = None,
) -> NightRow:
    """The night of this key, with its entries; calling it again changes nothing.

    `suites` and `models` default to the window's. `baseline` is a run to be judged against instead of the promoted
    ones. Raises UnknownName or BadInput that names what is wrong.
    """
    configured = _window(services.config, window)
    if ends_at <= starts_at:
        raise BadInput(
            f"a night can't start at {starts_at:%F %T} and end at {ends_at:%F %T}; check the window's length"
        )
    chosen = _chosen(services.config, suites or configured.suites, models or configured.models)
    _check_baseline(services, baseline, chosen)
    night = services.store.open_night(
        NewNight(
            key=key,
            window=window,
            team=configured.team,
            branch=configured.branch,
            starts_at=starts_at,
            ends_at=ends_at,
            budget_gpu_s=configured.budget_gpu_minutes and configured.budget_gpu_minutes * 60,
            dry_run=dry_run,
            url=url,
        )
    )
    if not services.store.entries(night.id):
        services.store.plan(night.id, _entries(services, configured, chosen, baseline=baseline))
        _stand_by_earlier_answers(services, night)
    return night


def _window(config: Config, name: str) -> Window:
    if name not in config.windows:
        raise UnknownName("window", name, config.windows)
    return config.windows[name]


def _chosen(config: Config, suites: Collection[str], models: Collection[str]) -> list[tuple[str, str]]:
    """Every suite with every model. A suite's name is checked when it is validated: its file may be broken now."""
    for name in models:
        if name not in config.models:
            raise UnknownName("model", name, config.models)
    return [(suite, model) for suite in dict.fromkeys(suites) for model in dict.fromkeys(models)]


def _check_baseline(services: Services, run_id: str | None, chosen: Iterable[tuple[str, str]]) -> None:
    """Raises BadInput or NotFound for a run that nothing here can be judged against."""
    if run_id is None:
        return
    run = services.store.run(run_id)
    wanted = {suite for suite, _ in chosen}
    if run.state is not RunState.CONCLUDED or run.suite not in wanted or len(wanted) > 1:
        raise BadInput(
            f"baseline: run {run_id} is of suite {run.suite!r} and {run.state}; name a concluded run of the one suite "
            f"that is to be evaluated, not of {', '.join(sorted(wanted))}"
        )


def _entries(
    services: Services, window: Window, chosen: list[tuple[str, str]], *, baseline: str | None
) -> list[NewEntry]:
    """A/A entries come first: what they say decides whether the others count."""
    suites, _ = services.library.sound()
    against = {suite: baseline or promoted(services, suite, window.branch) for suite, _ in chosen}
    aa = [_aa_entry(services, suite, run_id) for suite, run_id in against.items() if run_id and window.aa]
    candidates = [
        NewEntry(
            suite=suite,
            model=model,
            baseline_run=baseline,
            provenance_key=provenance_key(services, suites.get(suite), model, baseline_run=against[suite]),
        )
        for suite, model in chosen
    ]
    return [*aa, *candidates]


def _aa_entry(services: Services, suite: str, run_id: str) -> NewEntry:
    return NewEntry(suite=suite, model=services.store.run(run_id).model, purpose=Purpose.AA, baseline_run=run_id)


def _stand_by_earlier_answers(services: Services, night: NightRow) -> None:
    """An entry of which nothing has changed since a run got its verdict needs no run of its own."""
    for entry in services.store.entries(night.id):
        run_id = services.store.answered(entry.provenance_key) if entry.provenance_key else None
        if run_id is not None:
            note = f"unchanged since run {run_id}: suite, data, model, engine and baseline are the same"
            services.store.set_entry(entry.id, EntryState.UNCHANGED, run_id=run_id, note=note)


def provenance_key(services: Services, suite: Suite | None, model: str, *, baseline_run: str | None) -> str | None:
    """Digest of all that a verdict depends on; None where that can't be told: an API, or no engine that lives.

    A suite with a judge depends on the judge's model too, so it is never unchanged.
    """
    chosen = services.config.models[model]
    if suite is None or suite.tier is not Tier.REGRESSION or suite.judges or not isinstance(chosen, WarmModel):
        return None
    engines = services.store.engines(chosen.pool, seen_within_s=ENGINE_SEEN_S)
    if not engines or any(engine.info is None for engine in engines):
        return None
    content = {
        "suite": suite.digest,
        "candidate": asdict(Candidate(model=model)),
        "adapter": digest_of_folder(chosen.adapter) if chosen.adapter else None,
        "engines": sorted({_identity(engine) for engine in engines}),
        "baseline": baseline_run,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=dict).encode()).hexdigest()


def _identity(engine: EngineRow) -> str:
    """What of an engine can change an answer, as in the result cache's key."""
    assert engine.info is not None
    same: EngineInfo = replace(engine.info, max_model_len=None, max_num_seqs=None)
    return json.dumps(asdict(same), sort_keys=True, default=_plain)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def candidate_of(services: Services, model: str, *, purpose: Purpose, baseline_run: str | None) -> Candidate:
    """What an entry evaluates: a configured model, or for an A/A the very candidate of the baseline."""
    if purpose is Purpose.AA and baseline_run is not None:
        run: RunRow = services.store.run(baseline_run)
        return run.candidate
    return Candidate(model=model)
