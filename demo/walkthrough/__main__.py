"""`python -m demo.walkthrough [--keep]`: exit code 0 when every verdict is what it should be."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from demo.github_standin import Standin
from demo.mailbox import Mailbox, mailbox_running
from demo.walkthrough import night, steps
from demo.walkthrough.ledger import Ledger
from demo.walkthrough.screen import bar, console, say, step
from demo.walkthrough.stage import ROOT, forget_servers, new_secret, on_stage, stack_running, standin_running
from evalwindow.config_file import read_config
from evalwindow.errors import EvalwindowError
from evalwindow.report.files import report_folder
from evalwindow.report.words import seconds
from evalwindow.up import Stack

INTRODUCTION = """\
evalwindow judges changes to a language model, a prompt or its sampling, as CI judges code. A GPU job of its own for
every pull request would spend most of its time loading the model. Here a model stays loaded, pull requests and nightly
runs share it, and each run gets one of three answers: PASS, FAIL or INCONCLUSIVE.
All that follows is real: PostgreSQL, Redis, Celery, vLLM (on this CPU), Airflow, Great Expectations, SMTP, HTTP. Only
GitHub is a stand-in, and the model is tiny: 7 synthetic skills, trained by demo/train.py. Nothing leaves this
machine."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.walkthrough", description="The tour of evalwindow.")
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end, until Ctrl-C")
    parser.add_argument("--config", type=Path, default=ROOT / "evalwindow.yaml", help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop in order, as for Ctrl-C
    home = ROOT / "var" / time.strftime("demo-%Y%m%d-%H%M%S")
    try:
        return _play(home, options.config, keep=options.keep)
    except EvalwindowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; everything is stopped", file=sys.stderr)
        return 130


def _play(home: Path, config: Path, *, keep: bool) -> int:
    begun = time.monotonic()
    console.print(INTRODUCTION, soft_wrap=True)
    ledger, standin, secret = Ledger(config=read_config(config)), Standin(), new_secret()
    try:
        with ExitStack() as cleanup:
            what = "PostgreSQL, Redis, web app, dispatcher, two consumers, vLLM, Airflow, a mail server"
            with step(1, "Start everything"), bar(what) as _:
                github_url = cleanup.enter_context(standin_running(standin))
                mailbox = cleanup.enter_context(mailbox_running())
                running = stack_running(
                    home=home,
                    config=config,
                    github_url=github_url,
                    webhook_secret=secret,
                    environ={"EVALWINDOW_SMTP_URL": mailbox.url, "EVALWINDOW_MAIL_FROM": "evals@acme.example"},
                    orchestrator=True,
                )
                stack = cleanup.enter_context(running)
            asyncio.run(_tour(stack, standin, secret, ledger, mailbox))
            _say_end(ledger, home, begun=begun)
            if keep:
                _wait(stack)
    finally:
        forget_servers(home)
    say("Everything is stopped; pages and logs stay.")
    return 1 if ledger.surprises else 0


async def _tour(stack: Stack, standin: Standin, secret: str, ledger: Ledger, mailbox: Mailbox) -> None:
    parts = (
        (2, "The baseline: what production can do", steps.make_baseline),
        (3, "Two pull requests", steps.judge_pulls),
        (4, "A night through Airflow: both candidates over 500 prompts each", night.judge_candidates),
        (5, "500 real problems", steps.solve_real_problems),
        (6, "The same question twice is paid once", steps.ask_again),
    )
    async with on_stage(stack, standin, webhook_secret=secret, mailbox=mailbox) as stage:
        for number, title, play in parts:
            with step(number, title):
                await play(stage, ledger)
        await stage.pages(ledger.run_ids)


def _say_end(ledger: Ledger, home: Path, *, begun: float) -> None:
    console.print()
    ledger.show(str(report_folder(home).relative_to(ROOT)))
    for surprise in ledger.surprises:
        say(surprise, style="bold red")
    if not ledger.surprises:
        say(f"Every verdict is what it should be. {seconds(time.monotonic() - begun)} in all.", style="bold green")


def _wait(stack: Stack) -> None:
    say(f"Still running: {stack.base_url}/runs. Ctrl-C stops it.")
    if stack.airflow:
        say(f"Airflow: {stack.airflow.url}, user {stack.airflow.user}, password {stack.airflow.password}")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
