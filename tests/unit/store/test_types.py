import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.store.types import clean_document, clean_text, finite_document

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))  # NUL and surrogates too


@pytest.mark.parametrize(
    "text, cleaned",
    [
        ("plain", "plain"),
        ("a\x00b", "a␀b"),
        ("\ud83d alone", "� alone"),
        ("\U0001f600", "\U0001f600"),  # a real one is no surrogate
        ("", ""),
    ],
)
def test_what_postgresql_refuses_in_text_is_replaced_visibly(text, cleaned):
    assert clean_text(text) == cleaned


@given(ANY_TEXT)
def test_cleaned_text_is_valid_utf8_of_the_same_length_without_nul(text):
    cleaned = clean_text(text)
    assert b"\x00" not in cleaned.encode()
    assert len(cleaned) == len(text)


@given(ANY_TEXT)
def test_cleaning_again_changes_nothing(text):
    assert clean_text(clean_text(text)) == clean_text(text)


def test_documents_are_cleaned_in_keys_and_at_every_depth():
    dirty = {"k\x00": [("\ud800", 1), {"deep": "\x00"}], "same": True, "none": None}
    assert clean_document(dirty) == {"k␀": [["�", 1], {"deep": "␀"}], "same": True, "none": None}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("clean", [clean_document, finite_document])
def test_numbers_that_json_lacks_become_strings_that_float_reads_back(clean, value):
    [kept] = json.loads(json.dumps(clean([value]), allow_nan=False))
    assert float(kept) == value or (math.isnan(float(kept)) and math.isnan(value))


def test_an_exact_document_keeps_its_text():
    assert finite_document({"a\x00": ["\ud800"]}) == {"a\x00": ["\ud800"]}
