"""constraints/audit.py: what it finds wrong with a list, and what an advisory covers."""

import runpy
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

AUDIT = runpy.run_path(str(Path(__file__).parents[2] / "constraints/audit.py"), run_name="audit")
JINJA, MARKUP = version("jinja2"), version("markupsafe")


def _read(tmp_path: Path, text: str) -> tuple[dict[str, str], list[str]]:
    faults: list[str] = []
    (tmp_path / "web.txt").write_text(text)
    return AUDIT["read"](tmp_path / "web.txt", faults), faults


def test_every_line_pins_one_package_once(tmp_path: Path) -> None:
    pins, faults = _read(tmp_path, "# a comment\nA_b==1.0\nrich>=2\ngit+https://example.com/x\na-b==1.1\n")
    assert pins == {"a-b": "1.1"}
    assert [fault.split(" ")[0] for fault in faults] == ["web.txt:3:", "web.txt:4:", "web.txt:5:"]


def test_lists_of_machines_that_work_together_agree() -> None:
    lists = {"web.txt": {"x": "1"}, "cpu.txt": {"x": "2", "y": "1"}, "gpu.txt": {"y": "7"}}
    assert list(AUDIT["disagreements"](lists)) == ["web.txt: x==1, cpu.txt: x==2"]


def test_what_a_package_asks_for_is_in_its_list_in_a_version_that_it_takes() -> None:
    assert list(AUDIT["unmet"]({"web.txt": {"jinja2": JINJA, "markupsafe": MARKUP}})) == []
    [missing] = AUDIT["unmet"]({"web.txt": {"jinja2": JINJA}})
    assert "markupsafe" in missing.lower()
    [old] = AUDIT["unmet"]({"gpu.txt": {"jinja2": JINJA, "markupsafe": "0.1"}})
    assert old.endswith("pinned is 0.1")


def test_what_is_installed_is_what_the_list_says() -> None:
    assert list(AUDIT["unlike_installed"]({"jinja2": JINJA})) == []
    wrong = list(AUDIT["unlike_installed"]({"jinja2": "0.1", "no-such-package": "1"}))
    assert [JINJA in wrong[0], "nothing is installed" in wrong[1]] == [True, True]


@pytest.mark.parametrize(
    "pinned, named", [("1.0", False), ("1.1", True), ("1.2rc1", True), ("1.2", False), ("2.0.1", True), ("3.0", False)]
)
def test_an_advisory_covers_the_versions_between_its_events(pinned: str, named: bool) -> None:
    events = [{"introduced": "1.1"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"last_affected": "2.5"}]
    assert AUDIT["concerns"]({"ranges": [{"type": "ECOSYSTEM", "events": events}]}, pinned) is named


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_pinned_version_that_an_advisory_names_is_a_fault(tmp_path: Path, withdrawn: bool) -> None:
    folder = tmp_path / "vulns" / "Jinja_X"
    folder.mkdir(parents=True)
    advisory = {"id": "PYSEC-1", "aliases": ["CVE-1"], "affected": [{"versions": ["1.0"]}]}
    (folder / "PYSEC-1.yaml").write_text(yaml.safe_dump(advisory | ({"withdrawn": "2026"} if withdrawn else {})))
    found = list(AUDIT["advised"]("web.txt", {"jinja-x": "1.0", "other": "1.0"}, tmp_path))
    assert found == ([] if withdrawn else ["web.txt: Jinja_X==1.0: PYSEC-1 (CVE-1)"])
    assert list(AUDIT["advised"]("web.txt", {"jinja-x": "1.1"}, tmp_path)) == []


def test_no_database_is_no_clean_bill(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(AUDIT["advised"]("web.txt", {"x": "1"}, tmp_path))


def test_the_lists_here_have_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert AUDIT["main"]([]) == 0, capsys.readouterr().err
