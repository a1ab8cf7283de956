"""`python -m soak`: all of evalwindow at work on this machine while its parts are killed, frozen, emptied and cut off.

Nothing leaves this machine. Exit code 1 when anything was lost, duplicated, stuck, concluded or told twice.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from rich.console import Console
from sqlalchemy import text

from evalwindow.store import Store
from soak.faults import Fault, faults_for, mend_all
from soak.invariants import Received, check, repeated_mails, settle
from soak.load import Load
from soak.report import Report, Struck
from soak.stage import Stage, stage_running

PATIENCE_S = 180.0  # for a verdict after a fault
SETTLES_S = 240.0
PAIRS = 0.2  # share of blows that are two faults at once
REST_S = 3.0  # between two blows, at most

console = Console(width=min(130, Console().width), highlight=False)
begun = time.monotonic()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of faults; then everything has to come to its end")
    parser.add_argument("--seed", type=int, default=0, help="of the faults' order and the load; default: another one")
    parser.add_argument(
        "--engine", choices=("tiny", "api"), default="tiny", help="a GPU unit with a tiny vLLM, or providers only"
    )
    parser.add_argument("--keep", action="store_true", help="leave logs and reports")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop in order, as for Ctrl-C
    seed = options.seed or random.SystemRandom().randrange(1, 2**31)
    home = Path(tempfile.mkdtemp(prefix="evalwindow-"))  # short, for sockets
    say(f"seed {seed}, {options.minutes:g} minutes; logs in {home / 'log'}")
    ok = False
    try:
        with stage_running(home, engine=options.engine, say=say) as stage:
            report = asyncio.run(soak(stage, minutes=options.minutes, seed=seed))
        report.show(console)
        ok = report.ok
    except KeyboardInterrupt:
        say("interrupted; everything is stopped")
    finally:
        if ok and not options.keep:
            shutil.rmtree(home, ignore_errors=True)
    return 0 if ok else 1


async def soak(stage: Stage, *, minutes: float, seed: int) -> Report:
    """Load and faults for so many minutes; then everything is mended, comes to its end, and is counted."""
    dice, report = random.Random(seed), Report(seed=seed)
    load, blows = Load(stage, random.Random(seed)), _blows(faults_for(stage), dice)
    end = time.monotonic() + 60 * minutes
    async with load.at_it():
        await load.verdict()
        say("the first verdicts are on GitHub")
        while time.monotonic() < end:
            report.struck.append(await _strike(stage, load, next(blows)))
            await asyncio.sleep(dice.uniform(0, REST_S))
        last = time.monotonic()
    say("no more faults, no more wishes: everything comes to its end")
    await asyncio.to_thread(mend_all, stage)
    await asyncio.to_thread(settle, stage.postgres.url, seconds=SETTLES_S)
    report.settled_s = time.monotonic() - last
    await asyncio.to_thread(_count, stage, load, report)
    return report


def _blows(faults: Sequence[Fault], dice: random.Random) -> Iterator[tuple[Fault, ...]]:
    """Every fault in turn, in an order of the dice; now and then another one with it."""
    while True:
        for fault in dice.sample(faults, len(faults)):
            others = [other for other in faults if other.what != fault.what]
            yield (fault, dice.choice(others)) if dice.random() < PAIRS else (fault,)


async def _strike(stage: Stage, load: Load, faults: tuple[Fault, ...]) -> Struck:
    """Strike, mend after a while, and wait for a verdict that was asked for after the blow."""
    names, struck = tuple(fault.name for fault in faults), time.monotonic()
    for fault in faults:
        await asyncio.to_thread(fault.begin, stage)
    mending = asyncio.create_task(_mend(stage, faults))
    recovered: float | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await load.verdict()
            recovered = time.monotonic() - struck
    await mending
    say(f"{' + '.join(names)}: {'no verdict' if recovered is None else f'a verdict after {recovered:.1f} s'}")
    return Struck(names=names, recovered_s=recovered)


async def _mend(stage: Stage, faults: tuple[Fault, ...]) -> None:
    await asyncio.sleep(max(fault.lasts_s for fault in faults))
    for fault in faults:
        await asyncio.to_thread(fault.mend, stage)


def _count(stage: Stage, load: Load, report: Report) -> None:
    mails = stage.mail.mailbox.mails
    received = Received(github=stage.github, mails=mails, deliveries=load.deliveries, runs=load.runs)
    report.broken = check(stage.postgres.url, received)
    report.repeated_mails = repeated_mails(mails)
    report.webhooks, report.repeated = len(load.deliveries), load.repeated
    with closing(Store(stage.postgres.url)) as store, store._transaction() as connection:
        report.runs = connection.execute(text("SELECT count(*) FROM run")).scalar_one()
        row = connection.execute(text("SELECT count(*) AS n, coalesce(sum(gpu_s), 0) AS s FROM result")).one()
    report.results, report.gpu_s = row.n, row.s


def say(words: str) -> None:
    console.print(f"{time.monotonic() - begun:6.1f} s  {words}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
