"""suites check, suites schema, suites list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from evalwindow.cli.remote import connected
from evalwindow.cli.show import AsJson, say_json, say_table
from evalwindow.config import Config, Limits
from evalwindow.config_file import read_config, unknown_suites
from evalwindow.errors import BadInput
from evalwindow.model import Candidate
from evalwindow.report import words
from evalwindow.settings import read_settings
from evalwindow.suites import Suite, load_suite, load_suites
from evalwindow.suites.schema import as_text
from evalwindow.tokens import PromptCounter
from evalwindow.web.documents import SuiteDocument

INVALID = 2
DIGEST = 12  # characters of it that are shown

app = typer.Typer(help="What is asked and how it is judged.", no_args_is_help=True)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A suite that can be used."""

    suite: Suite
    prompt_tokens: int | None  # of all prompts together; None without a tokenizer at hand


@app.command()
def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Suites or folders of them; default: the config's folder.")
    ] = None,
    json: AsJson = False,
) -> int:
    """Validate suites, their data and what the config's windows name, with file:line. Needs no service."""
    path, config = _config()
    folder, limits = (config.suites, config.limits) if config else (Path("suites"), Limits())
    suites, complaints = _load(paths or [folder], limits=limits)
    if config is not None and not paths and not complaints:
        complaints = unknown_suites(path, config, [suite.name for suite in suites])
    counter = _counter(config)
    checked = [Checked(suite=suite, prompt_tokens=_tokens(suite, counter)) for suite in suites]
    if json:
        say_json({"suites": [_as_json(each) for each in checked], "errors": complaints})
    elif checked:
        numbers = ("samples", "prompt tokens")
        say_table(("suite", "tier", "samples", "prompt tokens", "digest"), map(_row, checked), right=numbers)
    for complaint in complaints if not json else ():
        typer.echo(f"error: {complaint}", err=True)
    return INVALID if complaints else 0


@app.command()
def schema() -> None:
    """Print the JSON Schema of a suite's YAML, for editors."""
    typer.echo(as_text(), nl=False)


@app.command("list")
def list_(json: AsJson = False) -> None:
    """The suites that the service can run."""
    found = connected(lambda client: client.suites())
    if json:
        say_json(found)
    else:
        say_table(("suite", "tier", "samples", "what"), map(_listed, found.suites), right=("samples",))


def _config() -> tuple[Path, Config | None]:
    """The config, where there is one: suites can be checked without."""
    path = read_settings().config
    return path, read_config(path) if path.exists() else None


def _load(paths: Sequence[Path], *, limits: Limits) -> tuple[list[Suite], list[str]]:
    """The good ones, and a line for each thing that is wrong with the others."""
    suites: list[Suite] = []
    complaints: list[str] = []
    for path in paths:
        try:
            suites += _load_path(path, limits=limits)
        except BadInput as invalid:
            complaints += str(invalid).splitlines()
    return suites, complaints


def _load_path(path: Path, *, limits: Limits) -> Iterable[Suite]:
    if not path.is_dir():
        return [load_suite(path, limits)]
    if not any(path.glob("*.yaml")):
        raise BadInput(f"{path}: there is no *.yaml in this folder")
    return load_suites(path, limits).values()


def _counter(config: Config | None) -> PromptCounter | None:
    """The tokenizer of the first pool that has one on this machine."""
    counters = (PromptCounter.of(pool.model) for pool in config.pools.values()) if config else iter(())
    return next(filter(None, counters), None)


def _tokens(suite: Suite, counter: PromptCounter | None) -> int | None:
    if counter is None:
        return None
    nobody = Candidate(model="")
    return sum(counter.count(suite.render(sample, nobody)) for sample in suite.samples)


def _row(checked: Checked) -> tuple[str, ...]:
    suite, tokens = checked.suite, checked.prompt_tokens
    counted = words.NOTHING if tokens is None else f"{tokens:,}"
    return (suite.name, suite.tier, str(len(suite.samples)), counted, suite.digest[:DIGEST])


def _as_json(checked: Checked) -> dict[str, object]:
    suite = checked.suite
    return {
        "name": suite.name,
        "path": str(suite.path),
        "tier": suite.tier,
        "samples": len(suite.samples),
        "prompt_tokens": checked.prompt_tokens,
        "digest": suite.digest,
    }


def _listed(suite: SuiteDocument) -> tuple[str, ...]:
    return (suite.name, suite.tier, str(suite.samples), suite.description)
