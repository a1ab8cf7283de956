"""All commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import typer

from evalwindow.cli import (
    baseline,
    compare,
    datasets,
    fit,
    night,
    noise,
    operate,
    pools,
    runs,
    score,
    submit,
    suites,
    token,
    upkeep,
)
from evalwindow.errors import EvalwindowError

USAGE = 2  # also the exit code of an inconclusive verdict: both mean that nothing was decided

app = typer.Typer(
    name="evalwindow",
    help="LLM evals on shared warm GPU workers: submit a run, wait for its verdict, look at what went wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive or an error. Commands for teams talk to EVALWINDOW_URL "
    "(default http://127.0.0.1:8800) with EVALWINDOW_TOKEN; each takes --json.",
)
for module in (submit, runs, compare, noise, score, night, fit, operate, upkeep):
    module.register(app)
app.add_typer(baseline.app, name="baseline")
app.add_typer(suites.app, name="suites")
app.add_typer(datasets.app, name="datasets")
app.add_typer(token.app, name="token")
app.add_typer(pools.app, name="pools")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What went wrong is one line on stderr."""
    logging.getLogger().addHandler(logging.NullHandler())  # what matters is said by the commands themselves
    try:
        return app(args=arguments, prog_name="evalwindow", standalone_mode=False) or 0
    except EvalwindowError as error:
        return _complain(str(error), code=USAGE)
    except typer.TyperException as error:
        return _complain(_usage(error), code=USAGE)
    except typer.Abort:
        return _complain("interrupted", code=130)
    except BrokenPipeError:  # say `| head`: whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _complain(_file_error(error), code=USAGE)


def _complain(what: str, *, code: int) -> int:
    """One line for each thing that is wrong."""
    for line in what.splitlines() or [what]:
        typer.echo(f"error: {line}", err=True)
    return code


def _usage(error: typer.TyperException) -> str:
    message = error.format_message()
    return " ".join(message.split()) or "see evalwindow --help"


def _file_error(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
