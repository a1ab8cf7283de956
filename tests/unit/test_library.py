"""The suites folder is read again when it changes, and a broken file is never papered over."""

import pytest

from evalwindow.config import Limits
from evalwindow.errors import SuiteInvalid
from evalwindow.library import SuiteLibrary
from tests.unit.worlds import rows, write_suite


def test_an_unchanged_folder_gives_the_same_suites(tmp_path):
    write_suite(tmp_path, rows(2))
    library = SuiteLibrary(tmp_path, Limits())
    assert library.all()["echo"] is library.all()["echo"]


def test_a_new_suite_appears_without_a_restart(tmp_path):
    write_suite(tmp_path, rows(2))
    library = SuiteLibrary(tmp_path, Limits())
    assert set(library.all()) == {"echo"}
    write_suite(tmp_path, rows(2), suite="second")
    assert set(library.all()) == {"echo", "second"}


def test_a_changed_dataset_changes_the_digest(tmp_path):
    write_suite(tmp_path, rows(2))
    library = SuiteLibrary(tmp_path, Limits())
    before = library.all()["echo"].digest
    write_suite(tmp_path, rows(3))
    assert library.all()["echo"].digest != before


def test_a_broken_suite_is_an_error_until_it_is_mended(tmp_path):
    path = write_suite(tmp_path, rows(2))
    library = SuiteLibrary(tmp_path, Limits())
    library.all()
    good = path.read_text()
    path.write_text("suite: [")
    for _ in range(2):
        with pytest.raises(SuiteInvalid, match=r"echo\.yaml"):
            library.all()
    path.write_text(good)
    assert set(library.all()) == {"echo"}


def broken(library):
    _, found = library.sound()
    return [each.name for each in found]


def test_a_broken_suite_leaves_the_others_usable(tmp_path):
    write_suite(tmp_path, rows(2))
    write_suite(tmp_path, rows(2), suite="second").write_text("suite: second\ntier: [")
    library = SuiteLibrary(tmp_path, Limits())
    assert set(library.asked_for("echo")) == {"echo"}
    assert broken(library) == ["second"]
    with pytest.raises(SuiteInvalid, match=r"second\.yaml:2: not valid YAML"):
        library.asked_for("second")


def test_a_suite_is_broken_by_its_data_too_and_says_where(tmp_path):
    write_suite(tmp_path, rows(2))
    write_suite(tmp_path, rows(2), suite="second")
    (tmp_path / "second.jsonl").write_text('{"id": "a"\n')
    library = SuiteLibrary(tmp_path, Limits())
    assert set(library.asked_for("echo")) == {"echo"}
    with pytest.raises(SuiteInvalid, match=r"second\.jsonl:1: "):
        library.asked_for("second")


def test_a_file_without_a_readable_name_goes_by_the_files_name(tmp_path):
    (tmp_path / "nameless.yaml").write_text("[")
    library = SuiteLibrary(tmp_path, Limits())
    with pytest.raises(SuiteInvalid, match=r"nameless\.yaml:1"):
        library.asked_for("nameless")


def test_a_name_that_two_files_claim_is_neithers(tmp_path):
    path = write_suite(tmp_path, rows(2))
    write_suite(tmp_path, rows(2), suite="second")
    (tmp_path / "zz.yaml").write_text(path.read_text())
    library = SuiteLibrary(tmp_path, Limits())
    assert set(library.sound()[0]) == {"second"}
    with pytest.raises(SuiteInvalid, match=r"the name 'echo' is taken by .*echo\.yaml"):
        library.asked_for("echo")


def test_a_broken_file_that_claims_a_sound_suites_name_does_not_break_it(tmp_path):
    write_suite(tmp_path, rows(2))
    (tmp_path / "draft.yaml").write_text("suite: echo\ntier: [")
    library = SuiteLibrary(tmp_path, Limits())
    assert set(library.asked_for("echo")) == {"echo"}
    with pytest.raises(SuiteInvalid, match=r"draft\.yaml"):
        library.all()


def test_an_unchanged_broken_folder_is_not_read_again(tmp_path):
    write_suite(tmp_path, rows(2)).write_text("suite: [")
    library = SuiteLibrary(tmp_path, Limits())
    assert library.sound() is library.sound()


def test_a_name_that_no_file_claims_is_left_to_whoever_asked(tmp_path):
    write_suite(tmp_path, rows(2))
    (tmp_path / "broken.yaml").write_text("suite: broken\ntier: [")
    assert "nobodys" not in SuiteLibrary(tmp_path, Limits()).asked_for("nobodys")
