"""Datasets that changed, by real checks, and the command that says all of it."""

import json

from evalwindow.cli import main
from evalwindow.upkeep import drift
from tests.real.upkeep.house import SAMPLES, texts
from tests.unit.worlds import rows


def test_datasets_are_validated_and_kept_and_what_changed_is_told(house):
    first = {each.suite: each for each in drift(house.services)}
    assert {name: (each.ok, each.noteworthy) for name, each in first.items()} == {
        "echo": (True, False),
        "other": (True, False),
    }
    assert first["echo"].text == f"{SAMPLES} samples, nothing to object to"
    assert (house.home / first["echo"].docs).is_file()
    longer = [
        {"id": f"s{n}", "input": "say it, and say it slowly, " * 9 + str(n), "target": str(n)} for n in range(SAMPLES)
    ]
    house.write_suite("echo", longer)
    house.write_suite("other", [*rows(3), {"id": "s1", "input": "twice", "target": "1"}])
    changed = {each.suite: each for each in drift(house.services)}
    assert (changed["echo"].ok, changed["echo"].drifted) == (True, True)
    assert "Prompts are longer than in the version before" in changed["echo"].text
    assert (changed["other"].ok, changed["other"].noteworthy) == (False, True)
    house.write_suite("echo", [*longer[:-1], {"id": "s59", "input": longer[-1]["input"], "target": "60"}])
    assert (
        next(each for each in drift(house.services) if each.suite == "echo").text == "60 samples, nothing to object to"
    )


def test_the_command_says_all_of_it_and_its_code_asks_for_a_look(house, monkeypatch, capsys):
    config = {
        "suites": "suites",
        "models": {"tiny": {"engine": "openai", "base_url": "http://127.0.0.1:9", "model": "tiny"}},
        "teams": {"search": {}},
    }
    (house.folder / "evalwindow.yaml").write_text(json.dumps(config))
    for name, value in (
        ("DATABASE_URL", house.settings.database_url),
        ("HOME", str(house.home)),
        ("CONFIG", str(house.folder / "evalwindow.yaml")),
    ):
        monkeypatch.setenv(f"EVALWINDOW_{name}", value)
    old = house.run(days=91)
    assert main(["upkeep", "--dry-run", "--no-look"]) == 0
    said = capsys.readouterr().out
    assert "would be removed" in said and "1   runs whose outputs were too old" in said
    assert "59" in texts(house, old)
    house.sql("UPDATE run SET created_at = now() - interval '3 days', state = 'queued' WHERE id = :id", id=house.run())
    assert main(["upkeep", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["removed"]["outputs"] == 1
    assert [trouble["kind"] for trouble in answer["stale"]["troubles"]] == ["runs"]
    assert [(each["suite"], each["ok"]) for each in answer["datasets"]] == [("echo", True), ("other", True)]
    house.sql("DELETE FROM result WHERE run_id IN (SELECT id FROM run WHERE state = 'queued')")
    house.sql("DELETE FROM run WHERE state = 'queued'")
    assert main(["upkeep"]) == 0
    said = capsys.readouterr().out
    assert "nothing stands still" in said and "every dataset is valid" in said
