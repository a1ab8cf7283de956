"""Outputs that somebody recorded become a run like any other: admitted, scored, gated, with a page. In this process."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import Config, ReplayModel, Team
from evalwindow.engines.replay import parse_outputs
from evalwindow.errors import BadInput, UnknownName
from evalwindow.model import Candidate, Source, Tier
from evalwindow.report.files import report_folder, write_report
from evalwindow.report.gather import gather
from evalwindow.services import Services, build
from evalwindow.settings import Settings
from evalwindow.store.rows import RunRow

MODEL = "replay"
LOCAL_TEAM = "local"  # whose runs these are, where no team is named

#: seen(samples so far, samples in all)
Seen = Callable[[int, int], None]


class Unqueued:
    """Nobody is told about the shards: this process works on them itself."""

    def send_shard(self, shard_id: str, pool: str, tier: Tier) -> bool:
        return False

    def check(self) -> None:
        """There is nothing that could be away."""


def replay_services(settings: Settings, config: Config, outputs: Path) -> Services:
    """Services whose config has one more model: the recording. They need PostgreSQL and nothing else."""
    models = {**config.models, MODEL: ReplayModel(engine="replay", outputs=outputs)}
    teams = {LOCAL_TEAM: Team(), **config.teams}
    return build(settings, config=config.model_copy(update={"models": models, "teams": teams}), queue=Unqueued())


def check_outputs(services: Services, suite: str, outputs: Path) -> None:
    """Raises BadInput with file:line for a recording that does not fit the suite."""
    suites = services.library.asked_for(suite)
    if suite not in suites:
        raise UnknownName("suite", suite, suites)
    if not outputs.is_file():
        raise BadInput(f"there is no file {str(outputs)!r}; it is JSONL of id, output and epoch")
    known = {sample.id for sample in suites[suite].samples}
    parse_outputs(outputs.read_bytes(), name=str(outputs), samples=known)


async def score(
    services: Services, *, suite: str, team: str = LOCAL_TEAM, branch: str | None = None, seen: Seen | None = None
) -> tuple[RunRow, Path]:
    """The final run of the recording, judged against the branch's baseline, and the path of its page."""
    wish = Submission(
        key=f"score:{uuid.uuid4()}",
        team=team,
        suite=suite,
        candidate=Candidate(model=MODEL),
        source=Source(branch=branch),
        use_cache=False,
    )
    run_id = flow.submit(services, wish).id
    try:
        while not services.store.run(run_id).state.final:
            await _round(services, run_id, seen)
    except BaseException:  # Ctrl-C among them: nobody else would ever end this run
        services.store.cancel_run(run_id, "the process that scored it was interrupted")
        raise
    view = gather(services.store, services.config, run_id, base_url=services.settings.base_url)
    return view.run, write_report(view, report_folder(services.settings.home))


async def _round(services: Services, run_id: str, seen: Seen | None) -> None:
    """Every shard once; one that was given back after an error is tried again in the next round."""
    shards = services.store.shards(run_id)
    done, total = 0, sum(len(shard.sample_ids) for shard in shards)
    for shard in shards:
        await flow.run_shard(services, shard.id)
        done += len(shard.sample_ids)
        if seen is not None:
            seen(done, total)
