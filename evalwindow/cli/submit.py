"""submit, wait, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from evalwindow.cli.remote import connected, exit_code, say_verdict, wait_for
from evalwindow.cli.show import AsJson, say, say_json
from evalwindow.client import Client
from evalwindow.engines.adapters import read_folder
from evalwindow.errors import BadInput
from evalwindow.report.document import RunDocument
from evalwindow.report.headline import waits_for
from evalwindow.web.bodies import Accepted

Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait at most; then exit code 2.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run.", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command()(submit)
    app.command()(wait)
    app.command()(cancel)


def submit(
    suite: Annotated[str, typer.Option(help="Name of a suite, see `evalwindow suites list`.", show_default=False)],
    model: Annotated[str, typer.Option(help="Name of a model in the service's evalwindow.yaml.", show_default=False)],
    adapter: Annotated[Path | None, typer.Option(help="Folder of a LoRA adapter; its files are uploaded.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt instead of the suite's.")] = None,
    template_file: Annotated[
        Path | None, typer.Option(help="File with a user template (Jinja2) instead of the suite's.")
    ] = None,
    sampling: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Say temperature=0.2; may be given several times.")
    ] = None,
    repo: Annotated[str | None, typer.Option(help="owner/name of your repository: gets the check.")] = None,
    pr: Annotated[int | None, typer.Option(help="Number of the pull request: gets the comment.")] = None,
    sha: Annotated[str | None, typer.Option(help="Head commit; a newer one supersedes the older one's run.")] = None,
    branch: Annotated[str | None, typer.Option(help="Target branch: selects the baseline; default main.")] = None,
    key: Annotated[
        str | None, typer.Option(help="The same key is the same run: a repeated CI job starts none.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Ask the model even where an answer is known.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the verdict: exit code 0 pass, 1 fail, 2 else.")
    ] = False,
    timeout: Timeout = 3600,
    json: AsJson = False,
) -> int:
    """Submit a run of one suite for one candidate.

    A candidate is a model's name and what you change about it: an adapter, a prompt, sampling. What you leave out
    stays as the suite has it.
    """
    candidate = {
        "model": model,
        "system": system,
        "template": _text(template_file),
        "sampling": dict(_pair(given) for given in sampling or ()),
    }
    source = {"repo": repo, "pull_request": pr, "head_sha": sha, "branch": branch}
    wish = {"suite": suite, "candidate": candidate, "source": source, "key": key, "use_cache": not no_cache}
    files = read_folder(adapter) if adapter else {}

    async def work(client: Client) -> Accepted | RunDocument:
        if files:
            candidate["adapter"] = (await client.put_adapter(str(adapter), files)).digest
        accepted = await client.submit(wish)
        if not wait:
            return accepted
        if not json:
            say(_accepted(accepted))
        return await wait_for(client, accepted.id, timeout_s=timeout, quiet=json)

    return _tell(connected(work), json=json)


def wait(run: RunId, timeout: Timeout = 3600, json: AsJson = False) -> int:
    """Wait for a run's verdict. Exit code: 0 pass, 1 fail, 2 inconclusive, superseded, cancelled or failed."""
    return _tell(connected(lambda client: wait_for(client, run, timeout_s=timeout, quiet=json)), json=json)


def cancel(run: RunId, json: AsJson = False) -> None:
    """End a run that nobody wants any more; prompts in flight are cancelled."""
    ended = connected(lambda client: client.cancel(run))
    if json:
        say_json(ended)
    else:
        say(f"run {ended.id} is {ended.state}")


def _tell(run: Accepted | RunDocument, *, json: bool) -> int:
    if json:
        say_json(run)
    elif isinstance(run, Accepted):
        say(_accepted(run))
        say(f"evalwindow wait {run.id}")
    else:
        say_verdict(run)
    return exit_code(run) if isinstance(run, RunDocument) else 0


def _accepted(run: Accepted) -> str:
    return f"run {run.id} {waits_for(run.state, run.joined_to) or f'is {run.state}'}: {run.urls.page}"


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 ({error})") from error


def _pair(given: str) -> tuple[str, Any]:
    """temperature=0.2 -> a number, stop=["\\n"] -> a list: values are YAML."""
    key, equals, value = given.partition("=")
    if not equals or not key:
        raise BadInput(f"--sampling {given!r}: write KEY=VALUE, say temperature=0.2")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise BadInput(f"--sampling {given!r}: the value is no YAML") from error
