"""All commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import typer

from evalwindow.errors import EvalwindowError

USAGE = 2  # also the exit code of an inconclusive verdict: both mean that nothing was decided

#: Modules with their commands, in the order of the help.
COMMANDS = {
    "submit": ("submit", "wait", "cancel"),
    "runs": ("runs", "show"),
    "quotas": ("quotas",),
    "compare": ("compare",),
    "noise": ("noise",),
    "score": ("score",),
    "night": ("nights", "night"),
    "fit": ("fit",),
    "operate": ("up", "demo", "migrate"),
    "upkeep": ("upkeep",),
}
GROUPS = ("baseline", "suites", "datasets", "token", "pools", "breakers", "quarantine")


def make_app(command: str | None = None) -> typer.Typer:
    """The command line; with a command's or group's name only what its module brings, if there is one of that name.

    So a CI job that submits does not wait for what validating datasets or opening a database imports.
    """
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
    app.callback()(_group)
    known = command in GROUPS or any(command in commands for commands in COMMANDS.values())
    for module, commands in COMMANDS.items():
        if not known or command in commands:
            _module(module).register(app)
    for group in GROUPS:
        if not known or command == group:
            app.add_typer(_module(group).app, name=group)
    return app


def _group() -> None:
    """Typer takes a lonely command for the whole program; with a callback it stays one of a group."""


def _module(name: str) -> ModuleType:
    return import_module(f"evalwindow.cli.{name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What went wrong is one line on stderr."""
    logging.getLogger().addHandler(logging.NullHandler())  # what matters is said by the commands themselves
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app = make_app(given[0] if given else None)
        return app(args=given, prog_name="evalwindow", standalone_mode=False) or 0
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
