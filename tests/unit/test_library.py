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
