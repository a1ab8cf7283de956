"""datasets check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from evalwindow.cli.show import AsJson, say, say_json
from evalwindow.config import Config, Limits
from evalwindow.config_file import read_config
from evalwindow.datasets import Asked, DatasetReport, Finding, Severity, asked, suite_paths, to_document, validate_all
from evalwindow.errors import BadInput, UnknownName
from evalwindow.report import words
from evalwindow.settings import read_settings
from evalwindow.suites.load import name_in

OK, FOUND, FAILED = 0, 1, 2
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow"}

app = typer.Typer(help="What suites are asked on: every line of their data, checked.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `check` a command of its own, as long as it is the only one."""


@app.command()
def check(
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITE]...", help="Names or YAML files; default: all of the config.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Count tokens for this model; again for more. Default: the windows' models, else all."),
    ] = None,
    json: AsJson = False,
) -> int:
    """Check every line of the suites' data and write Data Docs. Needs no service; takes seconds to start.

    Exit code 0: all can be used; 1: an error was found; 2: a check itself failed. Warnings change nothing.
    """
    settings = read_settings()
    config = read_config(settings.config) if settings.config.exists() else None
    found: list[tuple[Path, DatasetReport]] = []
    for folder, names in _by_folder(suites or [], config).items():
        wanted = {name: _models(name, config, model) for name in names}
        limits = config.limits if config else Limits()
        reports = validate_all(wanted, folder=folder, limits=limits, home=settings.home)
        found += [(folder, report) for report in reports]
    if json:
        say_json({"datasets": [to_document(report) for _, report in found]})
    else:
        for folder, report in found:
            _say(report, folder=folder, home=settings.home)
    return max((_code(report) for _, report in found), default=OK)


def _by_folder(wanted: Sequence[str], config: Config | None) -> dict[Path, list[str]]:
    """Names of suites by the folder that they lie in; raises UnknownName or BadInput."""
    folder = config.suites if config else Path("suites")
    known = suite_paths(folder)
    if not wanted and not known:
        raise BadInput(f"{folder}: there is no *.yaml in this folder")
    found: dict[Path, list[str]] = {}
    for name in wanted or known:
        path = Path(name)
        if name in known:
            found.setdefault(folder, []).append(name)
        elif path.is_file():
            found.setdefault(path.parent, []).append(name_in(path))
        else:
            raise UnknownName("suite", name, known, where=_near(str(folder)))
    return found


def _models(suite: str, config: Config | None, chosen: Sequence[str] | None) -> tuple[Asked, ...]:
    if config is None:
        return ()
    windows = [name for window in config.windows.values() if suite in window.suites for name in window.models]
    return asked(config, chosen or windows or config.models)


def _code(report: DatasetReport) -> int:
    return FAILED if report.error else OK if report.ok else FOUND


def _say(report: DatasetReport, *, folder: Path, home: Path) -> None:
    say(f"{report.suite}: {_headline(report)}", style=_style(report))
    for finding in report.findings:
        where = f"{_near(str(folder))}/" if finding.check == "suite" else ""
        say(f"  {finding.severity}: {where}{finding.text}", style=_STYLES[finding.severity])
        for line in _rows(finding, file=_near(str(folder / report.dataset))):
            say(f"    {line}")
    if report.uncounted:
        say(f"  tokens are not counted for {', '.join(report.uncounted)}: no tokenizer of it is on this machine")
    if report.docs:
        say(f"  pages: {_near(str(home / report.docs))}")


def _headline(report: DatasetReport) -> str:
    if report.error:
        return report.error
    if not report.dataset:
        return "can't be loaded"
    found: Mapping[str, int] = {"error": len(report.errors), "warning": len(report.warnings)}
    told = ", ".join(words.counted(count, noun) for noun, count in found.items() if count) or "ok"
    return " · ".join([told, words.counted(report.samples, "sample"), *_lengths(report)])


def _lengths(report: DatasetReport) -> Iterator[str]:
    seen = report.characters
    yield f"{seen.least:,} to {seen.most:,} characters"
    for each in report.tokens:
        of = "" if each.room is None else f" of {each.room:,}"
        yield f"{each.lengths.least:,} to {each.lengths.most:,}{of} tokens ({', '.join(each.models)})"


def _rows(finding: Finding, *, file: str) -> Iterator[str]:
    for row in finding.rows:
        parts = (f"{file}:{row.line}", "" if row.id is None else repr(row.id), row.what)
        yield ": ".join(part for part in parts if part)
    more = finding.count - len(finding.rows)
    if more > 0:
        yield f"and {words.counted(more, 'line')} more"


def _style(report: DatasetReport) -> str:
    return "green" if report.ok and not report.warnings else "yellow" if report.ok else "red"


def _near(text: str) -> str:
    """Paths under the current folder without it."""
    return text.replace(f"{Path.cwd()}/", "")
