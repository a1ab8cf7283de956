"""What the command line says without any service."""

import json
import subprocess
import sys

import pytest
import typer

from evalwindow.cli import main
from evalwindow.cli.app import COMMANDS as MODULES
from evalwindow.cli.app import GROUPS, make_app
from evalwindow.cli.show import progress_bar, say
from tests.unit.worlds import rows, write_suite

COMMANDS = [
    ("submit",),
    ("wait",),
    ("cancel",),
    ("runs",),
    ("show",),
    ("compare",),
    ("score",),
    ("nights",),
    ("night",),
    ("up",),
    ("fit",),
    ("demo",),
    ("migrate",),
    ("upkeep",),
    ("baseline", "promote"),
    ("baseline", "list"),
    ("suites", "check"),
    ("suites", "schema"),
    ("suites", "list"),
    ("datasets", "check"),
    ("token", "add"),
    ("token", "list"),
    ("token", "revoke"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command, capsys):
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: evalwindow " + " ".join(command) in out
    assert len(out.splitlines()) > 4


def test_a_command_is_the_same_whether_it_is_loaded_alone_or_with_all():
    whole = typer.main.get_command(make_app())
    for name in whole.commands:
        alone = typer.main.get_command(make_app(name))
        assert name in alone.commands
        assert len(alone.commands) <= 3
    assert set(whole.commands) == {name for names in MODULES.values() for name in names} | set(GROUPS)


HEAVY = {"alembic", "openai", "celery", "polars", "matplotlib", "airflow", "vllm", "torch"}


def test_who_submits_does_not_wait_for_imports_of_others():
    script = "import sys; from evalwindow.cli.app import make_app; make_app('submit'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "evalwindow.client" in loaded
    assert HEAVY.isdisjoint(loaded)


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c not in {("up",), ("demo",), ("suites", "schema")}], ids=" ".join
)
def test_every_command_that_answers_can_answer_in_json(command, capsys):
    main([*command, "--help"])
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["submit", "--suite", "x"], "Missing option '--model'"),
        (["wait"], "Missing argument 'RUN'"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["runs", "--state", "lost"], "'lost' is not one of"),
        (["runs", "--limit", "0"], "Invalid value for '--limit'"),
        (["submit", "--suite", "x", "--model", "y", "--sampling", "temperature"], "write KEY=VALUE"),
        (["submit", "--suite", "x", "--model", "y", "--sampling", "stop=["], "the value is no YAML"),
        (["submit", "--suite", "x", "--model", "y", "--template-file", "none.j2"], "none.j2: No such file"),
        (["runs"], "EVALWINDOW_TOKEN is not set"),
        (["suites", "check", "none.yaml"], "none.yaml"),
    ],
)
def test_what_is_wrong_is_one_line_and_code_two(arguments, complaint, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert complaint in err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert out == ""


def test_an_unknown_variable_is_named_with_the_nearest(monkeypatch, capsys):
    monkeypatch.setenv("EVALWINDOW_DATABASE_ULR", "x")
    assert main(["token", "list", "search"]) == 2
    assert "did you mean EVALWINDOW_DATABASE_URL?" in capsys.readouterr().err


def test_the_clients_own_variables_are_no_error_for_an_operator(monkeypatch, capsys):
    monkeypatch.setenv("EVALWINDOW_URL", "http://there")
    monkeypatch.setenv("EVALWINDOW_TOKEN", "t")
    main(["suites", "check"])
    assert "unknown environment variable" not in capsys.readouterr().err


def test_suites_are_checked_without_a_config(folder, capsys):
    (folder / "suites").mkdir()
    write_suite(folder / "suites", rows(3))
    assert main(["suites", "check"]) == 0
    assert "echo" in capsys.readouterr().out


def test_a_window_that_names_a_suite_which_nobody_wrote_is_said_with_its_line(folder, capsys):
    (folder / "suites").mkdir()
    write_suite(folder / "suites", rows(3))
    times = "cron: 0 22 * * *, duration_minutes: 60"
    (folder / "evalwindow.yaml").write_text(
        "models: {far: {engine: openai, base_url: https://x.example, model: m}}\nteams: {search: {}}\n"
        f"windows:\n  nightly: {{{times}, team: search, models: [far], suites: [echo, eccho]}}\n"
    )
    assert main(["suites", "check"]) == 2
    out, err = capsys.readouterr()
    assert "echo" in out
    assert err == ("error: evalwindow.yaml:4: windows.nightly.suites[1]: unknown suite 'eccho'; did you mean 'echo'?\n")
    assert main(["suites", "check", "suites/echo.yaml"]) == 0  # asked about one suite only


def test_every_fault_has_its_line_and_the_good_suites_are_still_listed(folder, capsys):
    for name in ("good", "bad"):
        (folder / name).mkdir()
    write_suite(folder / "good", rows(3))
    write_suite(folder / "bad", rows(2), scorers=["exakt"], epochs=0)
    assert main(["suites", "check", "good", "bad"]) == 2
    out, err = capsys.readouterr()
    assert "echo" in out
    assert all(line.startswith("error: bad/echo.yaml:") for line in err.splitlines())
    assert "did you mean 'exact'?" in err and "epochs" in err


def test_checked_suites_as_json_name_their_digest(folder, capsys):
    write_suite(folder, rows(3))
    main(["suites", "check", "echo.yaml", "--json"])
    checked = json.loads(capsys.readouterr().out)
    assert [(suite["name"], suite["samples"], len(suite["digest"])) for suite in checked["suites"]] == [("echo", 3, 64)]
    assert checked["errors"] == []


def test_the_schema_is_the_published_one(capsys):
    main(["suites", "schema"])
    assert json.loads(capsys.readouterr().out)["title"] == "evalwindow suite"


def test_there_is_no_progress_bar_where_nobody_watches(capsys):
    with progress_bar("waiting", quiet=False) as bar:
        assert not bar.watched
        bar.update(done=1, total=2, text="half")
    assert capsys.readouterr() == ("", "")


def test_control_characters_of_a_model_do_not_reach_the_terminal(capsys):
    say("a\x1b[31mred")
    assert capsys.readouterr().out == "a\\u001b[31mred\n"
