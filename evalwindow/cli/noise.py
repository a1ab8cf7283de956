"""noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from evalwindow.cli.remote import connected, wait_for
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.cli.submit import Timeout
from evalwindow.client import Client
from evalwindow.errors import BadInput
from evalwindow.model import Candidate, RunState
from evalwindow.report import words
from evalwindow.web.documents import NoiseDocument, NoiseList, SliceNoise

HEADS = ("suite", "slice", "samples", "margin", "fell", "rose", "pairs", "noise alone")
HOW = (
    "not known, no A/A run counts: let a window with `aa: true` run, "
    "or measure it by `evalwindow noise {suite} --measure`"
)


def register(app: typer.Typer) -> None:
    app.command()(noise)


def noise(
    suites: Annotated[list[str] | None, typer.Argument(metavar="[SUITE]...", help="Default: all.")] = None,
    model: Annotated[str | None, typer.Option(help="Only baselines of this model.")] = None,
    branch: Annotated[str | None, typer.Option(help="Only baselines of this branch.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Run each baseline again first, past the cache, and wait for it.")
    ] = False,
    timeout: Timeout = 3600,
    json: AsJson = False,
) -> None:
    """How far a baseline falls when it runs again: a drop that the gate calls nobody's fault.

    "noise alone" is the drop that it hides at the suite's size; a margin below it can't be decided there.
    """

    measured: list[str] = []

    async def work(client: Client) -> NoiseList:
        found = await _floors(client, suites or (), model=model, branch=branch)
        if not measure:
            return found
        if not suites:
            raise BadInput("--measure runs whole suites: name those that are to run")
        for each in found.floors:
            measured.append(await _run_again(client, each, timeout_s=timeout, quiet=json))
        return await _floors(client, suites, model=model, branch=branch)

    found = connected(work)
    if json:
        say_json(found)
    else:
        _say(found.floors)
        for run in _uncounted(found.floors, measured):
            say(f"run {run} doesn't count: engine or suite are others than the baseline's; promote a fresh baseline")


async def _floors(client: Client, suites: Sequence[str], *, model: str | None, branch: str | None) -> NoiseList:
    """Raises BadInput for a suite that has no baseline which could be run again."""
    found = await client.noise(suites, model=model)
    floors = [each for each in found.floors if branch in (None, each.branch)]
    for name in suites:
        if name not in {each.suite for each in floors}:
            what = "".join((f" of model {model!r}" if model else "", f" on branch {branch!r}" if branch else ""))
            raise BadInput(
                f"regression suite {name!r} has no baseline{what}; see `evalwindow baseline list`, "
                f"and promote a run by `evalwindow baseline promote RUN --reason ...`"
            )
    return NoiseList(floors=floors)


async def _run_again(client: Client, floor: NoiseDocument, *, timeout_s: float, quiet: bool) -> str:
    """An A/A run: the baseline's own candidate, past the cache. Its id; BadInput where it ends without a verdict."""
    if floor.candidate is None:
        raise BadInput(f"baseline {floor.baseline} of {floor.suite} is another team's: only that one can run it again")
    wish = {
        "suite": floor.suite,
        "candidate": _body(floor.candidate),
        "source": {"branch": floor.branch},
        "use_cache": False,
    }
    accepted = await client.submit(wish)
    if not quiet:
        say(f"run {accepted.id} repeats baseline {floor.baseline}: {accepted.urls.page}")
    run = await wait_for(client, accepted.id, timeout_s=timeout_s, quiet=quiet)
    if run.state is not RunState.CONCLUDED:
        raise BadInput(f"run {run.id} is {run.state}, so it measures nothing: {run.error or 'see its page'}")
    return run.id


def _uncounted(floors: Sequence[NoiseDocument], measured: Sequence[str]) -> list[str]:
    """Of runs that were to measure a floor those that are not in it, though none was left out."""
    counted = {run for each in floors if each.floor for run in each.floor.runs}
    left_out = any(each.floor and each.floor.left_out for each in floors)
    return [] if left_out else [run for run in measured if run not in counted]


def _body(candidate: Candidate) -> dict[str, object]:
    return {
        "model": candidate.model,
        "adapter": candidate.adapter,
        "system": candidate.system,
        "template": candidate.template,
        "sampling": dict(candidate.sampling),
    }


def _say(floors: Sequence[NoiseDocument]) -> None:
    if not floors:
        say("no baseline yet; promote a concluded run by `evalwindow baseline promote RUN --reason ...`")
        return
    known = [floor for floor in floors if floor.floor]
    if known:
        say_table(HEADS, [row for floor in known for row in _rows(floor)], right=HEADS[2:])
        say()
    for floor in floors:
        for line in _lines(floor):
            say(f"{floor.suite} on {floor.branch}: {line}")


def _rows(floor: NoiseDocument) -> Iterator[tuple[str, ...]]:
    for each in floor.slices:
        yield (
            floor.suite,
            each.slice,
            str(each.samples),
            f"{100 * each.margin:g}",
            words.percent(_share(each, each.rates.down)),
            words.percent(_share(each, each.rates.up)),
            str(each.rates.samples),
            words.NOTHING if each.reach is None else f"{100 * each.reach:.1f} points",
        )


def _share(each: SliceNoise, count: int) -> float | None:
    return count / each.rates.samples if each.rates.samples else None


def _lines(floor: NoiseDocument) -> Iterator[str]:
    """Where it is known from, and what stands out."""
    if floor.floor is None:
        yield HOW.format(suite=floor.suite)
        return
    runs = floor.floor.runs
    yield f"from {words.counted(len(runs), 'A/A run')} since {floor.floor.since}; baseline {floor.baseline}"
    if floor.floor.left_out:
        lost = words.counted(floor.floor.left_out, "A/A run")
        yield f"{lost} lost against the baseline while most did not, and is left out: something was broken then"
    hidden = [each.slice for each in floor.slices if each.reach is not None and each.reach > each.margin]
    if hidden:
        yield f"noise alone takes more than the margin from {', '.join(hidden)}: it decides nothing there"
