"""All broken datasets validated at once: Great Expectations takes seconds to load."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from evalwindow.config import Limits
from evalwindow.datasets import DatasetReport, validate_all
from tests.real.datasets.cases import CASES, DEMO, Case, write_all

PERFECT = Case(name="perfect", check="")
SCRIPT = "<script>alert(1)</script>$x &amp;"


@dataclass(frozen=True, kw_only=True)
class Validated:
    folder: Path  # of the suites
    home: Path
    reports: dict[str, DatasetReport]


@pytest.fixture(scope="session")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Validated:
    """The cases, a perfect dataset among them, a broken YAML, and names that are no good."""
    root = tmp_path_factory.mktemp("datasets")
    folder, home = root / "suites", root / "home"
    folder.mkdir()
    evil = Case(
        name="evil", check="", rows={2: {"id": SCRIPT, "target": None}}, spec={"policy": {"blocking": [SCRIPT]}}
    )
    write_all(folder, (*CASES, PERFECT, evil))
    (folder / "broken.yaml").write_text("suite: broken\ntier: regresion\nscorers: [exact]\ndataset: {path: no.jsonl}\n")
    (folder / "gone.yaml").write_text("suite: gone\ntier: regression\nscorers: [exact]\ndataset: {path: no.jsonl}\n")
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text("suite: claimed\n")
    models = {case.name: case.models for case in CASES}
    wanted = [*models, "perfect", "evil", "broken", "gone", "claimed", "perfekt"]
    reports = validate_all(
        {name: models.get(name, (DEMO,)) for name in wanted}, folder=folder, limits=Limits(), home=home
    )
    assert [report.suite for report in reports] == wanted
    return Validated(folder=folder, home=home, reports={report.suite: report for report in reports})
